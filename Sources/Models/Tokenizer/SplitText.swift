/// A text in pieces, which pre-tokenizers split further.
struct SplitText {
    private(set) var text: [UInt8]
    /// In order and apart; never empty ones.
    private(set) var pieces: [Range<Int>]
    /// The first piece begins where the whole text begins.
    private var isFirst: Bool

    init(_ text: [UInt8], isFirst: Bool) {
        self.text = text
        self.isFirst = isFirst
        pieces = text.isEmpty ? [] : [0..<text.count]
    }

    mutating func apply(_ step: PreTokenizer, _ matcher: ExpressionMatcher) {
        switch step {
        case .split(let pattern, let behavior, let inverted): split(pattern, behavior, inverted, matcher)
        case .replace(let pattern, let content):
            rewrite { pattern.replace(in: Array($0), with: content, matcher: matcher) }
        case .byteLevel: rewrite { ByteAlphabet.encode($0) }
        case .prefix(let mark, let firstOnly):
            let first = isFirst ? 0 : -1
            rewrite { piece, index in
                piece.starts(with: mark) || firstOnly && index != first ? Array(piece) : mark + piece
            }
        }
    }

    private mutating func rewrite(_ change: (ArraySlice<UInt8>) -> [UInt8]) {
        rewrite { piece, _ in change(piece) }
    }

    private mutating func rewrite(_ change: (ArraySlice<UInt8>, Int) -> [UInt8]) {
        var changed: [UInt8] = []
        changed.reserveCapacity(text.count)
        for (i, piece) in pieces.enumerated() {
            let start = changed.count
            changed += change(text[piece], i)
            pieces[i] = start..<changed.count
        }
        pieces.removeAll { $0.isEmpty }
        text = changed
    }

    private mutating func split(
        _ pattern: TextPattern, _ behavior: SplitBehavior, _ inverted: Bool, _ matcher: ExpressionMatcher
    ) {
        var result: [Range<Int>] = []
        result.reserveCapacity(pieces.count)
        for piece in pieces {
            if behavior == .isolated {
                isolate(pattern, piece, matcher, to: &result)
            } else {
                Self.append(spans(pattern, piece, inverted, matcher), behavior, to: &result)
            }
        }
        if result.first?.lowerBound != pieces.first?.lowerBound { isFirst = false }
        pieces = result
    }

    /// Matches and what lies between them, alike pieces: whether inverted or not is the same.
    private func isolate(
        _ pattern: TextPattern, _ piece: Range<Int>, _ matcher: ExpressionMatcher,
        to result: inout [Range<Int>]
    ) {
        var end = piece.lowerBound
        pattern.forEachMatch(in: text, piece, with: matcher) { match in
            if end < match.lowerBound { result.append(end..<match.lowerBound) }
            if !match.isEmpty { result.append(match) }
            end = match.upperBound
        }
        if end < piece.upperBound { result.append(end..<piece.upperBound) }
    }

    private struct Span {
        var range: Range<Int>
        var isDelimiter: Bool
    }

    private func spans(
        _ pattern: TextPattern, _ piece: Range<Int>, _ inverted: Bool, _ matcher: ExpressionMatcher
    ) -> [Span] {
        var spans: [Span] = []
        var end = piece.lowerBound
        pattern.forEachMatch(in: text, piece, with: matcher) { match in
            if end < match.lowerBound {
                spans.append(Span(range: end..<match.lowerBound, isDelimiter: inverted))
            }
            spans.append(Span(range: match, isDelimiter: !inverted))
            end = match.upperBound
        }
        if end < piece.upperBound { spans.append(Span(range: end..<piece.upperBound, isDelimiter: inverted)) }
        return spans
    }

    /// Joins and drops spans as `behavior` says. The first delimiter of a run is the one that is merged.
    private static func append(_ spans: [Span], _ behavior: SplitBehavior, to result: inout [Range<Int>]) {
        var joined: [Range<Int>] = []
        var previous = false
        let backwards = behavior == .mergedWithNext
        for span in backwards ? spans.reversed() : spans {
            let joins: Bool
            switch behavior {
            case .isolated: joins = false
            case .removed:
                if !span.isDelimiter { joined.append(span.range) }
                continue
            case .contiguous: joins = span.isDelimiter == previous
            case .mergedWithPrevious, .mergedWithNext: joins = span.isDelimiter && !previous
            }
            if joins, let last = joined.last {
                joined[joined.count - 1] =
                    backwards
                    ? span.range.lowerBound..<last.upperBound : last.lowerBound..<span.range.upperBound
            } else {
                joined.append(span.range)
            }
            previous = span.isDelimiter
        }
        if backwards { joined.reverse() }
        result += joined.filter { !$0.isEmpty }
    }
}
