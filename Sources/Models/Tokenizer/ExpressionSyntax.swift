/// Rewrites an expression from Oniguruma's syntax (https://github.com/kkos/oniguruma/blob/master/doc/RE) to
/// PCRE2's (https://www.pcre.org/current/doc/html/pcre2syntax.html), where the two would read it differently:
///
/// - `\s \w \d \b` and their negations cover other characters: spelled out as classes.
/// - `\h` is a hexadecimal digit, `\v` a vertical tab, `\uHHHH` a code point.
/// - `(?m)` lets the dot match a line feed, PCRE2's `(?s)`.
/// - `\p{…}` of a general category also covers what Unicode assigned since (`UnicodeAdditions`).
///
/// What PCRE2 cannot express, or would silently take for something else, is refused.
struct ExpressionSyntax {
    private let source: String
    private let place: String
    private let scalars: [Unicode.Scalar]
    private var at = 0
    private var output = ""

    static func pcre2(from source: String, at place: String) throws(TokenizerError) -> String {
        var syntax = ExpressionSyntax(source: source, place: place, scalars: Array(source.unicodeScalars))
        while let scalar = syntax.take() { try syntax.translate(scalar) }
        return syntax.output
    }

    private init(source: String, place: String, scalars: [Unicode.Scalar]) {
        self.source = source
        self.place = place
        self.scalars = scalars
    }

    // What sets of characters are, as the inside of a class.
    private static let spaces =
        #"\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"#
    private static let hexDigits = "0-9A-Fa-f"
    /// Alphabetic characters, marks, decimal digits and connectors: `\w` in a class.
    private static let wordCharacters =
        categories(["L", "M", "Nd", "Nl", "Pc"])
        + #"\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"#
    /// Outside a class, Oniguruma's `\w` and `\b` have Latin-1's superscripts and fractions besides.
    private static let loneWordCharacters = wordCharacters + #"\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}"#

    /// Long names of general categories; PCRE2 knows only the short ones.
    private static let shortNames = [
        "letter": "L", "mark": "M", "number": "N", "punctuation": "P", "symbol": "S", "separator": "Z",
        "other": "C",
        "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt", "modifierletter": "Lm",
        "otherletter": "Lo", "nonspacingmark": "Mn", "spacingmark": "Mc", "enclosingmark": "Me",
        "decimalnumber": "Nd",
        "letternumber": "Nl", "othernumber": "No",
    ]

    static func categories(_ names: [String]) -> String {
        names.map { "\\p{\($0)}" + UnicodeAdditions.classItems(of: $0) }.joined()
    }

    private mutating func take() -> Unicode.Scalar? {
        if at == scalars.count { return nil }
        at += 1
        return scalars[at - 1]
    }

    private func next(is scalar: Unicode.Scalar) -> Bool { at < scalars.count && scalars[at] == scalar }

    private func refuse(_ what: String) -> TokenizerError {
        .unsupported(place, "the expression \(source) uses \(what)")
    }

    private mutating func put(_ scalar: Unicode.Scalar) { output.unicodeScalars.append(scalar) }

    private mutating func translate(_ scalar: Unicode.Scalar) throws(TokenizerError) {
        switch scalar {
        case "\\": try translateEscape()
        case "[": try translateClass()
        case "(": try translateGroup()
        case "{": try translateInterval()
        default: put(scalar)
        }
    }

    /// A set of characters that an escape names: the inside of a class, and whether it is the rest that is
    /// meant.
    private struct NamedSet {
        var items: String
        var negated: Bool
    }

    /// The set that `\` and `letter` stand for, if they do.
    private mutating func namedSet(_ letter: Unicode.Scalar, inClass: Bool) throws(TokenizerError)
        -> NamedSet?
    {
        switch letter {
        case "s", "S": return NamedSet(items: Self.spaces, negated: letter == "S")
        case "w", "W":
            return NamedSet(
                items: inClass ? Self.wordCharacters : Self.loneWordCharacters, negated: letter == "W")
        case "d", "D": return NamedSet(items: Self.categories(["Nd"]), negated: letter == "D")
        case "h", "H": return NamedSet(items: Self.hexDigits, negated: letter == "H")
        case "p", "P":
            guard next(is: "{") else { throw refuse("\\\(letter) without braces") }
            at += 1
            var name = ""
            while let scalar = take(), scalar != "}" { name.unicodeScalars.append(scalar) }
            var negated = letter == "P"
            if name.first == "^" {
                name.removeFirst()
                negated.toggle()
            }
            guard !name.isEmpty, name.utf8.allSatisfy({ Self.isNameByte($0) }) else {
                throw refuse("\\p{\(name)}")
            }
            return Self.property(name, negated: negated)
        default: return nil
        }
    }

    /// Names of sets that are neither categories nor scripts.
    private static let otherProperties: Set = [
        "any", "alphabetic", "uppercase", "lowercase", "whitespace", "emoji", "extendedpictographic",
        "idstart",
        "idcontinue", "xidstart", "xidcontinue", "dash", "hexdigit", "ideographic", "math", "diacritic",
        "asciihexdigit",
    ]

    private static func property(_ name: String, negated: Bool) -> NamedSet {
        let plain = name.filter { $0.isLetter }.lowercased()
        let short = shortNames[plain] ?? name
        if short == "C" || short == "c" {
            // What is not assigned is all the rest, which additions make smaller.
            return NamedSet(items: categories(["L", "M", "N", "P", "S", "Z"]), negated: !negated)
        }
        if short.count <= 2 || otherProperties.contains(plain) {
            return NamedSet(items: categories([short]), negated: negated)
        }
        // PCRE2 takes a script's bare name for all characters that are used with it.
        return NamedSet(
            items: "\\p{sc:\(name)}" + UnicodeAdditions.classItems(ofScript: plain), negated: negated)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: " "), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// One character, however it is escaped; nil where the escape is not a plain character.
    private mutating func escapedCharacter(_ letter: Unicode.Scalar) throws(TokenizerError) -> String? {
        switch letter {
        case "n", "r", "t", "f", "e", "a": return "\\\(letter)"
        case "v": return "\\x{b}"
        case "u":
            guard at + 4 <= scalars.count else { throw refuse("\\u without four digits") }
            let digits = scalars[at..<at + 4]
            guard digits.allSatisfy({ $0.properties.isASCIIHexDigit }) else {
                throw refuse("\\u without four digits")
            }
            at += 4
            return "\\x{" + String(String.UnicodeScalarView(digits)) + "}"
        case "x":
            // \xHH of two digits is a byte of UTF-8 to Oniguruma: the same only for ASCII.
            guard !next(is: "{") else { return "\\x" }
            guard at < scalars.count, ("0"..."7").contains(scalars[at]) else {
                throw refuse("\\x of a byte above 7F")
            }
            return "\\x"
        default:
            return letter.properties.isAlphabetic || letter.properties.numericType != nil
                ? nil : "\\\(letter)"
        }
    }

    private mutating func translateEscape() throws(TokenizerError) {
        guard let letter = take() else {
            throw .invalid(place, "the expression \(source) ends with a backslash")
        }
        if let set = try namedSet(letter, inClass: false) {
            output += set.negated ? "[^\(set.items)]" : "[\(set.items)]"
            return
        }
        if let character = try escapedCharacter(letter) {
            output += character
            return
        }
        let word = Self.loneWordCharacters
        switch letter {
        case "b": output += "(?:(?<=[\(word)])(?![\(word)])|(?<![\(word)])(?=[\(word)]))"
        case "B": output += "(?:(?<=[\(word)])(?=[\(word)])|(?<![\(word)])(?![\(word)]))"
        case "A", "z", "Z", "G", "R", "X", "K", "N", "k", "1"..."9": output += "\\\(letter)"
        default: throw refuse("\\\(letter)")
        }
    }

    private mutating func translateGroup() throws(TokenizerError) {
        output += "("
        guard next(is: "?") else { return }
        at += 1
        output += "?"
        guard let kind = take() else { throw .invalid(place, "the expression \(source) ends within a group") }
        switch kind {
        case ":", "=", "!", ">", "#", "<": put(kind)
        case "i", "m", "x", "-":
            var option = kind
            while option != ":" && option != ")" {
                switch option {
                case "i", "x", "-": put(option)
                case "m": put("s")
                default: throw refuse("the option (?\(option))")
                }
                guard let following = take() else {
                    throw .invalid(place, "the expression \(source) ends within a group")
                }
                option = following
            }
            put(option)
        default: throw refuse("the group (?\(kind)")
        }
    }

    /// `{n,m}`; a brace that opens no interval stands for itself in both syntaxes.
    private mutating func translateInterval() throws(TokenizerError) {
        output += "{"
        guard let end = scalars[at...].firstIndex(of: "}") else { return }
        let body = scalars[at..<end]
        guard !body.isEmpty, body.allSatisfy({ ("0"..."9").contains($0) || $0 == "," }) else { return }
        if body.first == "," { output += "0" }
        output += String(String.UnicodeScalarView(body)) + "}"
        at = end + 1
        // Oniguruma takes these for a second quantifier, PCRE2 for possessive and lazy.
        if next(is: "+") { throw refuse("{…}+") }
        if next(is: "?") && !body.contains(",") { throw refuse("{…}?") }
    }

    private mutating func translateClass() throws(TokenizerError) {
        let negated = next(is: "^")
        if negated { at += 1 }
        var items = ""
        var complements: [String] = []
        var first = true
        while true {
            guard let scalar = take() else {
                throw .invalid(place, "the expression \(source) ends within a class")
            }
            if scalar == "]" && !first { break }
            first = false
            switch scalar {
            case "\\":
                guard let letter = take() else {
                    throw .invalid(place, "the expression \(source) ends with a backslash")
                }
                if let set = try namedSet(letter, inClass: true) {
                    if set.negated { complements.append(set.items) } else { items += set.items }
                } else if letter == "b" {
                    items += "\\x{8}"
                } else if let character = try escapedCharacter(letter) {
                    items += character
                } else {
                    throw refuse("\\\(letter) in a class")
                }
            case "[": throw refuse("a class within a class")
            case "&" where next(is: "&"): throw refuse("an intersection of classes")
            default: items.unicodeScalars.append(scalar)
            }
        }
        putClass(items, complements, negated: negated)
    }

    /// A class with `\S` and the like in it is a choice of classes, or the absence of each.
    private mutating func putClass(_ items: String, _ complements: [String], negated: Bool) {
        if complements.isEmpty {
            output += (negated ? "[^" : "[") + items + "]"
        } else if negated {
            let absent = items.isEmpty ? "" : "(?![\(items)])"
            let present = complements.dropLast().map { "(?=[\($0)])" }.joined()
            output += "(?:" + absent + present + "[\(complements[complements.count - 1])])"
        } else {
            let choices = (items.isEmpty ? [] : ["[\(items)]"]) + complements.map { "[^\($0)]" }
            output += "(?:" + choices.joined(separator: "|") + ")"
        }
    }
}
