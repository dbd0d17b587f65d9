/// Python's `str.format`, as Jinja's sandbox restricts it
/// (https://docs.python.org/3/library/string.html#format-string-syntax).
struct TemplateBraceFormat: ~Copyable {
    private let interpreter: TemplateInterpreter
    private let positional: [TemplateValue]
    private let named: (TemplateText) throws(TemplateError) -> TemplateValue?
    private var automatic = 0
    private var budget: TemplateBudget { interpreter.budget }

    static func text(
        _ format: TemplateText, _ arguments: TemplateArguments, _ interpreter: TemplateInterpreter
    ) throws(TemplateError) -> TemplateText {
        var formatter = TemplateBraceFormat(interpreter, arguments.positional) { name in
            arguments.named.last { $0.name == name }?.value
        }
        return format.with(try formatter.run(format.scalars[...], depth: 2))
    }

    static func text(
        _ format: TemplateText, mapping: TemplateValue, _ interpreter: TemplateInterpreter
    ) throws(TemplateError) -> TemplateText {
        guard case .dict(let dict) = mapping else {
            throw TemplateError(.runtime, "format_map() argument must be a mapping, not \(mapping.typeName)")
        }
        var formatter = TemplateBraceFormat(interpreter, []) { dict.value($0) }
        return format.with(try formatter.run(format.scalars[...], depth: 2))
    }

    private init(
        _ interpreter: TemplateInterpreter, _ positional: [TemplateValue],
        _ named: @escaping (TemplateText) throws(TemplateError) -> TemplateValue?
    ) {
        self.interpreter = interpreter
        self.positional = positional
        self.named = named
    }

    private mutating func run(_ format: ArraySlice<Unicode.Scalar>, depth: Int) throws(TemplateError)
        -> String
    {
        guard depth >= 0 else { throw TemplateError(.runtime, "Max string recursion exceeded") }
        try budget.charge(format.count * 4)
        var out = ""
        var rest = format
        while let scalar = rest.popFirst() {
            switch scalar {
            case "{" where rest.first == "{", "}" where rest.first == "}":
                rest.removeFirst()
                out.unicodeScalars.append(scalar)
            case "}": throw TemplateError(.runtime, "Single '}' encountered in format string")
            case "{":
                let text = try field(try Self.body(&rest), depth)
                try budget.charge(text.utf8.count)
                out += text
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    /// What is between a field's braces, which may hold braces in its specification.
    private static func body(
        _ rest: inout ArraySlice<Unicode.Scalar>
    ) throws(TemplateError) -> ArraySlice<Unicode.Scalar> {
        let all = rest
        var nesting = 1
        while let scalar = rest.popFirst() {
            if scalar == "{" { nesting += 1 }
            if scalar == "}" { nesting -= 1 }
            if nesting == 0 { return all[..<(rest.startIndex - 1)] }
        }
        throw TemplateError(
            .runtime,
            all.isEmpty
                ? "Single '{' encountered in format string" : "expected '}' before end of string")
    }

    private mutating func field(
        _ body: ArraySlice<Unicode.Scalar>, _ depth: Int
    ) throws(TemplateError) -> String {
        let nameEnd = body.firstIndex { $0 == ":" || $0 == "!" } ?? body.endIndex
        var value = try value(named: body[..<nameEnd])
        var rest = body[nameEnd...]
        if rest.first == "!" {
            guard rest.count > 1 else {
                throw TemplateError(.runtime, "end of string while looking for conversion specifier")
            }
            let conversion = rest[rest.startIndex + 1]
            switch conversion {
            case "s": value = .text(try TemplatePrinter.str(value, budget))
            case "r", "a": value = .text(try TemplatePrinter.repr(value, budget))
            default:
                throw TemplateError(.runtime, "Unknown conversion specifier \(Character(conversion))")
            }
            rest = rest.dropFirst(2)
            guard rest.isEmpty || rest.first == ":" else {
                throw TemplateError(.runtime, "expected ':' after conversion specifier")
            }
        }
        let spec = try run(rest.dropFirst(), depth: depth - 1)
        return try text(of: value, TemplateText(spec))
    }

    /// `name`, `0` or nothing, then `.attribute` and `[item]`.
    private mutating func value(named path: ArraySlice<Unicode.Scalar>) throws(TemplateError) -> TemplateValue
    {
        let firstEnd = path.firstIndex { $0 == "." || $0 == "[" } ?? path.endIndex
        let first = TemplateText(scalars: path[..<firstEnd])
        var value: TemplateValue
        if first.isEmpty || first.string.unicodeScalars.allSatisfy(\.isASCIIDigit) {
            let at = first.isEmpty ? automatic : Int(first.string) ?? .max
            if first.isEmpty { automatic += 1 }
            guard at < positional.count else {
                throw TemplateError(
                    .runtime, "Replacement index \(at) out of range for positional args tuple")
            }
            value = positional[at]
        } else {
            guard let found = try named(first) else {
                throw TemplateError(.runtime, TemplatePrinter.quoted(first))
            }
            value = found
        }
        var rest = path[firstEnd...]
        while let opener = rest.popFirst() {
            let end = rest.firstIndex { opener == "[" ? $0 == "]" : $0 == "." || $0 == "[" }
            let name = TemplateText(scalars: rest[..<(end ?? rest.endIndex)])
            guard !name.isEmpty, opener == "." || end != nil else {
                throw TemplateError(.runtime, "Empty attribute in format string")
            }
            if opener == "." {
                value = try interpreter.attribute(name, of: value)
            } else {
                let index = name.string.unicodeScalars.allSatisfy(\.isASCIIDigit) ? Int(name.string) : nil
                value = try interpreter.item(index.map(TemplateValue.int) ?? .text(name), of: value)
            }
            rest = rest[(end ?? rest.endIndex)...]
            if opener == "[" { rest = rest.dropFirst() }
        }
        return value
    }

    private func text(of value: TemplateValue, _ format: TemplateText) throws(TemplateError) -> String {
        if format.isEmpty { return try TemplatePrinter.str(value, budget) }
        let spec = try TemplateFormatSpec(format, budget)
        switch (value, spec.type) {
        case (.text(let text), nil), (.text(let text), "s"):
            var spec = spec
            if spec.isZeroPadded, spec.align == nil {
                (spec.align, spec.fill, spec.isZeroPadded) = ("<", "0", false)
            }
            return try spec.padded(text, standard: "<", budget)
        case (.int, nil), (.int, "b"), (.int, "d"), (.int, "o"), (.int, "x"), (.int, "X"), (.int, "n"),
            (.bool, "b"), (.bool, "d"), (.bool, "o"), (.bool, "x"), (.bool, "X"), (.bool, "n"), (.bool, nil):
            if spec.precision != nil {
                throw TemplateError(.runtime, "Precision not allowed in integer format specifier")
            }
            return try spec.integer(value.index ?? 0, budget)
        case (.int(let code), "c"):
            guard let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init) else {
                throw TemplateError(.runtime, "%c arg not in range(0x110000)")
            }
            return try spec.padded(TemplateText(scalars: [scalar]), standard: "<", budget)
        case (.int, let type?) where !["e", "E", "f", "F", "g", "G", "%"].contains(type):
            throw unknown(type, value)
        case (.int, _), (.float, _): return try spec.float(value.number ?? 0, budget)
        case (_, let type?) where value.typeName == "str": throw unknown(type, value)
        default:
            throw TemplateError(
                .runtime, "unsupported format string passed to \(value.typeName).__format__")
        }
    }

    private func unknown(_ type: Unicode.Scalar, _ value: TemplateValue) -> TemplateError {
        TemplateError(
            .runtime, "Unknown format code '\(Character(type))' for object of type '\(value.typeName)'")
    }
}
