import DequeModule

/// When a server counted requests, as nearly as its answers tell. Where many are sent at once the last of them may wait
/// a second for a connection, or for the server; a span that is counted from their sending ends too early for them.
///
/// What a request waited is what its answer took longer than the quickest answers do. Answers take their time for other
/// reasons, too (long completions), but requests that are sent together wait together, and among their answers some
/// are quick. What is turned away takes no time but waiting.
package struct CountingTimes: Sendable, Equatable {
    /// Requests that were sent one after the other.
    private struct Group: Sendable, Equatable {
        var number: UInt64
        var sentAt: Int64
        var leastMs = Int64.max
        var leastTurnedAwayMs = Int64.max
    }

    /// By number, without gaps.
    private var groups: Deque<Group> = []
    /// Least time from sending to answer in this stretch of time, and in the one before.
    private var leastMs = Int64.max
    private var leastBeforeMs = Int64.max
    private var stretch: Int64 = .min
    private static let stretchMs: Int64 = 60_000
    private static let groupSize: UInt64 = 16
    /// Those that were sent last in a group waited a little longer than the one that says how long.
    private static let marginMs: Int64 = 250
    private static let mostGroups = 1024
    /// Groups whose sending is not farther apart wait together.
    private static let nearMs: Int64 = 1000

    package init() {}

    package mutating func send(_ sequence: UInt64, at now: Int64) {
        let number = sequence / Self.groupSize
        guard number != groups.last?.number else { return }
        if let last = groups.last, last.number + 1 != number { groups = [] }
        groups.append(Group(number: number, sentAt: now))
        if groups.count > Self.mostGroups { groups.removeFirst() }
    }

    /// - Returns: when an answered request was counted.
    package mutating func answer(_ sequence: UInt64, sentAt: Int64, at now: Int64) -> Int64 {
        turnStretch(at: now)
        let tookMs = max(0, now - sentAt)
        leastMs = min(leastMs, tookMs)
        if let at = place(of: sequence) { groups[at].leastMs = min(groups[at].leastMs, tookMs) }
        let lagMs = max(0, min(tookMs - min(leastMs, leastBeforeMs), groupLagMs(sequence)))
        return sentAt + min(lagMs + min(lagMs, Self.marginMs), tookMs)
    }

    /// It came back without having been computed.
    package mutating func turnAway(_ sequence: UInt64, sentAt: Int64, at now: Int64) {
        guard let at = place(of: sequence) else { return }
        groups[at].leastTurnedAwayMs = min(groups[at].leastTurnedAwayMs, max(0, now - sentAt))
    }

    private mutating func turnStretch(at now: Int64) {
        let current = now / Self.stretchMs
        guard current != stretch else { return }
        leastBeforeMs = current == stretch &+ 1 ? leastMs : .max
        (leastMs, stretch) = (.max, current)
    }

    private func place(of sequence: UInt64) -> Int? {
        guard let first = groups.first?.number, sequence / Self.groupSize >= first else { return nil }
        let at = Int(sequence / Self.groupSize - first)
        return at < groups.count ? at : nil
    }

    private func groupLagMs(_ sequence: UInt64) -> Int64 {
        guard let at = place(of: sequence) else { return .max }
        var found = Int64.max
        for near in at...min(groups.count - 1, at + 1)
        where abs(groups[near].sentAt - groups[at].sentAt) <= Self.nearMs {
            let answerMs = min(leastMs, leastBeforeMs)
            if groups[near].leastMs < .max { found = min(found, groups[near].leastMs - answerMs) }
            found = min(found, groups[near].leastTurnedAwayMs)
        }
        return found
    }
}
