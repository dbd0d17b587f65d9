import Foundation
import JSON

/// One step from text as written to text as the model knows it
/// (https://github.com/huggingface/tokenizers/tree/main/tokenizers/src/normalizers).
enum Normalizer: Sendable {
    case unicode(UnicodeForm)
    case lowercase
    case strip(left: Bool, right: Bool)
    case stripAccents
    case replace(TextPattern, [UInt8])
    case prepend([UInt8])
    /// Bytes become letters of GPT-2's alphabet.
    case byteLevel

    enum UnicodeForm: Sendable {
        case nfc, nfd, nfkc, nfkd
    }

    /// The steps of a `normalizer` component, sequences flattened.
    static func steps(of json: JSON?, at place: String) throws(TokenizerError) -> [Normalizer] {
        guard let json, !json.isNull else { return [] }
        let fields = try ComponentFields(json, at: place)
        let type = try fields.type()
        switch type {
        case "Sequence":
            var steps: [Normalizer] = []
            for element in try fields.elements("normalizers") {
                steps += try Self.steps(of: element.json, at: element.place)
            }
            return steps
        case "NFC": return [.unicode(.nfc)]
        case "NFD": return [.unicode(.nfd)]
        case "NFKC": return [.unicode(.nfkc)]
        case "NFKD": return [.unicode(.nfkd)]
        case "Lowercase": return [.lowercase]
        case "StripAccents": return [.stripAccents]
        case "ByteLevel": return [.byteLevel]
        case "Strip":
            return [.strip(left: try fields.bool("strip_left"), right: try fields.bool("strip_right"))]
        case "Replace":
            return [.replace(try fields.pattern("pattern"), Array(try fields.string("content").utf8))]
        case "Prepend": return [.prepend(Array(try fields.string("prepend").utf8))]
        default: throw .unsupported(place, "a normalizer of type \(type)")
        }
    }

    /// Whether what becomes of `text` begins with something else than its first character or what that
    /// became.
    func dropsBeginning(of text: [UInt8], _ matcher: ExpressionMatcher) -> Bool {
        switch self {
        case .strip(let left, _): left && Self.strip(text, left: true, right: false).count < text.count
        case .replace(let pattern, let content):
            pattern.matches(in: text, 0..<text.count, with: matcher).first.map { match in
                // What replaces several characters belongs to the last of them.
                match.lowerBound == 0 && !match.isEmpty
                    && (content.isEmpty || match.count > UTF8Character.length(lead: text[0]))
            } ?? false
        case .stripAccents:
            String(decoding: text, as: UTF8.self).unicodeScalars.first.map(Self.isMark) ?? false
        case .unicode, .lowercase, .prepend, .byteLevel: false
        }
    }

    /// - Parameter text: UTF-8.
    func apply(to text: [UInt8], _ matcher: ExpressionMatcher) -> [UInt8] {
        switch self {
        case .unicode(let form): return Self.normalize(text, form)
        case .lowercase: return Self.mapScalars(text) { $0.properties.lowercaseMapping }
        case .stripAccents: return Self.mapScalars(text) { Self.isMark($0) ? "" : String($0) }
        case .strip(let left, let right): return Self.strip(text, left: left, right: right)
        case .replace(let pattern, let content):
            return pattern.replace(in: text, with: content, matcher: matcher)
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .byteLevel: return ByteAlphabet.encode(text)
        }
    }

    /// Normalizes every run of characters beyond ASCII, with the one before it, which the first may compose
    /// with. ASCII characters neither change nor join what is before them.
    private static func normalize(_ text: [UInt8], _ form: UnicodeForm) -> [UInt8] {
        // Nothing below U+0300 composes; nothing below U+00C0 decomposes, compatibly below U+00A0.
        let firstAffected: UInt8 = form == .nfc ? 0xCC : form == .nfd ? 0xC3 : 0xC2
        var result: [UInt8] = []
        var done = 0
        while let affected = text[done...].firstIndex(where: { $0 >= firstAffected }) {
            let start = text[done..<affected].lastIndex { $0 < 0x80 } ?? done
            let end = text[affected...].firstIndex { $0 < 0x80 } ?? text.endIndex
            result += text[done..<start]
            result += normalize(String(decoding: text[start..<end], as: UTF8.self), form).utf8
            done = end
        }
        return done == 0 ? text : result + text[done...]
    }

    private static func normalize(_ text: String, _ form: UnicodeForm) -> String {
        // Foundation does not reorder the marks that one decomposition yields among those around it; a second
        // pass does.
        switch form {
        case .nfc, .nfd:
            let decomposed = text.decomposedStringWithCanonicalMapping.decomposedStringWithCanonicalMapping
            return form == .nfd ? decomposed : decomposed.precomposedStringWithCanonicalMapping
        case .nfkc, .nfkd:
            let decomposed = text.decomposedStringWithCompatibilityMapping
                .decomposedStringWithCompatibilityMapping
            return form == .nfkd ? decomposed : decomposed.precomposedStringWithCanonicalMapping
        }
    }

    private static func mapScalars(_ text: [UInt8], _ map: (Unicode.Scalar) -> String) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars { result += map(scalar).utf8 }
        return result
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: true
        default: false
        }
    }

    private static func strip(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
        var scalars = String(decoding: text, as: UTF8.self).unicodeScalars[...]
        while left, let first = scalars.first, first.properties.isWhitespace { scalars.removeFirst() }
        while right, let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return Array(String(String.UnicodeScalarView(scalars)).utf8)
    }
}
