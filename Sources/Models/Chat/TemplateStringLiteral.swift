/// The escapes in string literals: those of Python's `unicode-escape` codec.
/// (https://docs.python.org/3/reference/lexical_analysis.html#escape-sequences)
enum TemplateStringLiteral {
    static func text(of body: ArraySlice<Unicode.Scalar>) throws(TemplateError) -> TemplateText {
        guard body.contains("\\") else { return TemplateText(scalars: body) }
        var out: [Unicode.Scalar] = []
        var rest = body
        while let scalar = rest.popFirst() {
            guard scalar == "\\", let letter = rest.popFirst() else {
                out.append(scalar)
                continue
            }
            switch letter {
            case "\n": break
            case "\\", "'", "\"": out.append(letter)
            case "a": out.append("\u{07}")
            case "b": out.append("\u{08}")
            case "f": out.append("\u{0C}")
            case "n": out.append("\n")
            case "r": out.append("\r")
            case "t": out.append("\t")
            case "v": out.append("\u{0B}")
            case "0"..."7": out.append(octal(letter, &rest))
            case "x": out.append(try hexadecimal("x", 2, &rest))
            case "u": out.append(try hexadecimal("u", 4, &rest))
            case "U": out.append(try hexadecimal("U", 8, &rest))
            case "N": throw TemplateError(.unsupported, "\\N{...} in a string is not supported")
            default:
                out.append("\\")
                // The codec sees other than ASCII spelled as an escape, whose own backslash this one takes.
                if letter.isASCII {
                    out.append(letter)
                } else {
                    out.append(contentsOf: TemplatePrinter.escaped(letter).unicodeScalars.dropFirst())
                }
            }
        }
        return TemplateText(scalars: out)
    }

    private static func octal(_ first: Unicode.Scalar, _ rest: inout ArraySlice<Unicode.Scalar>)
        -> Unicode.Scalar
    {
        var value = first.value - 0x30
        for _ in 0..<2 {
            guard let digit = rest.first, ("0"..."7").contains(digit) else { break }
            value = value * 8 + digit.value - 0x30
            rest.removeFirst()
        }
        return Unicode.Scalar(value) ?? "\u{FFFD}"
    }

    private static func hexadecimal(
        _ letter: String, _ count: Int, _ rest: inout ArraySlice<Unicode.Scalar>
    ) throws(TemplateError) -> Unicode.Scalar {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let digit = rest.first, digit.isASCII, let number = Character(digit).hexDigitValue else {
                let form = "\\" + letter + String(repeating: "X", count: count)
                throw TemplateError(.syntax, "truncated \(form) escape")
            }
            value = value << 4 | UInt32(number)
            rest.removeFirst()
        }
        if let scalar = Unicode.Scalar(value) { return scalar }
        if value > 0x10FFFF { throw TemplateError(.syntax, "illegal Unicode character") }
        throw TemplateError(.unsupported, "half a surrogate pair in a string is not supported")
    }
}
