/// Python's `format % values`
/// (https://docs.python.org/3/library/stdtypes.html#printf-style-string-formatting).
struct TemplatePercentFormat: ~Copyable {
    private let budget: TemplateBudget
    private var rest: ArraySlice<Unicode.Scalar>
    private let length: Int
    private let values: TemplateValue
    private var used = 0
    private var out = ""

    static func text(
        _ format: TemplateText, _ values: TemplateValue, _ budget: TemplateBudget
    ) throws(TemplateError) -> TemplateText {
        try budget.charge(format.byteCount * 4)
        var formatter = TemplatePercentFormat(budget, format.scalars, values)
        try formatter.run()
        return format.with(formatter.out)
    }

    private init(_ budget: TemplateBudget, _ format: [Unicode.Scalar], _ values: TemplateValue) {
        self.budget = budget
        rest = format[...]
        length = format.count
        self.values = values
    }

    private mutating func run() throws(TemplateError) {
        while let scalar = rest.popFirst() {
            if scalar == "%" {
                try convert()
            } else {
                out.unicodeScalars.append(scalar)
            }
        }
        let count: Int
        switch values {
        // What Python can look names up in need not be used up.
        case .dict, .list, .range, .undefined: return
        case .tuple(let items): count = items.values.count
        default: count = 1
        }
        guard used >= count else {
            throw TemplateError(.runtime, "not all arguments converted during string formatting")
        }
    }

    private mutating func next() throws(TemplateError) -> TemplateValue {
        defer { used += 1 }
        if case .tuple(let items) = values, used < items.values.count { return items.values[used] }
        if case .tuple = values {} else if used == 0 { return values }
        throw TemplateError(.runtime, "not enough arguments for format string")
    }

    private mutating func convert() throws(TemplateError) {
        var named: TemplateValue?
        if rest.first == "(" { named = try namedValue() }
        var spec = TemplateFormatSpec()
        while let flag = rest.first, ["#", "0", "-", " ", "+"].contains(flag) {
            switch flag {
            case "#": spec.isAlternate = true
            case "0": spec.isZeroPadded = true
            case "-": spec.align = "<"
            default: if spec.sign != "+" { spec.sign = flag }
            }
            rest.removeFirst()
        }
        spec.width = try number() ?? 0
        if spec.width < 0 { (spec.width, spec.align) = (-spec.width, "<") }
        if rest.first == "." {
            rest.removeFirst()
            spec.precision = max(try number() ?? 0, 0)
        }
        while let modifier = rest.first, ["h", "l", "L"].contains(modifier) { rest.removeFirst() }
        guard let type = rest.popFirst() else { throw TemplateError(.runtime, "incomplete format") }
        if type == "%" {
            out += "%"
            return
        }
        spec.type = type
        if named == nil { named = try next() }
        out += try text(of: named ?? .none, spec)
    }

    private mutating func namedValue() throws(TemplateError) -> TemplateValue {
        rest.removeFirst()
        var name: [Unicode.Scalar] = []
        var nesting = 1
        while let scalar = rest.popFirst() {
            if scalar == "(" { nesting += 1 }
            if scalar == ")" { nesting -= 1 }
            if nesting == 0 { break }
            name.append(scalar)
        }
        guard nesting == 0 else { throw TemplateError(.runtime, "incomplete format key") }
        guard case .dict(let dict) = values else {
            if case .list = values {
                throw TemplateError(.runtime, "list indices must be integers or slices, not str")
            }
            throw TemplateError(.runtime, "format requires a mapping")
        }
        let key = TemplateText(scalars: name)
        guard let value = dict.value(key) else {
            throw TemplateError(.runtime, TemplatePrinter.quoted(key))
        }
        return value
    }

    /// A width or precision, `*` taking it from the values.
    private mutating func number() throws(TemplateError) -> Int? {
        if rest.first == "*" {
            rest.removeFirst()
            guard let value = try next().index else { throw TemplateError(.runtime, "* wants int") }
            try budget.charge(Int(clamping: value.magnitude))
            return value
        }
        return try TemplateFormatSpec.number(&rest, budget)
    }

    private func text(of value: TemplateValue, _ spec: TemplateFormatSpec) throws(TemplateError) -> String {
        var spec = spec
        switch spec.type ?? "s" {
        case "s", "r", "a":
            let text =
                try spec.type == "s"
                ? TemplatePrinter.str(value, budget) : TemplatePrinter.repr(value, budget)
            spec.isZeroPadded = false
            return try spec.padded(TemplateText(text), standard: ">", budget)
        case "c":
            spec.isZeroPadded = false
            if let code = value.index {
                guard let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init) else {
                    throw TemplateError(.runtime, "%c arg not in range(0x110000)")
                }
                return try spec.padded(TemplateText(scalars: [scalar]), standard: ">", budget)
            }
            guard case .text(let text) = value, text.count == 1 else {
                throw TemplateError(.runtime, "%c requires int or char")
            }
            return try spec.padded(text, standard: ">", budget)
        case "d", "i", "u":
            guard let number = value.number else { throw refused(value, spec, "a real number is required") }
            spec.type = "d"
            guard let whole = value.index ?? Int(exactly: number.rounded(.towardZero)) else {
                throw TemplateError(.runtime, "cannot convert float to integer")
            }
            return try spec.integer(whole, budget)
        case "x", "X", "o":
            guard let whole = value.index else { throw refused(value, spec, "an integer is required") }
            return try spec.integer(whole, budget)
        case "e", "E", "f", "F", "g", "G":
            guard let number = value.number else {
                if case .undefined(let undefined) = value { throw undefined.error }
                throw TemplateError(.runtime, "must be real number, not \(value.typeName)")
            }
            return try spec.float(number, budget)
        case let type:
            let at = length - rest.count - 1
            throw TemplateError(
                .runtime,
                "unsupported format character '\(type)' (0x\(String(type.value, radix: 16))) at index \(at)")
        }
    }

    private func refused(_ value: TemplateValue, _ spec: TemplateFormatSpec, _ why: String) -> TemplateError {
        if case .undefined(let undefined) = value { return undefined.error }
        let type = spec.type.map { String(Character($0)) } ?? ""
        return TemplateError(.runtime, "%\(type) format: \(why), not \(value.typeName)")
    }
}
