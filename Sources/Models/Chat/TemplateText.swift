/// A Python `str`: a sequence of Unicode code points. Comparison, hashing, length and positions are by code
/// point, never by Swift's grapheme clusters or canonical equivalence.
struct TemplateText: Sendable {
    var string: String
    /// Came through `safe` or `escape` (markupsafe's `Markup`): `+` escapes what is added to it.
    var isMarkup = false

    init(_ string: String, isMarkup: Bool = false) {
        self.string = string
        self.isMarkup = isMarkup
    }

    init(_ bytes: some Collection<UInt8>, isMarkup: Bool = false) {
        self.init(String(decoding: bytes, as: UTF8.self), isMarkup: isMarkup)
    }

    init(scalars: some Sequence<Unicode.Scalar>, isMarkup: Bool = false) {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(String(view), isMarkup: isMarkup)
    }

    var scalars: [Unicode.Scalar] { Array(string.unicodeScalars) }
    var bytes: [UInt8] { Array(string.utf8) }
    var byteCount: Int { string.utf8.count }
    var isEmpty: Bool { string.utf8.isEmpty }
    /// Code points; takes time proportional to the length.
    var count: Int { string.unicodeScalars.count }

    func repeated(_ times: Int) -> TemplateText {
        let one = bytes
        var out: [UInt8] = []
        out.reserveCapacity(one.count * times)
        for _ in 0..<times { out += one }
        return TemplateText(out, isMarkup: isMarkup)
    }

    func with(_ string: String) -> TemplateText { TemplateText(string, isMarkup: isMarkup) }
}

extension TemplateText: Hashable {
    static func == (a: TemplateText, b: TemplateText) -> Bool { a.string.utf8.elementsEqual(b.string.utf8) }

    func hash(into hasher: inout Hasher) {
        for byte in string.utf8 { hasher.combine(byte) }
        hasher.combine(0xFF as UInt8)
    }
}

extension TemplateText: Comparable {
    /// By code point, which is the order of the UTF-8 bytes too.
    static func < (a: TemplateText, b: TemplateText) -> Bool {
        a.string.utf8.lexicographicallyPrecedes(b.string.utf8)
    }
}

extension TemplateText: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self.init(value) }
}

/// What `str.strip` and the like ask of a code point.
extension Unicode.Scalar {
    /// Python's `str.isspace`.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
            0x3000:
            true
        default: false
        }
    }

    /// Ends a line for Python's `str.splitlines`.
    var isPythonLineBreak: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    var isASCIIDigit: Bool { (0x30...0x39).contains(value) }

    var isPythonAlpha: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var isPythonDigit: Bool { properties.numericType == .decimal || properties.numericType == .digit }
    var isPythonAlphanumeric: Bool { isPythonAlpha || properties.numericType != nil }

    /// Not escaped by Python's `repr`.
    var isPythonPrintable: Bool {
        if self == " " { return true }
        return switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            false
        default: true
        }
    }

    var startsIdentifier: Bool { self == "_" || properties.isXIDStart }
    var continuesIdentifier: Bool { self == "_" || properties.isXIDContinue }
}

// Trimming and case.
extension TemplateText {
    enum Side { case left, right, both }

    /// Without the leading and trailing code points that are in `characters`, white space if nil.
    func stripped(_ side: Side = .both, of characters: TemplateText? = nil) -> TemplateText {
        let set = characters.map { Set($0.string.unicodeScalars) }
        let drops = { (scalar: Unicode.Scalar) in set?.contains(scalar) ?? scalar.isPythonSpace }
        let view = string.unicodeScalars
        var start = view.startIndex
        var end = view.endIndex
        if side != .right {
            while start < end, drops(view[start]) { view.formIndex(after: &start) }
        }
        if side != .left {
            while start < end {
                let before = view.index(before: end)
                guard drops(view[before]) else { break }
                end = before
            }
        }
        if start == view.startIndex, end == view.endIndex { return self }
        return with(String(view[start..<end]))
    }

    func uppercased() -> TemplateText { mapped { $0.properties.uppercaseMapping } }

    func lowercased() -> TemplateText {
        guard string.unicodeScalars.contains("\u{3A3}") else {
            return mapped { $0.properties.lowercaseMapping }
        }
        let all = scalars
        var out = ""
        for (at, scalar) in all.enumerated() { out += Self.lowercased(scalar, at: at, of: all) }
        return with(out)
    }

    /// Sigma at the end of a word has a form of its own (Unicode's Final_Sigma).
    private static func lowercased(_ scalar: Unicode.Scalar, at: Int, of all: [Unicode.Scalar]) -> String {
        guard scalar == "\u{3A3}" else { return scalar.properties.lowercaseMapping }
        let before = all[..<at].last { !$0.properties.isCaseIgnorable }
        let after = all[(at + 1)...].first { !$0.properties.isCaseIgnorable }
        let isFinal = before?.properties.isCased == true && after?.properties.isCased != true
        return isFinal ? "\u{3C2}" : "\u{3C3}"
    }

    /// The first code point in title case, the others in lower case.
    func capitalized() -> TemplateText {
        guard let first = string.unicodeScalars.first else { return self }
        let lower = lowercased().string
        // Lower-casing keeps the first code point's place, not its length: drop what it became.
        let rest = lower.unicodeScalars.dropFirst(first.properties.lowercaseMapping.unicodeScalars.count)
        return with(first.properties.titlecaseMapping + String(rest))
    }

    /// `str.title`: every run of cased letters begins in title case.
    func titled() -> TemplateText {
        var out = ""
        var inWord = false
        for scalar in string.unicodeScalars {
            out += inWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            inWord = scalar.properties.isCased
        }
        return with(out)
    }

    func swappedCase() -> TemplateText {
        mapped { $0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping }
    }

    private func mapped(_ transform: (Unicode.Scalar) -> String) -> TemplateText {
        var out = ""
        out.reserveCapacity(byteCount)
        for scalar in string.unicodeScalars { out += transform(scalar) }
        return with(out)
    }

    /// As HTML text (markupsafe's `escape`); what is marked safe stays.
    func escaped() -> TemplateText {
        if isMarkup { return self }
        var out: [UInt8] = []
        out.reserveCapacity(byteCount)
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "&"): out += "&amp;".utf8
            case UInt8(ascii: "<"): out += "&lt;".utf8
            case UInt8(ascii: ">"): out += "&gt;".utf8
            case UInt8(ascii: "\""): out += "&#34;".utf8
            case UInt8(ascii: "'"): out += "&#39;".utf8
            default: out.append(byte)
            }
        }
        return TemplateText(out, isMarkup: true)
    }

    func adding(_ other: TemplateText) -> TemplateText {
        if isMarkup || other.isMarkup {
            return TemplateText(escaped().string + other.escaped().string, isMarkup: true)
        }
        return TemplateText(string + other.string)
    }
}
