// Numbers and strings inside tags.
extension TemplateLexer {
    /// The end of `(\d+_)*\d+` at `at`; `at` itself if there are no digits.
    private func digitsEnd(_ at: Int, _ isDigit: (Unicode.Scalar) -> Bool = \.isASCIIDigit) -> Int {
        var end = at
        while end < source.count {
            if isDigit(source[end]) {
                end += 1
            } else if source[end] == "_", end > at, end + 1 < source.count, isDigit(source[end + 1]) {
                end += 2
            } else {
                break
            }
        }
        return end
    }

    private func spelling(_ range: Range<Int>) -> String {
        TemplateText(scalars: source[range].lazy.filter { $0 != "_" }).string
    }

    mutating func lexNumber() throws(TemplateError) {
        if let end = floatEnd() {
            emit(.float(Double(spelling(position..<end)) ?? .infinity))
            position = end
            return
        }
        var radix = 10
        var start = position
        if source[position] == "0", let letter = peek(1) {
            switch letter {
            case "b", "B": radix = 2
            case "o", "O": radix = 8
            case "x", "X": radix = 16
            default: break
            }
        }
        if radix != 10 { start += peek(2) == "_" ? 3 : 2 }
        let isDigit = { (scalar: Unicode.Scalar) in
            scalar.isASCII && Character(scalar).hexDigitValue.map { $0 < radix } ?? false
        }
        var end = digitsEnd(start, isDigit)
        if end == start {
            (radix, start) = (10, position)
            end = position + 1
        } else if radix == 10, source[position] == "0" {
            end = digitsEnd(start) { $0 == "0" }
        }
        guard let value = Int(spelling(start..<end), radix: radix) else {
            throw TemplateError(.unsupported, "an integer beyond 64 bits is not supported", line: line)
        }
        emit(.integer(value))
        position = end
    }

    /// The end of a number with a fraction or exponent here; nil if it has neither.
    private func floatEnd() -> Int? {
        if position > 0, source[position - 1] == "." { return nil }
        let whole = digitsEnd(position)
        var end = whole
        if end < source.count, source[end] == "." {
            let fraction = digitsEnd(end + 1)
            if fraction > end + 1 { end = fraction }
        }
        if end < source.count, source[end] == "e" || source[end] == "E" {
            var digits = end + 1
            if digits < source.count, source[digits] == "+" || source[digits] == "-" { digits += 1 }
            let exponent = digitsEnd(digits)
            if exponent > digits { end = exponent }
        }
        return end > whole ? end : nil
    }

    mutating func lexString(quote: Unicode.Scalar) throws(TemplateError) {
        var end = position + 1
        while end < source.count, source[end] != quote { end += source[end] == "\\" ? 2 : 1 }
        guard end < source.count else {
            throw TemplateError(
                .syntax, "unexpected char \(TemplatePrinter.quoted(String(quote))) at \(position)", line: line
            )
        }
        let text: TemplateText
        do {
            text = try TemplateStringLiteral.text(of: source[(position + 1)..<end])
        } catch {
            throw TemplateError(error.kind, error.message, line: line)
        }
        emit(.string(text))
        move(to: end + 1)
    }
}
