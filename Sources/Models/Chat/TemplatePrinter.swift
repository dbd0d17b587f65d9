/// Python's `str` and `repr` of values.
struct TemplatePrinter: ~Copyable {
    private let budget: TemplateBudget
    private var out = ""
    private var depth = 0

    init(_ budget: TemplateBudget) { self.budget = budget }

    static func str(_ value: TemplateValue, _ budget: TemplateBudget) throws(TemplateError) -> String {
        switch value {
        case .text(let text): return text.string
        case .undefined: return ""
        default: return try repr(value, budget)
        }
    }

    static func repr(_ value: TemplateValue, _ budget: TemplateBudget) throws(TemplateError) -> String {
        var printer = TemplatePrinter(budget)
        try printer.write(value)
        return printer.out
    }

    private mutating func put(_ text: String) throws(TemplateError) {
        try budget.charge(text.utf8.count + 16)
        out += text
    }

    private mutating func write(_ value: TemplateValue) throws(TemplateError) {
        depth += 1
        defer { depth -= 1 }
        guard depth <= budget.limits.expressionDepth * 2 else {
            throw TemplateError(.limit, "prints a value nested too deep")
        }
        switch value {
        case .undefined: try put("Undefined")
        case .none: try put("None")
        case .bool(let value): try put(value ? "True" : "False")
        case .int(let value): try put(String(value))
        case .float(let value): try put(Self.text(of: value))
        case .text(let text):
            try put(text.isMarkup ? "Markup(\(Self.quoted(text)))" : Self.quoted(text))
        case .list(let items): try write(items.values, "[", "]")
        case .tuple(let items) where items.values.count == 1: try write(items.values, "(", ",)")
        case .tuple(let items): try write(items.values, "(", ")")
        case .dict(let dict): try write(dict)
        case .range(let range):
            let step = range.step == 1 ? "" : ", \(range.step)"
            try put("range(\(range.start), \(range.end)\(step))")
        case .view(let view):
            try put(view.kind.typeName + "(")
            try write(view.values, "[", "]")
            try put(")")
        case .namespace(let namespace):
            try put("<Namespace ")
            try write(namespace.attributes)
            try put(">")
        case .loop(let loop): try put("<LoopContext \(loop.index0 + 1)/\(loop.count())>")
        case .macro(let macro): try put("<Macro \(macro.name.map(Self.quoted) ?? "anonymous")>")
        case .iterator, .function, .method, .cycle: try put("<\(value.typeName) object>")
        }
    }

    private mutating func write(
        _ values: [TemplateValue], _ opening: String, _ closing: String
    ) throws(TemplateError) {
        try put(opening)
        for (i, value) in values.enumerated() {
            if i > 0 { try put(", ") }
            try write(value)
        }
        try put(closing)
    }

    private mutating func write(_ dict: TemplateDict) throws(TemplateError) {
        try put("{")
        for (i, entry) in dict.entries.enumerated() {
            if i > 0 { try put(", ") }
            try write(entry.key)
            try put(": ")
            try write(entry.value)
        }
        try put("}")
    }
}

extension TemplatePrinter {
    /// Python's `repr` of a string: in single quotes unless only double ones need no escape.
    static func quoted(_ text: TemplateText) -> String {
        let hasSingle = text.string.utf8.contains(UInt8(ascii: "'"))
        let hasDouble = text.string.utf8.contains(UInt8(ascii: "\""))
        let quote: Unicode.Scalar = hasSingle && !hasDouble ? "\"" : "'"
        var out = String.UnicodeScalarView()
        out.append(quote)
        for scalar in text.string.unicodeScalars {
            switch scalar {
            case quote, "\\": out.append(contentsOf: ["\\", scalar])
            case "\n": out.append(contentsOf: "\\n".unicodeScalars)
            case "\r": out.append(contentsOf: "\\r".unicodeScalars)
            case "\t": out.append(contentsOf: "\\t".unicodeScalars)
            default:
                if scalar.isPythonPrintable {
                    out.append(scalar)
                } else {
                    out.append(contentsOf: escaped(scalar).unicodeScalars)
                }
            }
        }
        out.append(quote)
        return String(out)
    }

    static func quoted(_ text: String) -> String { quoted(TemplateText(text)) }

    /// `\xe9`, `\u1234` or `\U0001f600`.
    static func escaped(_ scalar: Unicode.Scalar) -> String {
        let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
        let digits = String(scalar.value, radix: 16)
        return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
    }

    /// Python's `repr` of a float: the shortest digits that read back the same, with an exponent below 1e-4
    /// and from 1e16.
    static func text(of value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
        let (digits, exponent) = decimal(value.magnitude)
        let sign = value < 0 ? "-" : ""
        if exponent < -4 || exponent >= 16 {
            let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
            let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            return "\(sign)\(digits.prefix(1))\(fraction)e\(exponent < 0 ? "-" : "+")\(power)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        let whole =
            digits.count > exponent
            ? String(digits.prefix(exponent + 1))
            : digits + String(repeating: "0", count: exponent + 1 - digits.count)
        let fraction = digits.dropFirst(exponent + 1)
        return sign + whole + "." + (fraction.isEmpty ? "0" : fraction)
    }

    /// The shortest decimal digits of a positive number, without trailing zeros, and the power of ten of the
    /// first.
    private static func decimal(_ value: Double) -> (digits: String, exponent: Int) {
        let parts = value.description.split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let whole = String(mantissa[0])
        let fraction = mantissa.count > 1 ? String(mantissa[1]) : ""
        var exponent = (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + whole.count - 1
        var digits = Substring(whole + fraction)
        while digits.count > 1, digits.first == "0" {
            digits = digits.dropFirst()
            exponent -= 1
        }
        while digits.count > 1, digits.last == "0" { digits = digits.dropLast() }
        return (String(digits), exponent)
    }
}
