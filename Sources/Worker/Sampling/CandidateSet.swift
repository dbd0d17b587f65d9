import Glibc

/// A token that may be chosen.
struct Candidate: Sendable {
    var token: Int32
    /// Its adjusted logit.
    var value: Double
    /// Its probability relative to the most likely token's, at the sampling temperature.
    var weight: Double

    /// The order of every cut: by logit; of equal ones the larger id first, as a stable ascending sort leaves
    /// them.
    func ranksBefore(_ other: Candidate) -> Bool {
        value != other.value ? value > other.value : token > other.token
    }
}

/// The tokens that are left to choose from, in the order in which the draw walks them. Cuts find their place
/// by selection, never by sorting the vocabulary. Keeps its memory between tokens.
struct CandidateSet: ~Copyable {
    private(set) var members: [Candidate] = []
    private var ranked: [Candidate] = []

    /// Windows up to this size are sorted.
    private static let sortedFrom = 32
    /// Selection halves its window on most rounds; one that does not is sorted after this many.
    private static let maxRounds = 64

    var count: Int { members.count }
    var weight: Double { members.reduce(0) { $0 + $1.weight } }

    mutating func removeAll() { members.removeAll(keepingCapacity: true) }

    mutating func insert(_ candidate: Candidate) { members.append(candidate) }

    /// Drops tokens less than `share` as likely as the most likely one.
    mutating func cutBelow(share: Double) { members.removeAll { $0.weight < share } }

    /// Keeps every token whose logit is at least the k-th largest: ties stay.
    mutating func cut(topK k: Int) {
        guard k > 0, k < members.count else { return }
        ranked.replaceSubrange(ranked.indices, with: members)
        var window = ranked.indices
        var rounds = 0
        while window.count > Self.sortedFrom, rounds < Self.maxRounds {
            let middle = split(window)
            // ranked[middle] is in its place: `middle` tokens rank before it.
            if k <= middle {
                window = window.lowerBound..<middle
            } else if k == middle + 1 {
                window = middle..<(middle + 1)
            } else {
                window = (middle + 1)..<window.upperBound
            }
            rounds += 1
        }
        ranked[window].sort { $0.ranksBefore($1) }
        let last = ranked[k - 1].value
        members.removeAll { $0.value < last }
    }

    /// Keeps the most likely tokens: from the least likely up, drops while the sum of what was dropped stays
    /// within `1 - p`. The most likely token always stays.
    /// - Parameters:
    ///   - rest: the weight of tokens outside of this set, all less likely than its members.
    ///   - keepingFrom: a logit from which on tokens are known to stay.
    mutating func cut(topP p: Double, rest: Double, keepingFrom sure: Double = .infinity) {
        let total = weight + rest
        let limit = 1 - p
        ranked.removeAll(keepingCapacity: true)
        for member in members where member.value < sure { ranked.append(member) }
        guard !ranked.isEmpty else { return }
        var window = ranked.indices
        var below = rest / total
        var rounds = 0
        while window.count > Self.sortedFrom, rounds < Self.maxRounds {
            let middle = split(window)
            // Down to and with ranked[middle]; what ranks behind it is `lower`.
            let lower = ranked[(middle + 1)..<window.upperBound].reduce(0) { $0 + $1.weight / total }
            let share = ranked[middle].weight / total
            if below + lower > limit {
                window = (middle + 1)..<window.upperBound
            } else if below + lower + share > limit {
                window = middle..<(middle + 1)
                below += lower
            } else {
                window = window.lowerBound..<middle
                below += lower + share
            }
            rounds += 1
        }
        ranked[window].sort { $0.ranksBefore($1) }
        let least = ranked.count == members.count ? 1 : 0
        var kept = window.upperBound
        while kept > max(window.lowerBound, least) {
            below += ranked[kept - 1].weight / total
            guard below <= limit else { break }
            kept -= 1
        }
        if kept == 0 {
            members.removeAll { $0.value < sure }
        } else {
            let last = ranked[kept - 1]
            members.removeAll { last.ranksBefore($0) }
        }
    }

    /// Rearranges a window of `ranked` around one of its members: those that rank before it come before it.
    /// Returns its place.
    private mutating func split(_ window: Range<Int>) -> Int {
        let (first, middle, last) = (
            window.lowerBound, (window.lowerBound + window.upperBound) / 2, window.upperBound - 1
        )
        // The median of three goes last.
        if ranked[middle].ranksBefore(ranked[first]) { ranked.swapAt(first, middle) }
        if ranked[last].ranksBefore(ranked[first]) { ranked.swapAt(first, last) }
        if ranked[middle].ranksBefore(ranked[last]) { ranked.swapAt(middle, last) }
        let pivot = ranked[last]
        var place = first
        for i in first..<last where ranked[i].ranksBefore(pivot) {
            ranked.swapAt(i, place)
            place += 1
        }
        ranked.swapAt(place, last)
        return place
    }
}
