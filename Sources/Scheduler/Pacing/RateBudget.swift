/// When the next request may be sent to a server that limits requests and tokens, per minute and per day: as early as
/// the limits allow, and without being refused. Pure: told the time, and given the randomness that it needs.
///
/// One budget is one organisation's at one server and limit group. Costs are estimates until the answer tells; the
/// ratio of the two is learned, so that estimates by `max_tokens` do not halve the speed.
package struct RateBudget: Sendable {
    package enum Admission: Sendable, Equatable {
        case now
        /// Not before this time; ask again then, or after an answer.
        case notBefore(Int64)
        /// As many are in flight as may be: ask again after an answer.
        case afterAnswer
    }

    /// A request that was sent and not answered.
    package struct Ticket: Sendable, Hashable {
        package let sequence: UInt64
        package let sentAt: Int64
        /// Tokens it was counted as.
        package let tokens: Int
        package let estimate: Int
        /// What our own count, of limits that are known, had left for it: nil: no limit is.
        let hadRoom: Bool?
    }

    package private(set) var limits: RateLimits
    private var requestWindows: [RateWindow]
    private var tokenWindows: [RateWindow]
    /// Parts of a minute that the limits hold for, too: some servers count a minute's limit by the second.
    private var parts = 1
    private var smoothRequests: SmoothRate?
    private var smoothTokens: SmoothRate?
    /// What the server took in a tenth of a minute, which says whether it counts by shorter times.
    private var taken = BurstIntake()
    /// Of requests a minute, where none is known.
    private var hidden = HiddenLimit()
    private var counting = CountingTimes()
    /// Whether such a limit is this budget's to learn; where senders share one their store does.
    private let learnsHidden: Bool
    package private(set) var concurrency: ConcurrencyWindow
    private var backoff: Backoff
    /// Nothing is sent before: the server said so, or a backoff.
    package private(set) var blockedUntil = Int64.min
    /// Refusals of requests sent before this one are the same refusal.
    private var nextRefusal: UInt64 = 0
    /// How many so far.
    private var wave = 0
    private static let manyRefusals = 10
    private var sequence: UInt64 = 0
    private var ratio = CostRatio()
    /// What it saw, for metrics.
    package private(set) var refusals = 0

    package init(_ limits: RateLimits, learnsHidden: Bool = true, backoff: Backoff = Backoff()) {
        self.limits = limits
        self.learnsHidden = learnsHidden
        self.backoff = backoff
        // Known limits keep a server from too much; where none is known, care does.
        let first = limits.requestsPerMinute ?? (limits.tokensPerMinute == nil ? 32 : 256)
        concurrency = ConcurrencyWindow(first: max(32, first), most: limits.maxConcurrent)
        requestWindows = [
            RateWindow(limit: limits.requestsPerMinute, windowMs: RateSpan.minute.milliseconds),
            RateWindow(limit: limits.requestsPerDay, windowMs: RateSpan.day.milliseconds),
        ]
        tokenWindows = [
            RateWindow(limit: limits.tokensPerMinute, windowMs: RateSpan.minute.milliseconds),
            RateWindow(limit: limits.tokensPerDay, windowMs: RateSpan.day.milliseconds),
        ]
    }

    /// Takes up other limits than it was made with; what it counted stays counted.
    package mutating func change(_ next: RateLimits) {
        func changed(_ part: KeyPath<RateLimits, Int?>) -> Bool { next[keyPath: part] != limits[keyPath: part] }
        if changed(\.requestsPerMinute) { requestWindows[0].assume(limit: next.requestsPerMinute) }
        if changed(\.requestsPerDay) { requestWindows[1].assume(limit: next.requestsPerDay) }
        if changed(\.tokensPerMinute) { tokenWindows[0].assume(limit: next.tokensPerMinute) }
        if changed(\.tokensPerDay) { tokenWindows[1].assume(limit: next.tokensPerDay) }
        concurrency.change(most: next.maxConcurrent)
        limits = next
        (parts, smoothRequests, smoothTokens) = (1, nil, nil)
    }

    package var inFlight: Int { concurrency.inFlight }
    /// Tokens that a minute allows, as configured or as the server said; nil: unknown.
    package var tokensPerMinute: Int? { tokenWindows[0].limit }
    package var requestsPerMinute: Int? { requestWindows[0].limit }
    /// Requests that a minute seems to allow, though nothing says so; nil: as many as one likes.
    package var hiddenRequestsPerMinute: Int? { requestWindows[0].limit == nil ? hidden.limit : nil }
    /// Part of a day's limits that is left, the lesser of requests and tokens; nil: none is known.
    package mutating func dayLeft(at now: Int64) -> Double? {
        let parts = [Self.left(&requestWindows[1], at: now), Self.left(&tokenWindows[1], at: now)]
        return parts.compactMap(\.self).min()
    }

    private static func left(_ window: inout RateWindow, at now: Int64) -> Double? {
        let free = window.available(at: now)
        return window.limit.map { max(0, free) / Double($0) }
    }

    /// What is counted for an estimate of `cost` tokens.
    package func counted(_ cost: Int) -> Int { ratio.counted(cost) }

    /// - Parameter cost: estimated tokens, prompt and completion.
    package mutating func admit(cost: Int, at now: Int64) -> Admission {
        if now < blockedUntil { return .notBefore(blockedUntil) }
        guard concurrency.hasRoom else { return .afterAnswer }
        let tokens = ratio.counted(cost)
        var latest = Int64.min
        var needsAnswer = false
        func note(_ verdict: RateWindow.Verdict) {
            switch verdict {
            case .now: break
            case .notBefore(let time): latest = max(latest, time)
            case .afterAnswer: needsAnswer = true
            }
        }
        for at in requestWindows.indices { note(requestWindows[at].admit(1, at: now)) }
        for at in tokenWindows.indices {
            // It may take more than is counted, and is refused where that is not there; holding that much back costs
            // no speed.
            let spare = (tokenWindows[at].limit ?? 0) / 50
            note(tokenWindows[at].admit(max(tokens, min(cost, tokens + spare)), at: now))
        }
        if learnsHidden, requestWindows[0].limit == nil { note(hidden.admit(at: now)) }
        for time in [smoothRequests?.earliest(1, at: now), smoothTokens?.earliest(tokens, at: now)] {
            if let time, time > now { latest = max(latest, time) }
        }
        if latest > .min { return .notBefore(latest) }
        return needsAnswer ? .afterAnswer : .now
    }

    /// Counts a request that is sent now.
    package mutating func sent(cost: Int, at now: Int64) -> Ticket {
        sequence += 1
        let ticket = Ticket(
            sequence: sequence, sentAt: now, tokens: ratio.counted(cost), estimate: cost, hadRoom: hasRoom(at: now))
        for at in requestWindows.indices { requestWindows[at].send(1, sequence: sequence, at: now) }
        for at in tokenWindows.indices { tokenWindows[at].send(ticket.tokens, sequence: sequence, at: now) }
        hidden.send(sequence, at: now)
        counting.send(sequence, at: now)
        smoothRequests?.send(1, at: now)
        smoothTokens?.send(ticket.tokens, at: now)
        concurrency.send()
        return ticket
    }

    /// The answer came; it took `actual` tokens (nil: it does not say).
    /// - Returns: when the server counted it, about.
    @discardableResult
    package mutating func finished(
        _ ticket: Ticket, actual: Int?, report: RateReport = RateReport(), at now: Int64
    ) -> Int64 {
        concurrency.succeed()
        backoff.succeed()
        let countedAt = counting.answer(ticket.sequence, sentAt: ticket.sentAt, at: now)
        hidden.answer(ticket.sequence, sentAt: ticket.sentAt, countedAt: countedAt, at: now)
        if let actual { ratio.note(actual: actual, estimate: ticket.estimate) }
        correct(ticket, requests: 1, tokens: actual ?? ticket.tokens, countedAt: countedAt, at: now)
        taken.note(tokens: actual ?? ticket.tokens, sentAt: ticket.sentAt)
        hear(report, of: ticket, at: now)
        return countedAt
    }

    /// The server refused it for its limits (429): it counts as nothing.
    /// - Parameters:
    ///   - report: with `retryAfterMs`, however long; without it a backoff decides.
    ///   - random: in 0..<1, for the backoff.
    /// - Returns: whether a limit that is known may be why.
    @discardableResult
    package mutating func refused(
        _ ticket: Ticket, report: RateReport = RateReport(), at now: Int64, random: Double
    ) -> Bool {
        refusals += 1
        counting.turnAway(ticket.sequence, sentAt: ticket.sentAt, at: now)
        let isNew = ticket.sequence >= nextRefusal
        let hadRoom = isNew && ticket.hadRoom == true
        let isHidden = requestWindows[0].limit == nil && !Self.isExplained(ticket, report)
        correct(ticket, requests: 0, tokens: 0, at: now)
        let span = limits.requestHeaderSpan == .minute ? 0 : 1
        for at in requestWindows.indices {
            requestWindows[at].refuse(
                ticket.sequence, at == span ? report.requests : RateReport.Amount(), at: now)
        }
        for at in tokenWindows.indices {
            tokenWindows[at].refuse(ticket.sequence, at == 0 ? report.tokens : RateReport.Amount(), at: now)
        }
        hear(report, of: ticket, at: now)
        hidden.refuse(
            ticket.sequence, sentAt: ticket.sentAt, retryAfterMs: isHidden ? report.retryAfterMs : nil, at: now)
        block(for: report.retryAfterMs, isNew: isNew, at: now, random: random)
        wave = isNew ? 1 : wave + 1
        noteCause(ticket, report, hadRoom: hadRoom, isHidden: isHidden, at: now)
        if report.retryAfterMs == nil {
            concurrency.overload(ticket.sequence, last: sequence)
        } else {
            concurrency.end()
        }
        return !isHidden
    }

    /// What a refusal says of how the server counts.
    private mutating func noteCause(
        _ ticket: Ticket, _ report: RateReport, hadRoom: Bool, isHidden: Bool, at now: Int64
    ) {
        if isHidden {
            // Unless the server says that tokens are left, it may also count those that were asked for.
            if hadRoom, ratio.isLow, report.tokens.remaining == nil { ratio.distrust() }
            return
        }
        // Many at once: much was sent at once, and the limit's part of a shorter time was too small for it.
        if wave == Self.manyRefusals { divide(for: ticket.tokens, at: now) }
        // The server counts more than we do: what was asked for, or the limit's part of a shorter time.
        guard hadRoom else { return }
        if ratio.isLow { ratio.distrust() } else { divide(for: ticket.tokens, at: now) }
    }

    /// Whether a limit that is known may be why a request was refused.
    private static func isExplained(_ ticket: Ticket, _ report: RateReport) -> Bool {
        if let left = report.requests.remaining, left < 1 { return true }
        if let left = report.tokens.remaining { return left < ticket.estimate }
        return ticket.hadRoom == false
    }

    /// The server has too much to do (498, 503, time-outs): fewer at a time from now on.
    package mutating func overloaded(
        _ ticket: Ticket, report: RateReport = RateReport(), at now: Int64, random: Double
    ) {
        correct(ticket, requests: 1, tokens: 0, at: now)
        hear(report, of: ticket, at: now)
        block(for: report.retryAfterMs, isNew: ticket.sequence >= nextRefusal, at: now, random: random)
        concurrency.overload(ticket.sequence, last: sequence)
    }

    /// It ended for a reason of its own (400, cut off by us): neither good nor bad news of the server.
    package mutating func ended(_ ticket: Ticket, report: RateReport = RateReport(), at now: Int64) {
        correct(ticket, requests: 1, tokens: 0, at: now)
        hear(report, of: ticket, at: now)
        concurrency.end()
    }

    private mutating func block(for retryAfterMs: Int64?, isNew: Bool, at now: Int64, random: Double) {
        if let retryAfterMs {
            blockedUntil = max(blockedUntil, now.advanced(byMs: max(1, retryAfterMs)))
        } else if isNew {
            blockedUntil = max(blockedUntil, now + backoff.fail(random: random))
        }
        if isNew { nextRefusal = sequence + 1 }
    }

    private mutating func correct(
        _ ticket: Ticket, requests: Int, tokens: Int, countedAt: Int64? = nil, at now: Int64
    ) {
        for at in requestWindows.indices {
            requestWindows[at].correct(
                ticket.sequence, from: 1, to: requests, sentAt: ticket.sentAt, countedAt: countedAt, at: now)
        }
        smoothTokens?.correct(from: ticket.tokens, to: tokens)
        for at in tokenWindows.indices {
            tokenWindows[at].correct(
                ticket.sequence, from: ticket.tokens, to: tokens, sentAt: ticket.sentAt, countedAt: countedAt, at: now)
        }
    }

    private mutating func hear(_ report: RateReport, of ticket: Ticket, at now: Int64) {
        let span = limits.requestHeaderSpan == .minute ? 0 : 1
        requestWindows[span].hear(report.requests, sequence: ticket.sequence, sentAt: ticket.sentAt, at: now)
        tokenWindows[0].hear(report.tokens, sequence: ticket.sequence, sentAt: ticket.sentAt, at: now)
    }

    /// Whether our count of whole minutes and days would not explain a refusal now; nil: no limit is known.
    private mutating func hasRoom(at now: Int64) -> Bool? {
        func isWide(_ windows: inout [RateWindow]) -> Bool? {
            var known: Bool?
            for at in windows.indices {
                guard let limit = windows[at].limit else { continue }
                known = known != false && windows[at].uncounted(at: now) >= 0.1 * Double(limit)
            }
            return known
        }
        let parts = [isWide(&requestWindows), isWide(&tokenWindows)].compactMap(\.self)
        return parts.isEmpty ? nil : parts.allSatisfy(\.self)
    }

    /// Holds the minute's pace by the tenth of it at first, then by the second.
    private mutating func divide(for tokens: Int, at now: Int64) {
        guard parts < 60, !taken.isBurst(requestWindows[0].limit, tokenWindows[0].limit) else { return }
        parts = parts == 1 ? 10 : 60
        func smooth(_ limit: Int, least: Double) -> SmoothRate {
            // A little less than the server's, since requests overtake each other on the way.
            SmoothRate(
                capacity: max(least, 0.9 * Double(limit) / Double(parts)),
                perMs: Double(limit) / Double(RateSpan.minute.milliseconds), at: now)
        }
        smoothRequests = requestWindows[0].limit.map { smooth($0, least: 1) }
        smoothTokens = tokenWindows[0].limit.map { smooth($0, least: Double(tokens)) }
    }
}
