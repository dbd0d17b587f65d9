import Scheduler
import Testing

/// A limit of requests a minute that nothing states is found out, kept, and not undercut.
@Suite struct HiddenLimitTests {
    private static let minute: Int64 = 60_000
    /// As Groq's headers: requests of a day, tokens of a minute.
    private static let unknown = RateLimits(requestHeaderSpan: .day)

    struct Variant: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var setup: PacingRun.Setup
    }

    private static let kinds: [(name: String, kind: SimulatedLimiter.Kind)] = [
        ("rolling", .rolling), ("fixed", .fixed(phaseMs: 0)), ("fixed, begun before", .fixed(phaseMs: 23_000)),
        ("bucket", .bucket),
    ]

    static let variants: [Variant] = kinds.flatMap { name, kind in
        [("fast answers", 5...30), ("usual answers", 300...1500)].flatMap { speed, latencyMs in
            [
                Variant(
                    testDescription: "\(name), \(speed)", setup: .init(
                        kind: kind, headers: .groq, limits: unknown, latencyMs: latencyMs)),
                Variant(
                    testDescription: "\(name), \(speed), a limit that does not divide", setup: .init(
                        kind: kind, headers: .groq, requestsPerMinute: 900, limits: unknown, latencyMs: latencyMs)),
                Variant(
                    testDescription: "\(name), \(speed), tokens bind nearly as much", setup: .init(
                        kind: kind, headers: .groq, tokensPerMinute: 300_000, limits: unknown,
                        latencyMs: latencyMs)),
                Variant(
                    testDescription: "\(name), \(speed), taken in one by one", setup: .init(
                        kind: kind, headers: .groq, limits: unknown, latencyMs: latencyMs, intakeMs: (5, 1))),
                Variant(
                    testDescription: "\(name), \(speed), no headers", setup: .init(
                        kind: kind, headers: .none, limits: unknown, latencyMs: latencyMs)),
            ]
        }
    }

    @Test(arguments: variants) func keepsWithinFivePercent(_ variant: Variant) {
        for seed in 1...3 {
            var setup = variant.setup
            setup.seed = UInt64(seed)
            let run = PacingRun(setup)
            #expect(run.completed == setup.requests)
            let boundMs = Int64(Double(run.leastMs) * 1.05) + Int64(setup.latencyMs.upperBound)
            #expect(run.durationMs <= boundMs, "\(run.durationMs) ms; the limit allows \(run.leastMs) ms")
            #expect(run.refusalsAfterFirstSpan * 100 < setup.requests, "\(run.refusalsAfterFirstSpan) refusals")
            #expect(run.durationMs >= run.leastMs, "faster than the limit allows")
        }
    }

    /// Sends as many as it may at `now`, which the server lets through up to `room`; the rest is refused.
    private func burst(
        _ budget: inout RateBudget, room: Int, retryAfterMs: Int64, at now: Int64, most: Int = 500,
        report: RateReport = RateReport()
    ) -> (sent: Int, refused: Int) {
        var tickets: [RateBudget.Ticket] = []
        while tickets.count < most, budget.admit(cost: 10, at: now) == .now {
            tickets.append(budget.sent(cost: 10, at: now))
        }
        for (number, ticket) in tickets.enumerated() {
            if number < room {
                budget.finished(ticket, actual: 10, report: report, at: now + 10)
            } else {
                var refusal = report
                refusal.retryAfterMs = retryAfterMs
                budget.refused(ticket, report: refusal, at: now + 10, random: 0)
            }
        }
        return (tickets.count, max(0, tickets.count - room))
    }

    @Test func whatWasLetThroughIsTheLimit() {
        var budget = RateBudget(Self.unknown)
        #expect(budget.hiddenRequestsPerMinute == nil)
        #expect(burst(&budget, room: 20, retryAfterMs: 59_000, at: 0).refused > 0)
        #expect(budget.hiddenRequestsPerMinute == 20)
        // Nothing goes before the server's time.
        #expect(budget.admit(cost: 10, at: 30_000) == .notBefore(59_010))
        // A minute later as many go, and one that tries whether there is more.
        let next = burst(&budget, room: 20, retryAfterMs: 59_000, at: 61_000)
        #expect(next.sent == 21 && next.refused == 1, "\(next)")
        #expect(budget.hiddenRequestsPerMinute == 20)
        #expect(budget.admit(cost: 10, at: 61_100) != .now)
    }

    @Test func tokensThatTheServerSaysAreGoneExplainARefusal() {
        var budget = RateBudget(Self.unknown)
        let report = RateReport(
            requests: .init(limit: 1000, remaining: 900), tokens: .init(limit: 500, remaining: 5, resetMs: 30_000))
        #expect(burst(&budget, room: 20, retryAfterMs: 30_000, at: 0, report: report).refused > 0)
        #expect(budget.hiddenRequestsPerMinute == nil)
    }

    @Test func aLimitThatIsStatedIsNotHidden() {
        var budget = RateBudget(RateLimits(requestsPerMinute: 1000))
        _ = burst(&budget, room: 20, retryAfterMs: 59_000, at: 0)
        #expect(budget.hiddenRequestsPerMinute == nil)
    }

    /// A server that was busy for a moment is not taken for a slow one for long.
    @Test func recoversFromAnEstimateThatWasTooLow() {
        var budget = RateBudget(Self.unknown)
        _ = burst(&budget, room: 4, retryAfterMs: 1000, at: 0)
        #expect(budget.hiddenRequestsPerMinute == 4)
        var now: Int64 = 1100
        var sent = 0
        while now < 3 * Self.minute {
            sent += burst(&budget, room: .max, retryAfterMs: 1000, at: now).sent
            now += 20
        }
        #expect(sent > 500, "\(sent) in three minutes")
    }

    /// A 429 among a hundred requests that went through is no limit; its wait is waited for all the same.
    @Test func oneRefusalAmongManyIsNoLimit() {
        var budget = RateBudget(Self.unknown)
        let tickets = (0..<30).map { _ in budget.sent(cost: 10, at: 0) }
        for ticket in tickets[..<10] { budget.finished(ticket, actual: 10, at: 10) }
        budget.refused(tickets[10], report: RateReport(retryAfterMs: 12_000), at: 10, random: 0)
        #expect(budget.hiddenRequestsPerMinute != nil)
        for ticket in tickets[11...] { budget.finished(ticket, actual: 10, at: 20) }
        #expect(budget.hiddenRequestsPerMinute == nil)
        #expect(budget.admit(cost: 10, at: 20) == .notBefore(12_010))
        #expect(burst(&budget, room: .max, retryAfterMs: 1000, at: 12_010, most: 31).sent == 31)
    }

    /// What others of the organisation leave is less than was learned; refusals teach the new number.
    @Test func followsALimitThatShrinks() {
        var budget = RateBudget(Self.unknown)
        _ = burst(&budget, room: 20, retryAfterMs: 59_000, at: 0)
        #expect(burst(&budget, room: 10, retryAfterMs: 59_000, at: 61_000).refused >= 10)
        #expect(budget.hiddenRequestsPerMinute == 10)
        #expect(burst(&budget, room: 10, retryAfterMs: 59_000, at: 122_000).refused <= 1)
    }

    @Test func manyRefusalsOfOneLimitDoNotUseUpTheTries() {
        // A server that always says "in a second", and never means it: it is not asked every second.
        var budget = RateBudget(Self.unknown)
        var refused = burst(&budget, room: 20, retryAfterMs: 1000, at: 0).refused
        let first = refused
        var now: Int64 = 0
        while now < Self.minute - 1000 {
            now += 250
            refused += burst(&budget, room: 0, retryAfterMs: 1000, at: now).refused
        }
        #expect(refused - first <= 3, "\(refused - first) more")
    }
}
