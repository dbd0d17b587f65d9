import DequeModule

/// How much may be sent to a server in a span of time, learned from what was sent and from what the server says.
///
/// Servers count in different ways: over a rolling span, in fixed spans, or with a bucket that refills steadily.
/// Whoever never sends more than the limit in any span keeps within all three, so that is the rule at first. The
/// server's own word (`remaining`) then replaces our count, less what was sent after the request that brought it.
/// When its `reset` shows steady refilling, time gives back in proportion instead of a span later, which is worth up
/// to one span. When its reset has passed, one request may ask anew although our count has no room: so a fixed span
/// that began, or what others left, is noticed at the cost of a refusal or two a span. Once such a question found
/// everything free, the next resets are believed: sending goes on at ten times the limit's pace before the first
/// answer.
///
/// What is remembered is bounded: sends are counted in 240 granules of the span, each given back when the whole granule
/// has left it.
package struct RateWindow: Sendable, Equatable, Codable {
    private struct Granule: Sendable, Equatable, Codable {
        /// Counts granules from time 0.
        var number: Int64
        var amount: Int
    }

    private struct Sent: Sendable, Equatable, Codable {
        var sequence: UInt64
        var amount: Int
        var at: Int64
    }

    /// The server's last statement.
    private struct Word: Sendable, Equatable, Codable {
        /// Of the request that brought it.
        var sequence: UInt64
        /// What remained, less what was sent after that request, plus what time gave back since.
        var level: Double
        /// Until when time's part is in `level`.
        var at: Int64
        var heardAt: Int64
        /// When it should hold no longer: as early as the server can have meant (it may have written its word when it
        /// took the request in), and as late.
        var resetAt: Int64?
        var latestResetAt: Int64?
        /// What was sent after `resetAt` although `level` had no room.
        var unconfirmed = 0
    }

    /// Nil: not known; nothing is held back.
    package private(set) var limit: Int?
    package let windowMs: Int64
    private var granules: Deque<Granule> = []
    private var used = 0
    /// Sends after the last word's request.
    private var later: Deque<Sent> = []
    private var word: Word?
    /// Statements in a row whose reset was that of a bucket; below zero: a refusal contradicted it.
    private var refillEvidence = 0
    /// What a bucket takes to fill. Some servers' minutes are shorter than ours.
    private var refillMs: Double
    private var otherRefill = OtherRefill()
    /// A request that asks although there is no room, until it is answered.
    private var probe: UInt64?
    private var noProbeBefore = Int64.min
    /// Whether resets were found to give everything back; nil: not asked yet.
    private var resetsAreFull: Bool?

    /// Whether `hear` is ever called; without it sends need not be remembered one by one.
    private let hearsWords: Bool

    private static let believedPace = 10.0
    private static let granuleCount: Int64 = 240
    private static let refillEvidenceNeeded = 4
    /// Answers older than this say nothing of the present, so their sends need no place in `later`.
    private static let maxAnswerMs: Int64 = 600_000

    package init(limit: Int?, windowMs: Int64, hearsWords: Bool = true) {
        precondition(windowMs > 0 && (limit ?? 1) > 0, "a rate is a positive amount in a positive time")
        self.limit = limit
        self.hearsWords = hearsWords
        refillMs = Double(windowMs)
        self.windowMs = windowMs
    }

    private var granuleMs: Int64 { max(1, windowMs / Self.granuleCount) }
    package var isRefilling: Bool { refillEvidence >= Self.refillEvidenceNeeded }

    /// The most that one request can be counted as: a larger one goes when everything is free.
    private func fitted(_ amount: Int) -> Double { Double(min(amount, limit ?? amount)) }

    /// Takes this for the limit, though the server did not say so; nil: nothing is held back until it says one.
    package mutating func assume(limit: Int?) {
        precondition((limit ?? 1) > 0, "a rate is a positive amount in a positive time")
        self.limit = limit
    }

    /// What our own count of the span has.
    package mutating func used(at now: Int64) -> Int {
        advance(to: now)
        return used
    }

    /// The part of it that was sent since.
    package func used(since time: Int64) -> Int {
        let first = max(0, time) / granuleMs
        return granules.reduce(0) { $0 + ($1.number >= first ? $1.amount : 0) }
    }

    /// What our own count leaves of the limit, whatever the server says.
    package mutating func uncounted(at now: Int64) -> Double {
        advance(to: now)
        return limit.map { Double($0 - used) } ?? .infinity
    }

    /// What may be sent now.
    package mutating func available(at now: Int64) -> Double {
        advance(to: now)
        guard let limit else { return .infinity }
        return min(Double(limit), word?.level ?? Double(limit - used))
    }

    package enum Verdict: Sendable, Equatable {
        case now
        case notBefore(Int64)
        /// Only an answer can tell.
        case afterAnswer
    }

    package mutating func admit(_ amount: Int, at now: Int64) -> Verdict {
        let free = available(at: now)
        let wanted = fitted(amount)
        if free >= wanted || mayProbe(at: now) { return .now }
        if let at = whenFree(wanted - free, at: now) { return .notBefore(max(now + 1, at)) }
        return .afterAnswer
    }

    /// Whether a request may go although our count has no room, because the server's reset has passed.
    private func mayProbe(at now: Int64) -> Bool {
        guard let word, let resetAt = word.resetAt, let limit, now >= max(resetAt, noProbeBefore) else { return false }
        if probe == nil { return true }
        guard resetsAreFull == true else { return false }
        let paced = Double(limit) * Double(now - resetAt) * Self.believedPace / Double(windowMs)
        return Double(word.unconfirmed) < min(paced, Double(limit))
    }

    /// When time alone will have given back `missing`.
    private func whenFree(_ missing: Double, at now: Int64) -> Int64? {
        var times: [Int64] = []
        if isRefilling, word != nil, let limit {
            times.append(now + Int64((missing / Double(limit) * refillMs).rounded(.up)))
        } else {
            var returned = 0.0
            for granule in granules {
                returned += Double(granule.amount)
                if returned >= missing {
                    times.append(end(of: granule))
                    break
                }
            }
        }
        if let word {
            // At the latest a span after the word, when our own count is all there is.
            times.append(word.heardAt.advanced(byMs: windowMs))
            if let resetAt = word.resetAt {
                if probe == nil { times.append(max(resetAt, noProbeBefore)) }
                if resetsAreFull == true, let limit {
                    let paceMs = Double(word.unconfirmed + 1) * Double(windowMs) / Double(limit) / Self.believedPace
                    times.append(max(resetAt + Int64(paceMs.rounded(.up)), noProbeBefore))
                }
            }
        }
        return times.min()
    }

    private func end(of granule: Granule) -> Int64 { (granule.number + 1) * granuleMs + windowMs }

    package mutating func send(_ amount: Int, sequence: UInt64, at now: Int64) {
        advance(to: now)
        if let limit, (word?.level ?? Double(limit - used)) < fitted(amount), mayProbe(at: now) {
            if probe == nil { probe = sequence }
            word?.unconfirmed += amount
        }
        count(amount, at: now)
        word?.level -= Double(amount)
        if hearsWords { later.append(Sent(sequence: sequence, amount: amount, at: now)) }
    }

    private mutating func count(_ amount: Int, at time: Int64) {
        used += amount
        let number = time >= 0 ? time / granuleMs : 0
        var at = granules.endIndex
        while at > granules.startIndex, granules[at - 1].number > number { at -= 1 }
        if at > granules.startIndex, granules[at - 1].number == number {
            granules[at - 1].amount += amount
        } else {
            granules.insert(Granule(number: number, amount: amount), at: at)
        }
    }

    /// A request sent as `amount` took `actual`: zero if it was refused.
    /// - Parameter countedAt: when the server counted it, where that is known.
    package mutating func correct(
        _ sequence: UInt64, from amount: Int, to actual: Int, sentAt: Int64, countedAt: Int64? = nil, at now: Int64
    ) {
        if probe == sequence { probe = nil }
        advance(to: now)
        // Its granule may have left already; then it no longer matters.
        func isCounted(_ time: Int64) -> Bool { (time / granuleMs + 1) * granuleMs + windowMs > now }
        if let countedAt, countedAt / granuleMs > sentAt / granuleMs {
            if isCounted(sentAt) { count(-amount, at: sentAt) }
            if isCounted(countedAt) { count(actual, at: countedAt) }
        } else if actual != amount, isCounted(sentAt) {
            count(actual - amount, at: sentAt)
        }
        guard actual != amount, let at = place(of: sequence) else { return }
        later[at].amount = actual
        word?.level -= Double(actual - amount)
    }

    /// Where a send is in `later`, which is in order of sending.
    private func place(of sequence: UInt64) -> Int? {
        var low = later.startIndex
        var high = later.endIndex
        while low < high {
            let middle = (low + high) / 2
            if later[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low < later.endIndex && later[low].sequence == sequence ? low : nil
    }

    /// Takes the server's word, brought by the answer to the request `sequence`.
    package mutating func hear(
        _ report: RateReport.Amount, sequence: UInt64, sentAt: Int64, at now: Int64
    ) {
        advance(to: now)
        if let stated = report.limit, stated > 0 { limit = stated }
        guard let remaining = report.remaining, let limit else { return }
        noteKind(remaining: remaining, limit: limit, resetMs: report.resetMs)
        // The answers of requests sent together come in any order; an older one knows less.
        if let word, word.sequence > sequence { return }
        while let first = later.first, first.sequence <= sequence { later.removeFirst() }
        let since = later.reduce(0) { $0 + $1.amount }
        if let resetAt = word?.resetAt, sentAt >= resetAt, word?.unconfirmed ?? 0 > 0, resetsAreFull != false {
            // The first word after a reset tells whether it gave everything back.
            resetsAreFull = 10 * remaining >= 8 * limit ? true : resetsAreFull
        }
        word = Word(
            sequence: sequence, level: Double(remaining - since), at: now, heardAt: now,
            resetAt: report.resetMs.map { sentAt.advanced(byMs: max(0, $0)) },
            latestResetAt: report.resetMs.map { now.advanced(byMs: max(0, $0)) })
    }

    /// A bucket that refills says it will be full after the time its missing part takes.
    private mutating func noteKind(remaining: Int, limit: Int, resetMs: Int64?) {
        guard let resetMs else { return }
        let missing = Double(limit - remaining) / Double(limit)
        let matches = isBucketLike(remaining: remaining, limit: limit, resetMs: resetMs)
        // Nearly full or nearly empty, a fixed span can look the same.
        if !matches {
            refillEvidence = min(refillEvidence, 0)
            if let other = otherRefill.note(missing: missing, resetMs: resetMs), other < Double(windowMs) {
                refillMs = other
                refillEvidence = Self.refillEvidenceNeeded
            }
        } else if missing > 0.02 && missing < 0.9 || isRefilling {
            refillEvidence = min(Self.refillEvidenceNeeded + 4, refillEvidence + 1)
        }
    }

    private func isBucketLike(remaining: Int, limit: Int, resetMs: Int64) -> Bool {
        let refill = Double(limit - remaining) / Double(limit) * refillMs
        return abs(Double(resetMs) - refill) <= 0.02 * refillMs
    }

    /// The server refused: what the model said was wrong, or others took it.
    package mutating func refuse(_ sequence: UInt64, _ report: RateReport.Amount, at now: Int64) {
        if isRefilling {
            // It may only have counted a little more than we did.
            let isStill = limit.flatMap { limit in
                report.remaining.flatMap { remaining in
                    report.resetMs.map { isBucketLike(remaining: remaining, limit: limit, resetMs: $0) }
                }
            }
            if isStill != true { refillEvidence = -8 }
        }
        guard let word, word.unconfirmed > 0 else { return }
        resetsAreFull = false
        // Asked too early, once more at the latest time the server can have meant; then not for a whole span.
        let latest = word.latestResetAt ?? now
        noProbeBefore = max(noProbeBefore, latest > now ? latest : now.advanced(byMs: windowMs))
    }

    /// Gives back what time gives back.
    private mutating func advance(to now: Int64) {
        var returned = 0
        while let first = granules.first, end(of: first) <= now {
            returned += first.amount
            granules.removeFirst()
        }
        used -= returned
        let tooOld = now - min(windowMs, Self.maxAnswerMs)
        while let first = later.first, first.at < tooOld { later.removeFirst() }
        guard var current = word, let limit else { return }
        if now >= current.heardAt.advanced(byMs: windowMs) {
            word = nil
            return
        }
        if isRefilling {
            current.level += Double(limit) * Double(max(0, now - current.at)) / refillMs
        } else {
            // Not above our own count: the server may have counted what left it as another span's.
            current.level = min(current.level + Double(returned), max(current.level, Double(limit - used)))
        }
        current.level = min(current.level, Double(limit))
        current.at = max(current.at, now)
        word = current
    }
}
