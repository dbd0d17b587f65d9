// Filters that make texts.
extension TemplateInterpreter {
    func applyToText(
        _ filter: TemplateFilter, _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch filter {
        case .tojson: return .text(try json(value, arguments))
        case .truncate: return try truncate(value, arguments)
        case .indent: return try indent(value, arguments)
        case .urlencode:
            _ = try filter.bind(arguments)
            return .text(try urlEncoded(value))
        default: break
        }
        let text = try softText(value)
        try budget.charge(text.byteCount * 4)
        switch filter {
        case .replace:
            let given = try filter.bind(arguments, ["old", "new", "count"], required: 2)
            let old = TemplateText(try string(given, 0))
            let new = TemplateText(try string(given, 1))
            let limit = given.isAbsent(2) ? nil : try given.int(2)
            return .text(try replaced(TemplateText(text.string), old, new, limit ?? -1))
        case .trim:
            let given = try filter.bind(arguments, ["chars"])
            return .text(text.stripped(of: try characters(given, 0, "strip")))
        case .center:
            let given = try filter.bind(arguments, ["width"])
            return .text(try centered(text, width: try given.int(0) ?? 80))
        case .format:
            if arguments.named.isEmpty {
                let values = try budget.tuple(arguments.positional)
                return .text(try TemplatePercentFormat.text(text, values, budget))
            }
            guard arguments.positional.isEmpty else {
                throw TemplateError(
                    .runtime, "can't handle positional and keyword arguments at the same time")
            }
            let dict = TemplateDict()
            for (name, value) in arguments.named { dict.set(name, value) }
            return .text(try TemplatePercentFormat.text(text, .dict(dict), budget))
        default: break
        }
        _ = try filter.bind(arguments)
        switch filter {
        case .upper: return .text(text.uppercased())
        case .lower: return .text(text.lowercased())
        case .capitalize: return .text(text.capitalized())
        case .title: return .text(titled(text))
        case .escape: return .text(text.escaped())
        case .forceescape: return .text(TemplateText(text.string).escaped())
        case .safe: return .text(TemplateText(text.string, isMarkup: true))
        case .wordcount: return .int(wordCount(text))
        default: return .text(text)
        }
    }

    /// A text as it is, anything else printed.
    private func softText(_ value: TemplateValue) throws(TemplateError) -> TemplateText {
        if case .text(let text) = value { return text }
        return TemplateText(try TemplatePrinter.str(value, budget))
    }

    private func string(_ given: BoundTemplateArguments, _ at: Int) throws(TemplateError) -> String {
        try given[at].map { (value) throws(TemplateError) in try TemplatePrinter.str(value, budget) } ?? ""
    }

    func replaced(
        _ text: TemplateText, _ old: TemplateText, _ new: TemplateText, _ limit: Int
    ) throws(TemplateError) -> TemplateText {
        try budget.charge(text.byteCount * 8 + old.byteCount * 8)
        let (bytes, overflow) = text.occurrences(of: old).multipliedReportingOverflow(by: new.byteCount)
        try budget.charge(overflow ? .max : bytes)
        return text.replacing(old, with: new, limit: limit)
    }

    /// The argument of `strip` and the like; nil stands for white space.
    func characters(
        _ given: BoundTemplateArguments, _ at: Int, _ name: String
    ) throws(TemplateError) -> TemplateText? {
        if given.isAbsent(at) { return nil }
        guard case .text(let text)? = given[at] else {
            throw TemplateError(.runtime, "\(name) arg must be None or str")
        }
        return text
    }

    func centered(
        _ text: TemplateText, width: Int, fill: TemplateText = " "
    ) throws(TemplateError) -> TemplateText {
        let count = text.count
        guard width > count else { return text }
        let missing = width - count
        try budget.charge(missing, of: fill.byteCount)
        // Which side gets the odd one is CPython's choice.
        let left = missing / 2 + (missing & width & 1)
        return text.with(
            String(repeating: fill.string, count: left) + text.string
                + String(repeating: fill.string, count: missing - left))
    }

    /// Every word's first letter in upper case, words beginning after spaces, hyphens and opening brackets.
    private func titled(_ text: TemplateText) -> TemplateText {
        let breaks: Set<Unicode.Scalar> = ["-", "(", "{", "[", "<"]
        var out = ""
        var word: [Unicode.Scalar] = []
        func flush() {
            if let first = word.first {
                out += first.properties.uppercaseMapping
                out += TemplateText(scalars: word.dropFirst()).lowercased().string
            }
            word = []
        }
        for scalar in text.string.unicodeScalars {
            if breaks.contains(scalar) || scalar.isPythonSpace {
                flush()
                out.unicodeScalars.append(scalar)
            } else {
                word.append(scalar)
            }
        }
        flush()
        return TemplateText(out)
    }

    private func wordCount(_ text: TemplateText) -> Int {
        var count = 0
        var inWord = false
        for scalar in text.string.unicodeScalars {
            let isWord = scalar.isPythonAlphanumeric || scalar == "_"
            if isWord, !inWord { count += 1 }
            inWord = isWord
        }
        return count
    }

    private func truncate(
        _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let given = try TemplateFilter.truncate.bind(arguments, ["length", "killwords", "end", "leeway"])
        let length = try given.int(0) ?? 255
        let end = try given.text(2) ?? "..."
        let leeway = given.isAbsent(3) ? 5 : try given.int(3) ?? 5
        guard length >= end.count else {
            throw TemplateError(.runtime, "expected length >= \(end.count), got \(length)")
        }
        guard leeway >= 0 else { throw TemplateError(.runtime, "expected leeway >= 0, got \(leeway)") }
        let count = try self.length(value)
        guard case .text(let text) = value else {
            if count <= length + leeway { return value }
            throw TemplateError(.runtime, "truncate expects a text, not \(value.typeName)")
        }
        let (room, overflow) = length.addingReportingOverflow(leeway)
        if overflow || count <= room { return value }
        let kept = text.slice(0, length - end.count)
        if given.isTrue(1) { return .text(kept.adding(end)) }
        return .text(kept.split(by: " ", limit: 1, .backward)[0].adding(end))
    }

    private func indent(
        _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let given = try TemplateFilter.indent.bind(arguments, ["width", "first", "blank"])
        let indention: TemplateText
        if case .text(let text)? = given[0] {
            indention = text
        } else {
            if let value = given[0], value.index == nil {
                throw TemplateError(
                    .runtime, "can't multiply sequence by non-int of type '\(value.typeName)'")
            }
            let width = max(try given.int(0) ?? 4, 0)
            try budget.charge(width)
            indention = TemplateText(String(repeating: " ", count: width))
        }
        guard case .text(let text) = value else {
            if case .undefined(let undefined) = value { throw undefined.error }
            let message =
                switch value {
                case .list: "'list' object has no attribute 'splitlines'"
                case .tuple: "can only concatenate tuple (not \"str\") to tuple"
                default: "unsupported operand type(s) for +=: '\(value.typeName)' and 'str'"
                }
            throw TemplateError(.runtime, message)
        }
        let lines = text.adding("\n").lines()
        let (bytes, overflow) = lines.count.multipliedReportingOverflow(by: indention.byteCount)
        try budget.charge(overflow ? .max : bytes)
        let isBlank = given.isTrue(2)
        var out = given.isTrue(1) ? indention.string : ""
        for (i, line) in lines.enumerated() {
            if i > 0 { out += "\n" + (isBlank || !line.isEmpty ? indention.string : "") }
            out += line.string
        }
        return .text(text.with(out))
    }

    /// With the keyword arguments of `json.dumps` that transformers passes on.
    private func json(
        _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> String {
        let given = try TemplateFilter.tojson.bind(
            arguments, ["ensure_ascii", "indent", "separators", "sort_keys"])
        var format = TemplateJSONText.Format()
        format.ensureASCII = given.isTrue(0)
        format.sortKeys = given.isTrue(3)
        if !given.isAbsent(1) {
            if case .text(let indent)? = given[1] {
                format.indent = indent.string
            } else {
                let width = max(try given.int(1) ?? 0, 0)
                try budget.charge(width)
                format.indent = String(repeating: " ", count: width)
            }
            format.itemSeparator = ","
        }
        if !given.isAbsent(2), let separators = given[2] {
            let parts = try items(of: separators)
            guard parts.count == 2, case .text(let item) = parts[0], case .text(let key) = parts[1] else {
                throw TemplateError(.runtime, "separators must be two strings")
            }
            (format.itemSeparator, format.keySeparator) = (item.string, key.string)
        }
        return try TemplateJSONText.text(of: value, format, budget)
    }

    private func urlEncoded(_ value: TemplateValue) throws(TemplateError) -> String {
        if case .text(let text) = value { return quoted(text, forQuery: false) }
        guard isIterable(value) else { return quoted(try softText(value), forQuery: false) }
        var pairs: [String] = []
        let entries: [TemplateValue]
        if case .dict(let dict) = value {
            entries = TemplateDictView(dict, .items).values
        } else {
            entries = try items(of: value)
        }
        for entry in entries {
            let pair = try unpack(entry, 2)
            let key = quoted(try softText(pair[0]), forQuery: true)
            pairs.append("\(key)=\(quoted(try softText(pair[1]), forQuery: true))")
        }
        return pairs.joined(separator: "&")
    }

    private func quoted(_ text: TemplateText, forQuery: Bool) -> String {
        var out = ""
        for byte in text.string.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "-"),
                UInt8(ascii: "~"):
                out.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: "/") where !forQuery: out += "/"
            case UInt8(ascii: " ") where forQuery: out += "+"
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                out += "%" + (digits.count == 1 ? "0" : "") + digits
            }
        }
        return out
    }
}
