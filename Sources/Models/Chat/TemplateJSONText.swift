/// `json.dumps`, as transformers' `tojson` filter calls it: no HTML escapes, `", "` and `": "` between items,
/// Unicode as it is unless `ensureASCII`. (https://docs.python.org/3/library/json.html)
struct TemplateJSONText: ~Copyable {
    struct Format {
        var ensureASCII = false
        /// What one level is indented by; nil for all on one line.
        var indent: String?
        var itemSeparator = ", "
        var keySeparator = ": "
        var sortKeys = false
    }

    private let format: Format
    private let budget: TemplateBudget
    private var out = ""
    private var level = 0

    static func text(
        of value: TemplateValue, _ format: Format, _ budget: TemplateBudget
    ) throws(TemplateError) -> String {
        var writer = TemplateJSONText(format: format, budget: budget)
        try writer.write(value)
        return writer.out
    }

    private init(format: Format, budget: TemplateBudget) {
        self.format = format
        self.budget = budget
    }

    private mutating func put(_ text: String) throws(TemplateError) {
        try budget.charge(text.utf8.count + 16)
        out += text
    }

    private mutating func write(_ value: TemplateValue) throws(TemplateError) {
        switch value {
        case .none: try put("null")
        case .bool(let value): try put(value ? "true" : "false")
        case .int(let value): try put(String(value))
        case .float(let value): try put(Self.text(of: value))
        case .text(let text): try put(quoted(text))
        case .list(let items), .tuple(let items):
            try write("[", "]", items.values.count) { (writer, i) throws(TemplateError) in
                try writer.write(items.values[i])
            }
        case .dict(let dict):
            let entries = try format.sortKeys ? sorted(dict) : dict.entries
            let names = try entries.map { (entry) throws(TemplateError) in try name(of: entry.key) }
            let keySeparator = format.keySeparator
            try write("{", "}", entries.count) { (writer, i) throws(TemplateError) in
                try writer.put(writer.quoted(names[i]) + keySeparator)
                try writer.write(entries[i].value)
            }
        default:
            throw TemplateError(.runtime, "Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private mutating func write(
        _ opening: String, _ closing: String, _ count: Int,
        _ item: (inout TemplateJSONText, Int) throws(TemplateError) -> Void
    ) throws(TemplateError) {
        try put(opening)
        level += 1
        for i in 0..<count {
            if i > 0 { try put(format.itemSeparator) }
            try breakLine()
            try item(&self, i)
        }
        level -= 1
        if count > 0 { try breakLine() }
        try put(closing)
    }

    private mutating func breakLine() throws(TemplateError) {
        guard let indent = format.indent else { return }
        try budget.charge(level, of: indent.utf8.count)
        try put("\n" + String(repeating: indent, count: level))
    }

    private func sorted(
        _ dict: TemplateDict
    ) throws(TemplateError) -> [(key: TemplateValue, value: TemplateValue)] {
        let keys = dict.entries.map(\.key)
        let order = try TemplateComparison(budget).sorted(keys.indices.map { .int($0) }, by: keys)
        return order.compactMap(\.index).map { dict.entries[$0] }
    }

    private func name(of key: TemplateValue) throws(TemplateError) -> TemplateText {
        switch key {
        case .text(let text): return text
        case .int(let value): return TemplateText(String(value))
        case .float(let value): return TemplateText(Self.text(of: value))
        case .bool(let value): return value ? "true" : "false"
        case .none: return "null"
        default:
            throw TemplateError(
                .runtime, "keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    private static func text(of value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return TemplatePrinter.text(of: value)
    }

    private func quoted(_ text: TemplateText) -> String {
        var out = String.UnicodeScalarView()
        out.append("\"")
        for scalar in text.string.unicodeScalars {
            switch scalar {
            case "\"", "\\": out.append(contentsOf: ["\\", scalar])
            case "\n": out.append(contentsOf: "\\n".unicodeScalars)
            case "\r": out.append(contentsOf: "\\r".unicodeScalars)
            case "\t": out.append(contentsOf: "\\t".unicodeScalars)
            case "\u{08}": out.append(contentsOf: "\\b".unicodeScalars)
            case "\u{0C}": out.append(contentsOf: "\\f".unicodeScalars)
            default:
                if scalar.value < 0x20 || (format.ensureASCII && scalar.value > 0x7E) {
                    for unit in Character(scalar).utf16 {
                        out.append(contentsOf: Self.escaped(unit).unicodeScalars)
                    }
                } else {
                    out.append(scalar)
                }
            }
        }
        out.append("\"")
        return String(out)
    }

    private static func escaped(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
