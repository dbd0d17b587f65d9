/// A limit of requests a minute that no header states, learned from refusals: Groq's answers tell of a day's requests
/// and a minute's tokens, and it refuses for a minute's requests.
///
/// A refusal that known limits do not explain means that what was let through in the last minute is the limit, or more
/// than that. From then on no more is sent in any minute. That is right for rolling and fixed minutes alike, and is as
/// fast as they allow, once a fixed one's beginning is known. A server that says to come back before our own minute is
/// over counts in another way: at that time one request asks; if it is not refused more follow, at twice the pace that
/// would use a minute's limit up, then at four times and so on. A bucket refuses soon, and what it let through between
/// two refusals is its pace, the more exact the longer it is watched; a fixed minute lets the whole limit through.
/// Whoever is not refused for a while tries a little more.
package struct HiddenLimit: Sendable, Equatable, Codable {
    /// A refusal at which nothing was left, and what became of requests sent after it.
    private struct Mark: Sendable, Equatable, Codable {
        var sequence: UInt64 = 0
        var at: Int64 = 0
        var refused = 0

        /// Requests from here to another refusal, which is counted already, that were let through.
        func accepted(until sequence: UInt64) -> Int {
            sequence > self.sequence ? max(0, Int(sequence - self.sequence) - refused) : 0
        }
    }

    /// Sending more than our own minute allows.
    private struct Rise: Sendable, Equatable, Codable {
        /// The request that asks.
        var probe: UInt64
        var probeAt: Int64
        var passedAt: Int64?
        /// Those after it.
        var sent = 0
        /// What went through in rises before it: a whole limit, which was too small, then.
        var before = 0
    }

    private struct Wave: Sendable, Equatable, Codable {
        var sequence: UInt64
        var end: UInt64
        var refused = 1
        var passed = 0
    }

    private let windowMs: Int64
    /// The last minute; its limit is what was learned.
    private var window: RateWindow
    /// Of a bucket.
    private var pace: SmoothRate?
    private var newest: UInt64 = 0
    private var newestAt = Int64.min
    /// Refusals of requests up to this one are one refusal.
    private var waveEnd: UInt64 = 0
    private var retryAt = Int64.min
    /// When the limit was taken from what was sent.
    private var learnedAt = Int64.min
    private var base = Mark()
    private var recent = Mark()
    private var rise: Rise?
    private var noRiseBefore = Int64.min
    private var failedRises = 0
    private var raiseAt = Int64.max
    private var raises = 0
    private var failedRaises = 0
    /// The limit before it was raised.
    private var unraised: Int?
    /// Refusals of nearly a whole limit, which it may have been too early for, in a row.
    private var nearMisses = 0
    private var nearMissAt = Int64.min
    /// The present wave is one.
    private var isNearMiss = false
    private static let mostNearMisses = 3
    /// In the present wave the limit was learned from what was sent in one of two minutes, which counts the wave's
    /// refusals.
    private var isOfOne = false
    /// The wave that taught that there is a limit.
    private var firstWave: Wave?

    package init(windowMs: Int64 = RateSpan.minute.milliseconds) {
        self.windowMs = windowMs
        window = RateWindow(limit: nil, windowMs: windowMs, hearsWords: false)
    }

    /// Requests a minute; nil: nothing speaks for a limit.
    package var limit: Int? { pace.map { max(1, Int($0.amount(inMs: windowMs))) } ?? window.limit }
    /// How long a request may take to be refused.
    private var patienceMs: Int64 { max(1, windowMs / 60) }
    private var stepMs: Double { max(1, Double(windowMs) / 100) }

    /// - Parameter parts: with a bucket's pace so many make a minute; one is waited for, lest each request ask.
    package mutating func admit(at now: Int64, atLeast parts: Int? = nil) -> RateWindow.Verdict {
        guard let limit else { return .now }
        if let pace {
            let time = pace.earliest(parts.map { max(1, limit / $0) } ?? 1, at: now)
            return time <= now ? .now : .notBefore(time)
        }
        notePassed(at: now)
        guard case .notBefore(let free) = window.admit(1, at: now) else {
            rise = nil
            return .now
        }
        guard let time = riseTime(limit, free: free) else { return .notBefore(max(now + 1, free)) }
        return time <= now ? .now : .notBefore(min(max(now + 1, free), time))
    }

    /// When more than our own minute allows may be sent, which allows it again at `free`.
    private func riseTime(_ limit: Int, free: Int64) -> Int64? {
        guard let rise else {
            // Only the first request after a refusal tells how the server counts.
            guard newest == waveEnd, free.advanced(byMs: -patienceMs) > retryAt else { return nil }
            return max(retryAt, noRiseBefore)
        }
        guard let passedAt = rise.passedAt else { return rise.probeAt + patienceMs }
        if rise.sent >= limit { return passedAt + riseMs(rise.sent, limit) + patienceMs }
        return passedAt + riseMs(rise.sent, limit)
    }

    /// From the beginning of a rise until so many may have been sent.
    private func riseMs(_ sent: Int, _ limit: Int) -> Int64 {
        var left = Double(sent)
        var perMs = 2 * Double(limit) / Double(windowMs)
        var ms = 0.0
        for _ in 0..<5 where left > perMs * stepMs {
            left -= perMs * stepMs
            ms += stepMs
            perMs *= 2
        }
        return Int64((ms + left / perMs).rounded(.up))
    }

    private mutating func notePassed(at now: Int64) {
        guard var current = rise, current.passedAt == nil, now >= current.probeAt + patienceMs else { return }
        current.passedAt = now
        if current.before > 0, let limit = window.limit { window.assume(limit: 2 * min(limit, 1 << 40)) }
        rise = current
    }

    /// How many of `wanted` may be sent now, where `admit` lets one go.
    package mutating func room(_ wanted: Int, at now: Int64) -> Int {
        guard window.limit != nil else { return wanted }
        let free = pace?.available(at: now) ?? window.available(at: now)
        return max(1, min(wanted, Int(min(free, 1e9))))
    }

    /// - Parameters:
    ///   - sequence: the last one's; those before it are the numbers before it.
    package mutating func send(_ sequence: UInt64, count: Int = 1, at now: Int64) {
        (newest, newestAt) = (sequence, now)
        raiseIfDue(at: now)
        if let limit = window.limit, pace == nil, window.available(at: now) < 1 {
            if let current = rise, current.sent < limit {
                rise?.sent += 1
            } else {
                rise = Rise(probe: sequence, probeAt: now, before: rise.map { $0.before + $0.sent + 1 } ?? 0)
            }
        }
        window.send(count, sequence: sequence, at: now)
        pace?.send(count, at: now)
    }

    /// Some that were counted as sent at `takenAt` were not.
    package mutating func giveBack(_ count: Int, takenAt: Int64, at now: Int64) {
        guard count > 0 else { return }
        window.correct(.max, from: count, to: 0, sentAt: takenAt, at: now)
        pace?.correct(from: count, to: 0)
        if takenAt > base.at { base.refused += count }
        if takenAt > recent.at { recent.refused += count }
        // They were taken for let through when the limit was learned.
        let isPart = takenAt <= learnedAt && takenAt > learnedAt.advanced(byMs: -windowMs)
        if pace == nil, isPart, let limit = window.limit {
            window.assume(limit: max(1, limit - count))
        }
    }

    /// Some that were counted as sent at `takenAt` were counted by the server later.
    package mutating func move(_ count: Int, from takenAt: Int64, to countedAt: Int64, at now: Int64) {
        window.correct(.max, from: count, to: count, sentAt: takenAt, countedAt: countedAt, at: now)
    }

    /// It was not refused.
    /// - Parameter countedAt: when the server counted it at the latest.
    package mutating func answer(_ sequence: UInt64, sentAt: Int64, countedAt: Int64, at now: Int64) {
        window.correct(sequence, from: 1, to: 1, sentAt: sentAt, countedAt: countedAt, at: now)
        doubt(sequence)
        guard var current = rise, current.probe == sequence, current.passedAt == nil else { return }
        current.probeAt = now - patienceMs
        rise = current
        notePassed(at: now)
    }

    /// - Parameter retryAfterMs: nil: refused for a reason that is known, or without a word of how long.
    package mutating func refuse(_ sequence: UInt64, sentAt: Int64, retryAfterMs: Int64?, at now: Int64) {
        window.correct(sequence, from: 1, to: 0, sentAt: sentAt, at: now)
        pace?.correct(from: 1, to: 0)
        if sequence > base.sequence { base.refused += 1 }
        if sequence > recent.sequence { recent.refused += 1 }
        if let current = rise, sequence > current.probe { rise?.sent = max(0, current.sent - 1) }
        guard let retryAfterMs else { return }
        let lastRetryAt = retryAt
        retryAt = max(retryAt, now.advanced(byMs: max(1, retryAfterMs)))
        let used = max(1, window.used(at: now))
        if sequence <= waveEnd, let limit = window.limit {
            firstWave?.refused += 1
            if pace == nil, newest == waveEnd {
                // There was still nothing left.
                base.at = max(base.at, now)
                recent.at = base.at
            }
            if pace == nil, !isNearMiss { window.assume(limit: isOfOne ? max(1, limit - 1) : min(limit, used)) }
            return
        }
        waveEnd = newest
        (isNearMiss, isOfOne) = (false, false)
        let lastLimit = raises > 0 ? unraised : nil
        noteRaise(at: now)
        learn(sequence, sentAt, retryAfterMs, lastRetryAt, used, unraised: lastLimit, at: now)
        rise = nil
        if pace == nil {
            // Where several send, the numbers up to the newest are out, in any order.
            base = Mark(sequence: newest, at: max(sentAt, newestAt))
            recent = base
        }
    }

    /// What the first refusal of a wave says.
    private mutating func learn(
        _ sequence: UInt64, _ sentAt: Int64, _ retryAfterMs: Int64, _ lastRetryAt: Int64, _ used: Int,
        unraised: Int?, at now: Int64
    ) {
        let isLong = retryAfterMs >= windowMs / 4
        firstWave = nil
        guard let limit = window.limit else {
            firstWave = Wave(sequence: sequence, end: newest)
            learnedAt = now
            return window.assume(limit: used)
        }
        if pace != nil {
            // No bucket makes anybody wait that long.
            if isLong {
                pace = nil
                learnedAt = now
                window.assume(limit: used)
            } else {
                follow(sequence, sentAt)
            }
        } else if let rise, sequence == rise.probe {
            noteFailedRise(sentAt)
        } else if let rise, sequence > rise.probe {
            if isLong {
                window.assume(limit: rise.before + rise.sent + 1)
                isOfOne = true
            } else if isTooLittle(sequence, sentAt, ofLimit: limit) {
                // What our count had no room for yet was what a rolling minute had just given back.
                isNearMiss = true
                noteFailedRise(sentAt)
            } else {
                follow(sequence, sentAt)
            }
        } else if !isLong, isSteady(sequence, sentAt, ofLimit: limit) {
            follow(sequence, sentAt)
        } else {
            // From one end of waiting to the next is a minute: a fixed one, that began when we came back. What was
            // taken for one minute's may have been of two, then.
            let isFixed = lastRetryAt > .min
                && abs(sentAt.advanced(byMs: retryAfterMs).advanced(byMs: -lastRetryAt) - windowMs) <= windowMs / 20
            let since = window.used(since: lastRetryAt)
            let next = isFixed && 2 * since >= limit ? since : used
            let known = unraised ?? limit
            // Nearly as many as before: it was asked a moment too early.
            if 20 * next >= 19 * known, next < known, noteNearMiss(at: now) {
                window.assume(limit: min(limit, known))
            } else {
                isOfOne = next < used && next < limit
                learnedAt = now
                window.assume(limit: min(limit, next))
            }
        }
    }

    /// - Returns: whether it is believed to be one.
    private mutating func noteNearMiss(at now: Int64) -> Bool {
        nearMisses = now > nearMissAt.advanced(byMs: 2 * windowMs) ? 1 : nearMisses + 1
        nearMissAt = now
        isNearMiss = nearMisses <= Self.mostNearMisses
        return isNearMiss
    }

    private mutating func noteFailedRise(_ sentAt: Int64) {
        failedRises += 1
        noRiseBefore = sentAt + windowMs << Int64(min(failedRises, 4))
    }

    /// Whether a bucket of that limit would have let more through since the last refusal.
    private func isTooLittle(_ sequence: UInt64, _ sentAt: Int64, ofLimit limit: Int) -> Bool {
        let refilled = Double(limit) * Double(max(0, sentAt - base.at)) / Double(windowMs)
        // A limit that was learned from a full bucket may be twice its pace.
        return refilled >= 4 && Double(base.accepted(until: sequence)) < 0.4 * refilled
    }

    /// Whether what was let through since the last refusal, a moment ago, is what a bucket of about that limit gives
    /// back.
    private func isSteady(_ sequence: UInt64, _ sentAt: Int64, ofLimit limit: Int) -> Bool {
        guard sentAt - base.at <= windowMs / 20 else { return false }
        let accepted = base.accepted(until: sequence)
        let refilled = Double(limit) * Double(max(0, sentAt - base.at)) / Double(windowMs)
        return accepted >= 4 && (0.4...1.5).contains(Double(accepted) / refilled)
    }

    /// Takes what was let through since an earlier refusal for the pace.
    private mutating func follow(_ sequence: UInt64, _ sentAt: Int64) {
        func pace(since mark: Mark) -> (accepted: Int, perMs: Double) {
            let accepted = mark.accepted(until: sequence)
            // One more than was seen: being refused at times is what tells.
            return (accepted, Double(accepted + 1) / Double(max(1, sentAt - mark.at)))
        }
        let long = pace(since: base)
        let short = pace(since: recent)
        var perMs = long.perMs
        let isOld = sentAt - base.at > 10 * windowMs
        if isOld || short.accepted >= 20 && abs(short.perMs / long.perMs - 1) > 0.15 {
            base = recent
            perMs = short.perMs
        }
        recent = Mark(sequence: sequence, at: sentAt)
        var next = SmoothRate(capacity: Double(max(1, window.limit ?? 1)), perMs: perMs, at: sentAt)
        next.send(newest > sequence ? Int(newest - sequence) : 0, at: sentAt)
        self.pace = next
    }

    /// Many that were sent after the first refused one, and not refused: it was for another reason than a limit.
    private mutating func doubt(_ sequence: UInt64) {
        guard var current = firstWave, sequence > current.sequence, sequence <= current.end else { return }
        current.passed += 1
        firstWave = current
        guard current.passed > 8 + 4 * current.refused else { return }
        firstWave = nil
        (pace, rise, raiseAt) = (nil, nil, .max)
        window.assume(limit: nil)
    }

    // MARK: More

    private mutating func noteRaise(at now: Int64) {
        if raises > 0 { failedRaises += 1 }
        raises = 0
        raiseAt = now.advanced(byMs: windowMs << Int64(min(failedRaises, 4)))
    }

    private mutating func raiseIfDue(at now: Int64) {
        guard now >= raiseAt else { return }
        if raises == 0 { unraised = window.limit }
        let part = min(0.25, 0.005 * Double(1 << min(raises, 10)))
        if pace != nil {
            pace?.hasten(by: 1 + part, at: now)
            raiseAt = now + windowMs / 4
        } else if let limit = window.limit, window.used(at: now) + 1 >= limit {
            window.assume(limit: limit + max(1, Int(part * Double(limit))))
            raiseAt = now + windowMs
        } else {
            // What is not used proves nothing.
            return
        }
        raises += 1
    }
}
