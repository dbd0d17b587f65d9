/// A part of a text: one token, or text still to be encoded.
enum TextPart: Sendable, Equatable {
    case token(Int32)
    case text(Range<Int>)
}

/// Finds a GGUF vocabulary's special and user-defined tokens in a text as llama.cpp does: the longest token
/// takes all its places first, then the next longest takes places in what is left, and so on.
struct SpecialPartition: Sendable {
    struct Token: Sendable {
        var id: Int32
        var bytes: [UInt8]
        /// Only looked for when special tokens are.
        var isSpecial: Bool
        /// White space behind it belongs to it.
        var stripsRight: Bool
    }

    /// Longest first, then by id: the order in which tokens take their places.
    private let tokens: [Token]
    /// Finds positions in `tokens`.
    private let trie: TokenTrie

    init(_ tokens: [Token]) {
        let ordered = tokens.filter { !$0.bytes.isEmpty }.sorted {
            $0.bytes.count == $1.bytes.count ? $0.id < $1.id : $0.bytes.count > $1.bytes.count
        }
        self.tokens = ordered
        trie = TokenTrie(ordered.enumerated().map { ($1.bytes, Int32($0)) })
    }

    /// The parts of `text`, in order, without empty ones.
    func parts(of text: [UInt8], parseSpecial: Bool) -> [TextPart] {
        let accepts = { (order: Int32) in parseSpecial || !tokens[Int(order)].isSpecial }
        var candidates = MergeQueue()
        for at in 0..<text.count where trie.begins(with: text[at]) {
            if let found = trie.longest(in: text, from: at, to: text.count, accepts: accepts) {
                candidates.appendUnordered(rank: UInt32(found.value), position: UInt32(at))
            }
        }
        if candidates.isEmpty { return text.isEmpty ? [] : [.text(0..<text.count)] }
        candidates.order()

        // Each place's best candidate in the order of tokens; where another token has taken its end, the
        // place's next.
        var taken = [Bool](repeating: false, count: text.count)
        var places: [(start: Int, order: Int)] = []
        while let best = candidates.removeFirst() {
            let start = Int(best.position)
            let token = tokens[Int(best.rank)]
            let end = start + token.bytes.count
            let free = (start..<end).first { taken[$0] } ?? end
            if free == start { continue }
            if free < end {
                if let shorter = trie.longest(in: text, from: start, to: free, accepts: accepts) {
                    candidates.insert(rank: UInt32(shorter.value), position: best.position)
                }
                continue
            }
            var stop = end
            while token.stripsRight, stop < text.count, !taken[stop], Self.isSpace(text[stop]) { stop += 1 }
            for i in start..<stop { taken[i] = true }
            places.append((start, Int(best.rank)))
        }
        return assemble(text.count, taken, places.sorted { $0.start < $1.start })
    }

    private func assemble(_ count: Int, _ taken: [Bool], _ places: [(start: Int, order: Int)]) -> [TextPart] {
        var parts: [TextPart] = []
        var at = 0
        for place in places {
            appendText(at, place.start, taken, to: &parts)
            parts.append(.token(tokens[place.order].id))
            at = place.start + tokens[place.order].bytes.count
        }
        appendText(at, count, taken, to: &parts)
        return parts
    }

    private func appendText(_ start: Int, _ end: Int, _ taken: [Bool], to parts: inout [TextPart]) {
        var start = start
        while start < end && taken[start] { start += 1 }
        if start < end { parts.append(.text(start..<end)) }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
