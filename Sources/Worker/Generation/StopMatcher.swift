/// Looks for stop strings in text that arrives in pieces. The match is the one that is complete first; of
/// those that end at the same byte, the longest. So it does not depend on where the pieces are cut.
struct StopMatcher: Sendable {
    /// Byte positions in the whole text.
    struct Match: Sendable, Equatable {
        /// Which of the strings.
        var index: Int
        var range: Range<Int>
    }

    private let strings: [[UInt8]]
    private let longest: Int
    /// The last bytes of the text; it began `dropped` bytes before them.
    private var tail: [UInt8] = []
    private var dropped = 0

    /// - Parameter strings: not empty themselves.
    init(_ strings: [String]) {
        self.strings = strings.map { Array($0.utf8) }
        longest = self.strings.map(\.count).max() ?? 0
    }

    /// - Parameter searching: false lets no match end in this piece.
    mutating func push(_ piece: String, searching: Bool = true) -> Match? {
        var end = tail.count
        tail += piece.utf8
        while searching, end < tail.count {
            end += 1
            if let found = match(endingAt: end) { return found }
        }
        if tail.count > 4 * longest + 64 {
            let excess = tail.count - longest
            tail.removeFirst(excess)
            dropped += excess
        }
        return nil
    }

    private func match(endingAt end: Int) -> Match? {
        var best: Int?
        for (i, string) in strings.enumerated() {
            guard string.count <= end, tail[end - 1] == string[string.count - 1] else { continue }
            if let best, strings[best].count >= string.count { continue }
            if tail[(end - string.count)..<end].elementsEqual(string) { best = i }
        }
        return best.map { Match(index: $0, range: (dropped + end - strings[$0].count)..<(dropped + end)) }
    }
}
