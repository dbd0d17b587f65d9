import Scheduler
import Testing

/// Requests under a limit take as long as the limit says, and are hardly ever refused.
@Suite struct PacingTests {
    struct Variant: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var setup: PacingRun.Setup
    }

    private static let kinds: [(name: String, kind: SimulatedLimiter.Kind)] = [
        ("rolling", .rolling), ("fixed", .fixed(phaseMs: 0)), ("fixed, begun before", .fixed(phaseMs: 23_000)),
        ("bucket", .bucket), ("by second", .bySecond),
    ]

    static let variants: [Variant] = kinds.flatMap { name, kind in
        [
            Variant(testDescription: "\(name), requests bind", setup: .init(kind: kind)),
            Variant(
                testDescription: "\(name), tokens bind",
                setup: .init(kind: kind, requestsPerMinute: 3000, tokensPerMinute: 200_000)),
            Variant(testDescription: "\(name), fast answers", setup: .init(kind: kind, latencyMs: 5...30)),
            Variant(testDescription: "\(name), taken in one by one", setup: .init(kind: kind, intakeMs: (5, 1))),
            Variant(testDescription: "\(name), slow answers", setup: .init(kind: kind, latencyMs: 5000...20_000)),
            Variant(
                testDescription: "\(name), resets written too early",
                setup: .init(kind: kind, headers: .all(skewMs: -5000))),
            Variant(
                testDescription: "\(name), limits unknown", setup: .init(
                    kind: kind, limits: RateLimits(requestHeaderSpan: .minute))),
        ]
    }

    @Test(arguments: variants) func keepsWithinFivePercent(_ variant: Variant) {
        for seed in 1...2 { check(variant, seed: UInt64(seed)) }
    }

    /// Without true headers nobody can know that spans began before, or that a bucket refills: then the rolling span's
    /// least time is what can be had.
    static let withoutTruth: [Variant] = kinds.flatMap { name, kind in
        [
            Variant(testDescription: "\(name), requests bind", setup: .init(kind: kind, headers: .none)),
            Variant(
                testDescription: "\(name), taken in one by one",
                setup: .init(kind: kind, headers: .none, intakeMs: (5, 1))),
            Variant(
                testDescription: "\(name), tokens bind",
                setup: .init(kind: kind, headers: .none, requestsPerMinute: 3000, tokensPerMinute: 200_000)),
            Variant(
                testDescription: "\(name), resets written too late",
                setup: .init(kind: kind, headers: .all(skewMs: 20_000))),
        ]
    }

    @Test(arguments: withoutTruth) func keepsWithinFivePercentOfARollingSpan(_ variant: Variant) {
        var rolling = variant.setup
        rolling.kind = .rolling
        check(variant, seed: 1, leastMs: PacingRun.least(rolling))
    }

    /// Servers that count `max_tokens` until the answer is there; most of it comes back. Headers show what is
    /// reserved for others under way, so a rolling span's least time is what can be had.
    @Test func keepsWithinFivePercentOfAServerThatReserves() {
        let setup = PacingRun.Setup(
            kind: .bucket, requestsPerMinute: 3000, tokensPerMinute: 200_000, completionTokens: 20...100,
            maxTokens: 1000, reserves: true)
        var rolling = setup
        rolling.kind = .rolling
        check(Variant(testDescription: "bucket, reserves", setup: setup), seed: 1, leastMs: PacingRun.least(rolling))
    }

    /// Headers say how long a minute is; that of a server under test may be short.
    @Test(arguments: [3000.0, 6000, 12_000]) func learnsHowLongABucketTakesToFill(_ spanMs: Double) {
        let unknown = RateLimits(requestHeaderSpan: .day)
        let setup = PacingRun.Setup(
            kind: .bucket, headers: .groq, requestsPerMinute: 1_000_000, tokensPerMinute: 200_000, limits: unknown,
            latencyMs: 20...60, spanMs: spanMs)
        let run = PacingRun(setup)
        #expect(run.completed == setup.requests)
        #expect(
            Double(run.durationMs) <= 1.05 * Double(run.leastMs) + 500, "\(run.durationMs) ms of \(run.leastMs)")
        #expect(run.refusals.count * 100 < setup.requests, "\(run.refusals.count) refusals")
    }

    private func check(_ variant: Variant, seed: UInt64, leastMs: Int64? = nil) {
        var setup = variant.setup
        setup.seed = seed
        let run = PacingRun(setup)
        let leastMs = max(leastMs ?? 0, run.leastMs)
        #expect(run.completed == setup.requests)
        let boundMs = Int64(Double(leastMs) * 1.05) + Int64(setup.latencyMs.upperBound)
        #expect(run.durationMs <= boundMs, "\(run.durationMs) ms; the limit allows \(leastMs) ms")
        #expect(run.refusalsAfterFirstSpan * 100 < setup.requests, "\(run.refusalsAfterFirstSpan) refusals")
        // The limiter itself is no pushover.
        #expect(run.durationMs >= run.leastMs, "faster than the limit allows")
    }
}
