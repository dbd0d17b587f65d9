import Foundation

// Filters that make numbers.
extension TemplateInterpreter {
    func applyToNumber(
        _ filter: TemplateFilter, _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch filter {
        case .int:
            let given = try filter.bind(arguments, ["default", "base"])
            return try whole(value, base: (given[1] ?? .int(10)).index) ?? given[0] ?? .int(0)
        case .float:
            let given = try filter.bind(arguments, ["default"])
            if case .undefined(let undefined) = value { throw undefined.error }
            return float(value).map(TemplateValue.float) ?? given[0] ?? .float(0)
        case .round:
            let given = try filter.bind(arguments, ["precision", "method"])
            return try rounded(value, try given.int(0) ?? 0, try given.text(1) ?? "common")
        case .filesizeformat:
            let given = try filter.bind(arguments, ["binary"])
            return .text(try fileSize(value, isBinary: given.isTrue(0)))
        default:
            _ = try filter.bind(arguments)
            if case .float(let number) = value { return .float(Swift.abs(number)) }
            guard let number = value.index else {
                throw TemplateError(.runtime, "bad operand type for abs(): '\(value.typeName)'")
            }
            return number < 0 ? try calculate(.int(0), .subtract, .int(number)) : .int(number)
        }
    }

    /// Python's `int(...)`; nil where it is no number.
    private func whole(_ value: TemplateValue, base: Int?) throws(TemplateError) -> TemplateValue? {
        switch value {
        case .undefined(let undefined): throw undefined.error
        case .text(let text):
            if let base, let number = Self.integer(text, base: base) { return .int(number) }
            guard let number = float(value), number.isFinite else { return nil }
            return try truncated(number)
        case .float(let number):
            if number.isNaN { return nil }
            if number.isInfinite {
                throw TemplateError(.runtime, "cannot convert float infinity to integer")
            }
            return try truncated(number)
        default: return value.index.map(TemplateValue.int)
        }
    }

    private func truncated(_ number: Double) throws(TemplateError) -> TemplateValue {
        guard let whole = Int(exactly: number.rounded(.towardZero)) else {
            throw TemplateError(.unsupported, "an integer beyond 64 bits is not supported")
        }
        return .int(whole)
    }

    /// Digits of a base with sign, prefix and single underscores, as Python's `int` reads them.
    static func integer(_ text: TemplateText, base: Int) -> Int? {
        guard base == 0 || (2...36).contains(base) else { return nil }
        var digits = Substring(text.stripped().string)
        var sign = ""
        if let first = digits.first, first == "-" || first == "+" {
            sign = first == "-" ? "-" : ""
            digits = digits.dropFirst()
        }
        var base = base
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)]
        where (base == radix || base == 0) && digits.lowercased().hasPrefix(prefix) {
            digits = digits.dropFirst(2)
            base = radix
            if digits.first == "_" { digits = digits.dropFirst() }
        }
        if base == 0 {
            if digits.count > 1, digits.first == "0", digits.contains(where: { $0 != "0" && $0 != "_" }) {
                return nil
            }
            base = 10
        }
        guard isUnderscored(digits) else { return nil }
        return Int(sign + digits.filter { $0 != "_" }, radix: base)
    }

    /// Underscores only one at a time between digits.
    private static func isUnderscored(_ digits: Substring) -> Bool {
        digits.first != "_" && digits.last != "_" && !digits.contains("__") && digits.first != "+"
            && digits.first != "-"
    }

    /// Python's `float(...)`; nil where it is no number.
    func float(_ value: TemplateValue) -> Double? {
        guard case .text(let text) = value else { return value.number }
        let digits = text.stripped().string.lowercased()
        var unsigned = Substring(digits)
        if unsigned.first == "-" || unsigned.first == "+" { unsigned = unsigned.dropFirst() }
        if ["inf", "infinity"].contains(unsigned) { return digits.first == "-" ? -.infinity : .infinity }
        if unsigned == "nan" { return .nan }
        // Swift reads hexadecimal and names too, Python does not.
        let allowed = "0123456789.e+-_"
        guard !unsigned.isEmpty, unsigned.allSatisfy(allowed.contains), Self.isUnderscored(unsigned),
            !["_.", "._", "_e", "e_"].contains(where: { unsigned.contains($0) })
        else { return nil }
        return Double(digits.filter { $0 != "_" })
    }

    private func rounded(
        _ value: TemplateValue, _ precision: Int, _ method: TemplateText
    ) throws(TemplateError) -> TemplateValue {
        guard ["common", "ceil", "floor"].contains(method) else {
            throw TemplateError(.runtime, "method must be common, ceil or floor")
        }
        if method == "common" {
            if case .float(let number) = value { return .float(Self.rounded(number, precision)) }
            guard let number = value.index else {
                throw TemplateError(
                    .runtime, "type \(value.typeName) doesn't define __round__ method")
            }
            guard precision < 0 else { return .int(number) }
            return try truncated(Self.rounded(Double(number), precision))
        }
        let scale = try calculate(.int(10), .power, .int(precision))
        let scaled = try calculate(value, .multiply, scale)
        guard let number = scaled.number else {
            throw TemplateError(.runtime, "must be real number, not \(scaled.typeName)")
        }
        guard number.isFinite else {
            throw TemplateError(.runtime, "cannot convert float infinity to integer")
        }
        let whole = try truncated(method == "ceil" ? number.rounded(.up) : number.rounded(.down))
        return try calculate(whole, .divide, scale)
    }

    /// To the nearest decimal of so many places, exactly; ties (exact ones) to even.
    static func rounded(_ number: Double, _ places: Int) -> Double {
        guard number.isFinite, places <= 330 else { return number }
        if places >= 0 { return Double(String(format: "%.\(places)f", number)) ?? number }
        if places < -310 { return number < 0 ? -0.0 : 0.0 }
        let scale = pow(10.0, Double(-places))
        return (number / scale).rounded(.toNearestOrEven) * scale
    }

    private func fileSize(_ value: TemplateValue, isBinary: Bool) throws(TemplateError) -> String {
        if case .undefined(let undefined) = value { throw undefined.error }
        guard let bytes = float(value) else {
            if case .text(let text) = value {
                throw TemplateError(
                    .runtime, "could not convert string to float: \(TemplatePrinter.quoted(text))")
            }
            throw TemplateError(
                .runtime, "float() argument must be a string or a real number, not '\(value.typeName)'")
        }
        let base = isBinary ? 1024.0 : 1000.0
        if bytes == 1 { return "1 Byte" }
        if bytes < base { return "\(Int(exactly: bytes.rounded(.towardZero)) ?? 0) Bytes" }
        let suffix = isBinary ? "iB" : "B"
        var unit = base
        var name = ""
        for prefix in isBinary
            ? ["K", "M", "G", "T", "P", "E", "Z", "Y"] : ["k", "M", "G", "T", "P", "E", "Z", "Y"]
        {
            unit *= base
            name = prefix + suffix
            if bytes < unit { break }
        }
        return String(format: "%.1f ", base * bytes / unit) + name
    }
}
