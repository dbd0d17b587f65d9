/// What a word's symbols are before, while and after they are merged. What the two numbers mean is the rule's
/// business.
struct MergeSymbol: Sendable {
    var first: UInt32
    var second: UInt32
}

/// Says which neighbours may be merged.
protocol MergeRule {
    /// The symbol that the two become and the rank of doing so (low ranks first); nil when they stay apart.
    func merge(_ left: MergeSymbol, _ right: MergeSymbol) -> (rank: UInt32, symbol: MergeSymbol)?
}

/// The symbols of one word, merged best pair first, leftmost first among equals, until no rule applies:
/// byte-pair encoding (https://arxiv.org/abs/1508.07909). Keeps its buffers from word to word.
///
/// Short words look for the best pair by scanning; long ones (a page of one letter) keep pairs in a heap, so
/// that n symbols cost n log n.
struct SymbolChain: Sendable {
    /// After `mergeAll`, what the word became.
    private(set) var symbols: [MergeSymbol] = []
    private var ranks: [UInt32] = []
    private var next: [UInt32] = []
    private var previous: [UInt32] = []
    private var queue = MergeQueue()

    private static let scannedUpTo = 24
    private static let apart = UInt32.max
    private static let none = UInt32.max

    mutating func removeAll() { symbols.removeAll(keepingCapacity: symbols.capacity <= 1 << 16) }

    mutating func append(_ symbol: MergeSymbol) { symbols.append(symbol) }

    mutating func mergeAll(_ rule: some MergeRule) {
        if symbols.count < 2 { return }
        if symbols.count <= Self.scannedUpTo { mergeByScanning(rule) } else { mergeByHeap(rule) }
    }

    private mutating func mergeByScanning(_ rule: some MergeRule) {
        ranks.removeAll(keepingCapacity: true)
        for i in 0..<symbols.count - 1 { ranks.append(rank(rule, i, i + 1)) }
        while true {
            var best = Self.apart
            var at = 0
            for i in 0..<ranks.count where ranks[i] < best {
                best = ranks[i]
                at = i
            }
            guard best != Self.apart, let merged = rule.merge(symbols[at], symbols[at + 1]) else { return }
            symbols[at] = merged.symbol
            symbols.remove(at: at + 1)
            ranks.remove(at: at)
            if at > 0 { ranks[at - 1] = rank(rule, at - 1, at) }
            if at < ranks.count { ranks[at] = rank(rule, at, at + 1) }
        }
    }

    private mutating func mergeByHeap(_ rule: some MergeRule) {
        let count = symbols.count
        next = (1...count).map { $0 == count ? Self.none : UInt32($0) }
        previous = (0..<count).map { $0 == 0 ? Self.none : UInt32($0 - 1) }
        queue.removeAll()
        for i in 0..<count - 1 {
            let rank = rank(rule, i, i + 1)
            if rank != Self.apart { queue.appendUnordered(rank: rank, position: UInt32(i)) }
        }
        queue.order()

        while let top = queue.removeFirst() {
            // An entry whose neighbours have changed since is stale: those there now were queued with their
            // own rank.
            let at = Int(top.position)
            guard previous[at] != top.position, next[at] != Self.none else { continue }
            let right = Int(next[at])
            guard let merged = rule.merge(symbols[at], symbols[right]), merged.rank == top.rank else {
                continue
            }
            symbols[at] = merged.symbol
            next[at] = next[right]
            if next[at] != Self.none { previous[Int(next[at])] = top.position }
            // A symbol that was merged into its left neighbour is its own predecessor.
            previous[right] = UInt32(right)
            queueMerge(rule, previous[at], top.position)
            queueMerge(rule, top.position, next[at])
        }
        compact()
    }

    private mutating func queueMerge(_ rule: some MergeRule, _ left: UInt32, _ right: UInt32) {
        if left == Self.none || right == Self.none { return }
        let rank = rank(rule, Int(left), Int(right))
        if rank != Self.apart { queue.insert(rank: rank, position: left) }
    }

    private func rank(_ rule: some MergeRule, _ left: Int, _ right: Int) -> UInt32 {
        rule.merge(symbols[left], symbols[right])?.rank ?? Self.apart
    }

    private mutating func compact() {
        var kept = 0
        var at = UInt32(0)
        while at != Self.none {
            symbols[kept] = symbols[Int(at)]
            kept += 1
            at = next[Int(at)]
        }
        symbols.removeLast(symbols.count - kept)
        if next.count > 1 << 16 {
            next = []
            previous = []
            queue = MergeQueue()
        }
    }
}

/// A binary min-heap of (rank, position), each pair one number.
struct MergeQueue: Sendable {
    private var heap: [UInt64] = []

    var isEmpty: Bool { heap.isEmpty }

    mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

    mutating func appendUnordered(rank: UInt32, position: UInt32) {
        heap.append(UInt64(rank) << 32 | UInt64(position))
    }

    /// Makes a heap of what was appended unordered.
    mutating func order() {
        for i in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(i) }
    }

    mutating func insert(rank: UInt32, position: UInt32) {
        let entry = UInt64(rank) << 32 | UInt64(position)
        heap.append(entry)
        var at = heap.count - 1
        while at > 0 {
            let parent = (at - 1) / 2
            if heap[parent] <= entry { break }
            heap[at] = heap[parent]
            at = parent
        }
        heap[at] = entry
    }

    mutating func removeFirst() -> (rank: UInt32, position: UInt32)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            sink(0)
        }
        return (UInt32(first >> 32), UInt32(truncatingIfNeeded: first))
    }

    private mutating func sink(_ start: Int) {
        let entry = heap[start]
        var at = start
        while true {
            var child = 2 * at + 1
            if child >= heap.count { break }
            if child + 1 < heap.count && heap[child + 1] < heap[child] { child += 1 }
            if heap[child] >= entry { break }
            heap[at] = heap[child]
            at = child
        }
        heap[at] = entry
    }
}
