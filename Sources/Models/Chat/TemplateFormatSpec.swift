import Foundation

/// How one value is formatted: what a `%` conversion or a `{:...}` field says
/// (https://docs.python.org/3/library/string.html#format-specification-mini-language).
struct TemplateFormatSpec {
    var fill: Unicode.Scalar = " "
    /// `<`, `>`, `^` or `=`.
    var align: Unicode.Scalar?
    /// `+`, `-` or a space.
    var sign: Unicode.Scalar?
    var isAlternate = false
    var isZeroPadded = false
    var width = 0
    /// `,` or `_` between groups of digits.
    var grouping: Unicode.Scalar?
    var precision: Int?
    var type: Unicode.Scalar?

    init() {}

    /// Parses the mini language.
    init(_ text: TemplateText, _ budget: TemplateBudget) throws(TemplateError) {
        var rest = text.scalars[...]
        let aligns: Set<Unicode.Scalar> = ["<", ">", "^", "="]
        if rest.count > 1, aligns.contains(rest[rest.startIndex + 1]) {
            fill = rest.removeFirst()
            align = rest.removeFirst()
        } else if let first = rest.first, aligns.contains(first) {
            align = rest.removeFirst()
        }
        if let first = rest.first, ["+", "-", " "].contains(first) { sign = rest.removeFirst() }
        if rest.first == "#" {
            isAlternate = true
            rest.removeFirst()
        }
        if rest.first == "0" {
            isZeroPadded = true
            rest.removeFirst()
        }
        width = try Self.number(&rest, budget) ?? 0
        if let first = rest.first, first == "," || first == "_" { grouping = rest.removeFirst() }
        if rest.first == "." {
            rest.removeFirst()
            guard let number = try Self.number(&rest, budget) else {
                throw TemplateError(.runtime, "Format specifier missing precision")
            }
            precision = number
        }
        type = rest.popFirst()
        guard rest.isEmpty else { throw TemplateError(.runtime, "Invalid format specifier") }
    }

    static func number(
        _ rest: inout ArraySlice<Unicode.Scalar>, _ budget: TemplateBudget
    ) throws(TemplateError) -> Int? {
        var value: Int?
        while let digit = rest.first, digit.isASCIIDigit {
            value = (value ?? 0) * 10 + Int(digit.value - 0x30)
            // Charged at once, so that neither the number nor what it asks for grows too far.
            try budget.charge(value ?? 0)
            rest.removeFirst()
        }
        return value
    }

    // MARK: - Values

    /// A text, cut to the precision.
    func padded(
        _ text: TemplateText, standard: Unicode.Scalar, _ budget: TemplateBudget
    ) throws(TemplateError) -> String {
        let count = text.count
        let kept = precision.map { $0 < count ? text.slice(0, $0) : text } ?? text
        return try pad("", kept.string, standard: standard, budget)
    }

    func integer(_ value: Int, _ budget: TemplateBudget) throws(TemplateError) -> String {
        let (radix, prefix) =
            switch type ?? "d" {
            case "x": (16, "0x")
            case "X": (16, "0X")
            case "o": (8, "0o")
            case "b": (2, "0b")
            default: (10, "")
            }
        var digits = String(value.magnitude, radix: radix, uppercase: type == "X")
        if let precision, digits.count < precision {
            try budget.charge(precision)
            digits = String(repeating: "0", count: precision - digits.count) + digits
        }
        if grouping != nil { digits = grouped(digits, by: radix == 10 ? 3 : 4) }
        return try pad(sign(of: value < 0) + (isAlternate ? prefix : ""), digits, standard: ">", budget)
    }

    /// With type e, f, g, % and their capitals, or none: as `str` but with a precision like g.
    func float(_ value: Double, _ budget: TemplateBudget) throws(TemplateError) -> String {
        let type = type ?? "r"
        let magnitude = value.magnitude
        let isNegative = value.sign == .minus && !value.isNaN
        let isCapital = ["E", "F", "G"].contains(type)
        if !value.isFinite {
            let name = value.isNaN ? "nan" : "inf"
            let suffix = type == "%" ? "%" : ""
            return try pad(
                sign(of: isNegative), (isCapital ? name.uppercased() : name) + suffix, standard: ">", budget)
        }
        let places = precision ?? 6
        try budget.charge(places * 4)
        guard places <= 5000 else { throw TemplateError(.limit, "formats more than 5000 digits") }
        let alternate = isAlternate ? "#" : ""
        var digits: String
        switch type {
        case "e", "E", "f", "F", "g", "G":
            digits = String(format: "%\(alternate).\(places)\(Character(type))", magnitude)
        case "n": digits = String(format: "%.\(places)g", magnitude)
        case "%": digits = String(format: "%.\(places)f%%", magnitude * 100)
        case "r" where precision == nil: digits = TemplatePrinter.text(of: magnitude)
        case "r":
            digits = String(format: "%.\(places)g", magnitude)
            if !digits.contains("."), !digits.contains("e") { digits += ".0" }
        default: throw TemplateError(.runtime, "Unknown format code '\(type)' for object of type 'float'")
        }
        if grouping != nil {
            let whole = digits.prefix { $0.isASCII && $0.isNumber }
            digits = grouped(String(whole), by: 3) + digits.dropFirst(whole.count)
        }
        return try pad(sign(of: isNegative), digits, standard: ">", budget)
    }

    private func sign(of isNegative: Bool) -> String {
        if isNegative { return "-" }
        return sign == "+" ? "+" : sign == " " ? " " : ""
    }

    private func grouped(_ digits: String, by size: Int) -> String {
        let separator = Character(grouping ?? ",")
        var out = ""
        for (i, digit) in digits.enumerated() {
            if i > 0, (digits.count - i) % size == 0 { out.append(separator) }
            out.append(digit)
        }
        return out
    }

    private func pad(
        _ prefix: String, _ body: String, standard: Unicode.Scalar, _ budget: TemplateBudget
    ) throws(TemplateError) -> String {
        let missing = width - prefix.unicodeScalars.count - body.unicodeScalars.count
        guard missing > 0 else { return prefix + body }
        try budget.charge(missing * 4)
        let align = align ?? (isZeroPadded ? "=" : standard)
        let filling = Character(isZeroPadded && self.align == nil ? "0" : fill)
        let left = align == "<" || align == "=" ? 0 : align == "^" ? missing / 2 : missing
        let middle = align == "=" ? missing : 0
        return String(repeating: filling, count: left) + prefix + String(repeating: filling, count: middle)
            + body
            + String(repeating: filling, count: missing - left - middle)
    }
}
