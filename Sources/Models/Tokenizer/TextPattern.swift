/// What a normalizer, a pre-tokenizer or a decoder looks for.
enum TextPattern: Sendable {
    /// These bytes, not empty.
    case literal([UInt8])
    case expression(Expression)

    /// The matches in `text[range]`, in order and apart.
    func matches(
        in text: [UInt8], _ range: Range<Int>, with matcher: ExpressionMatcher? = nil
    ) -> [Range<Int>] {
        var found: [Range<Int>] = []
        forEachMatch(in: text, range, with: matcher) { found.append($0) }
        return found
    }

    /// - Parameter matcher: one that is at hand; otherwise an expression makes its own.
    func forEachMatch(
        in text: [UInt8], _ range: Range<Int>, with matcher: ExpressionMatcher? = nil,
        _ body: (Range<Int>) -> Void
    ) {
        switch self {
        case .expression(let expression):
            expression.forEachMatch(in: text, range, with: matcher ?? ExpressionMatcher(), body)
        case .literal(let bytes):
            var at = range.lowerBound
            while at + bytes.count <= range.upperBound {
                if Self.isMatch(text, at, bytes) {
                    body(at..<at + bytes.count)
                    at += bytes.count
                } else {
                    at += 1
                }
            }
        }
    }

    private static func isMatch(_ text: [UInt8], _ at: Int, _ bytes: [UInt8]) -> Bool {
        for i in 0..<bytes.count where text[at + i] != bytes[i] { return false }
        return true
    }

    /// `text` with every match replaced.
    func replace(in text: [UInt8], with content: [UInt8], matcher: ExpressionMatcher? = nil) -> [UInt8] {
        var result: [UInt8] = []
        var end = 0
        forEachMatch(in: text, 0..<text.count, with: matcher) { match in
            if result.isEmpty { result.reserveCapacity(text.count + content.count) }
            result += text[end..<match.lowerBound]
            result += content
            end = match.upperBound
        }
        if end == 0 && result.isEmpty { return text }
        result += text[end...]
        return result
    }
}
