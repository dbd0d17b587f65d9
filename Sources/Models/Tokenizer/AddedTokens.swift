import JSON

/// A token that is found in the text before the model sees it
/// (https://huggingface.co/docs/tokenizers/api/added-tokens).
struct AddedToken: Sendable {
    var id: Int32
    var content: [UInt8]
    var isSpecial: Bool
    /// Only between what are no word characters.
    var singleWord: Bool
    /// White space around it belongs to it.
    var stripsLeft: Bool
    var stripsRight: Bool
    /// It is normalized, and found in normalized text.
    var isNormalized: Bool

    /// Reads an element of `added_tokens` or of `added_tokens_decoder`.
    init(_ fields: ComponentFields, id: Int32) throws(TokenizerError) {
        self.id = id
        content = Array(try fields.string("content").utf8)
        isSpecial = try fields.bool("special", default: false)
        singleWord = try fields.bool("single_word", default: false)
        stripsLeft = try fields.bool("lstrip", default: false)
        stripsRight = try fields.bool("rstrip", default: false)
        isNormalized = try fields.bool("normalized", default: !isSpecial)
    }

    /// A special token that only the configuration names.
    init(special content: [UInt8], id: Int32) {
        self.id = id
        self.content = content
        isSpecial = true
        singleWord = false
        stripsLeft = false
        stripsRight = false
        isNormalized = false
    }
}

/// Finds added tokens as the tokenizers library does: leftmost first, the longest of those; those that are
/// not normalized in the text as written, then the others in what is left, normalized.
struct AddedTokens: Sendable {
    private let tokens: [AddedToken]
    private let written: TokenTrie
    private let normalized: TokenTrie

    /// - Parameter normalizedContent: the content of a normalized token, normalized.
    init(_ tokens: [AddedToken], normalizedContent: (AddedToken) -> [UInt8]) {
        self.tokens = tokens
        var written: [(bytes: [UInt8], value: Int32)] = []
        var normalized: [(bytes: [UInt8], value: Int32)] = []
        for (i, token) in tokens.enumerated() {
            if !token.isNormalized {
                written.append((token.content, Int32(i)))
            } else {
                let content = normalizedContent(token)
                if !content.isEmpty { normalized.append((content, Int32(i))) }
            }
        }
        self.written = TokenTrie(written)
        self.normalized = TokenTrie(normalized)
    }

    enum Stage { case written, normalized }

    /// The parts of `text`, without empty ones.
    /// - Parameter parseSpecial: false leaves special tokens to be ordinary text.
    func parts(of text: [UInt8], _ stage: Stage, parseSpecial: Bool) -> [TextPart] {
        let trie = stage == .written ? written : normalized
        var parts: [TextPart] = []
        var end = 0
        var at = 0
        while !trie.isEmpty && at < text.count {
            guard trie.begins(with: text[at]), let found = trie.longest(in: text, from: at, to: text.count)
            else {
                at += 1
                continue
            }
            let token = tokens[Int(found.value)]
            var start = at
            var stop = found.end
            at = found.end
            if token.isSpecial && !parseSpecial { continue }
            if token.singleWord
                && (Self.isWord(text[..<start].lastScalar) || Self.isWord(text[stop...].firstScalar))
            {
                continue
            }
            if token.stripsLeft {
                while start > end, let scalar = text[end..<start].lastScalar, scalar.properties.isWhitespace {
                    start -= UTF8.width(scalar)
                }
                start = max(start, end)
            }
            if token.stripsRight {
                while let scalar = text[stop...].firstScalar, scalar.properties.isWhitespace {
                    stop += UTF8.width(scalar)
                }
            }
            if end < start { parts.append(.text(end..<start)) }
            // Nothing is left of a token within white space that the one before it has taken.
            if start < stop { parts.append(.token(token.id)) }
            end = stop
        }
        if end < text.count { parts.append(.text(end..<text.count)) }
        return parts
    }

    /// Rust's `\w`.
    private static func isWord(_ scalar: Unicode.Scalar?) -> Bool {
        guard let scalar else { return false }
        if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}

extension ArraySlice<UInt8> {
    /// The character that well-formed UTF-8 begins with.
    fileprivate var firstScalar: Unicode.Scalar? {
        guard let lead = first else { return nil }
        return String(decoding: prefix(UTF8Character.length(lead: lead)), as: UTF8.self).unicodeScalars.first
    }

    /// The character that well-formed UTF-8 ends with.
    fileprivate var lastScalar: Unicode.Scalar? {
        guard let start = lastIndex(where: { $0 & 0xC0 != 0x80 }) else { return nil }
        return String(decoding: self[start...], as: UTF8.self).unicodeScalars.first
    }
}
