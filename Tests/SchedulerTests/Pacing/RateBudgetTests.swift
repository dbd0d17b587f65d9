import Scheduler
import Testing

@Suite struct RateBudgetTests {
    private func report(remaining: Int, of limit: Int, resetMs: Int64? = nil) -> RateReport {
        RateReport(tokens: .init(limit: limit, remaining: remaining, resetMs: resetMs))
    }

    @Test func waitsExactlyAsLongAsTheServerSays() {
        for retryAfterMs: Int64 in [1, 2000, 86_400_000, .max] {
            var budget = RateBudget(RateLimits())
            let ticket = budget.sent(cost: 10, at: 1000)
            budget.refused(ticket, report: RateReport(retryAfterMs: retryAfterMs), at: 1500, random: 0)
            let (end, overflow) = Int64(1500).addingReportingOverflow(retryAfterMs)
            #expect(budget.admit(cost: 10, at: 1500) == .notBefore(overflow ? .max : end))
            if !overflow { #expect(budget.admit(cost: 10, at: end) == .now) }
        }
    }

    @Test func withoutAWordWaitsDoubleWithJitter() {
        func waits(random: Double) -> [Int64] {
            var budget = RateBudget(RateLimits(), backoff: Backoff(firstMs: 100, mostMs: 1000))
            var now: Int64 = 0
            return (0..<6).map { _ in
                let ticket = budget.sent(cost: 1, at: now)
                budget.refused(ticket, at: now, random: random)
                defer { now = budget.blockedUntil }
                return budget.blockedUntil - now
            }
        }
        #expect(waits(random: 0) == [50, 100, 200, 400, 500, 500])
        #expect(waits(random: 0.999).map { ($0 + 1) / 10 * 10 } == [100, 200, 400, 800, 1000, 1000])
    }

    @Test func refusalsOfOneWaveAreOne() {
        var budget = RateBudget(RateLimits(), backoff: Backoff(firstMs: 100, mostMs: 100_000))
        let tickets = (0..<20).map { _ in budget.sent(cost: 1, at: 0) }
        for ticket in tickets { budget.refused(ticket, at: 10, random: 0) }
        #expect(budget.blockedUntil == 60)
        #expect(budget.concurrency.size == 16, "halved once, not twenty times")
        #expect(budget.inFlight == 0)
        let next = budget.sent(cost: 1, at: 60)
        budget.refused(next, at: 70, random: 0)
        #expect(budget.blockedUntil == 170)
        #expect(budget.concurrency.size == 8)
    }

    @Test func overloadHalvesAndSuccessGrows() {
        var window = ConcurrencyWindow(first: 64, most: 100)
        for _ in 0..<64 { window.send() }
        #expect(!window.hasRoom)
        window.overload(1, last: 64)
        window.overload(2, last: 64)
        #expect(window.size == 32)
        for _ in 0..<62 { window.end() }
        #expect(window.inFlight == 0)
        // 33 successes at full use: about one more.
        for round in 0..<400 {
            while window.hasRoom { window.send() }
            window.succeed()
            #expect(window.size > 32 && window.size <= 100, "round \(round)")
        }
        #expect((40.0...50).contains(window.size), "additive: \(window.size)")
    }

    @Test func idleSuccessesGrowNothing() {
        var window = ConcurrencyWindow(first: 32, most: 1000)
        for _ in 0..<100 {
            window.send()
            window.succeed()
        }
        #expect(window.size == 32)
    }

    @Test func estimatesFollowWhatAnswersTake() {
        var budget = RateBudget(RateLimits(tokensPerMinute: 10_000))
        for _ in 0..<20 {
            let ticket = budget.sent(cost: 1000, at: 0)
            budget.finished(ticket, actual: 100, at: 10)
        }
        #expect((100...110).contains(budget.counted(1000)))
        // 20 * 100 are used; 8,000 are left: 76 of 105, not 8 of 1000.
        var sent = 0
        while budget.admit(cost: 1000, at: 20) == .now, sent < 500 {
            _ = budget.sent(cost: 1000, at: 20)
            sent += 1
        }
        #expect((72...80).contains(sent))
    }

    /// Nine of a limit of ten would cost a minute where ten are to be sent.
    @Test func whatAlwaysTakesTheSameFillsALimit() {
        var budget = RateBudget(RateLimits(tokensPerMinute: 10_000))
        for _ in 0..<900 { budget.finished(budget.sent(cost: 10, at: 0), actual: 10, at: 10) }
        var sent = 0
        while budget.admit(cost: 10, at: 20) == .now, sent < 500 {
            _ = budget.sent(cost: 10, at: 20)
            sent += 1
        }
        #expect(sent == 100)
    }

    @Test func aRefusalInSpiteOfRoomCountsWhatWasAskedFor() {
        var budget = RateBudget(RateLimits(tokensPerMinute: 100_000))
        for _ in 0..<20 {
            let ticket = budget.sent(cost: 1000, at: 0)
            budget.finished(ticket, actual: 100, at: 10)
        }
        let ticket = budget.sent(cost: 1000, at: 20)
        budget.refused(ticket, report: RateReport(retryAfterMs: 1000), at: 30, random: 0)
        #expect(budget.counted(1000) == 1000)
    }

    @Test func heedsWhatOthersTook() {
        var budget = RateBudget(RateLimits(tokensPerMinute: 1000))
        let ticket = budget.sent(cost: 100, at: 0)
        budget.finished(ticket, actual: 100, report: report(remaining: 50, of: 1000, resetMs: 30_000), at: 100)
        // Ours alone would leave 900. After the reset one asks; its answer decides.
        #expect(budget.admit(cost: 100, at: 100) == .notBefore(30_000))
        #expect(budget.admit(cost: 100, at: 30_000) == .now)
        let probe = budget.sent(cost: 100, at: 30_000)
        #expect(budget.admit(cost: 100, at: 30_001) != .now, "one question is enough")
        budget.finished(probe, actual: 100, report: report(remaining: 900, of: 1000, resetMs: 60_000), at: 30_200)
        #expect(budget.admit(cost: 100, at: 30_200) == .now)
    }

    @Test func answersOutOfOrderDoNotRaiseTheBudget() {
        var budget = RateBudget(RateLimits(tokensPerMinute: 1000))
        let first = budget.sent(cost: 400, at: 0)
        let second = budget.sent(cost: 400, at: 1)
        budget.finished(second, actual: 400, report: report(remaining: 200, of: 1000), at: 50)
        budget.finished(first, actual: 400, report: report(remaining: 600, of: 1000), at: 60)
        #expect(budget.admit(cost: 400, at: 60) != .now)
        #expect(budget.admit(cost: 150, at: 60) == .now)
    }

    @Test func aRequestLargerThanTheLimitGoesWhenAllIsFree() {
        var budget = RateBudget(RateLimits(tokensPerMinute: 1000))
        #expect(budget.admit(cost: 5000, at: 0) == .now)
        _ = budget.sent(cost: 5000, at: 0)
        guard case .notBefore(let time) = budget.admit(cost: 1, at: 1) else {
            Issue.record("admitted")
            return
        }
        #expect((60_000...60_500).contains(time))
    }

    @Test func tellsWhatIsLeftOfTheDay() {
        var budget = RateBudget(RateLimits(requestsPerMinute: 10))
        #expect(budget.dayLeft(at: 0) == nil)
        budget = RateBudget(RateLimits(requestsPerDay: 100, tokensPerDay: 1000))
        #expect(budget.dayLeft(at: 0) == 1)
        let ticket = budget.sent(cost: 100, at: 0)
        budget.finished(ticket, actual: 300, at: 10)
        #expect(budget.dayLeft(at: 10) == 0.7)
        let next = budget.sent(cost: 1, at: 20)
        let report = RateReport(requests: .init(limit: 100, remaining: 40))
        budget.finished(next, actual: 1, report: report, at: 30)
        #expect(budget.dayLeft(at: 30) == 0.4)
    }

    @Test func readsHeadersAsServersWriteThem() {
        let report = RateReport(headers: [
            ("X-RateLimit-Limit-Requests", "14400"), ("x-ratelimit-limit-tokens", "18000"),
            ("x-ratelimit-remaining-requests", " 14370 "), ("x-ratelimit-remaining-tokens", "17997"),
            ("x-ratelimit-reset-requests", "2m59.56s"), ("x-ratelimit-reset-tokens", "7.66s"), ("Retry-After", "2"),
            ("content-type", "application/json"),
        ].map { (name: $0.0, value: $0.1) })
        #expect(report.requests == .init(limit: 14_400, remaining: 14_370, resetMs: 179_560))
        #expect(report.tokens == .init(limit: 18_000, remaining: 17_997, resetMs: 7660))
        #expect(report.retryAfterMs == 2000)
    }

    @Test(arguments: [
        ("120ms", 120), ("1h2m3s", 3_723_000), ("0", 0), ("7", 7000), ("7.66", 7660), ("1d", 86_400_000),
        ("0.5ms", 1), ("", nil), ("-1", nil), ("soon", nil), ("1x", nil), ("1m2", nil), (".", nil), ("1e9", nil),
        ("9999999999999999999", nil), ("Wed, 21 Oct 2026 07:28:00 GMT", nil),
    ] as [(String, Int64?)])
    func readsDurations(_ text: String, _ expected: Int64?) {
        #expect(RateReport.durationMs(text) == expected)
    }
}
