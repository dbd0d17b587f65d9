import Scheduler
import Testing

@Suite struct SpillPolicyTests {
    private static let rule = SpillRule(to: Route.Target(backend: "groq"))

    @Test func takesWhatWouldBeLate() {
        var facts = SpillFacts(windowLeftMs: 100_000, remainingTokens: 10_000, localTokensPerSecond: 120)
        // 12,000 by the deadline, a sixth less for safety: all of it.
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 0)
        facts.remainingTokens = 15_000
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 5000)
        facts.upstreamRunningTokens = 5000
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 0, "it is on its way")
        facts.aheadTokens = 2000
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 2000)
        facts.windowLeftMs = -5
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 10_000)
        facts.windowLeftMs = nil
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 0, "no window, no hurry")
        #expect(!SpillPolicy.isAtRisk(facts, Self.rule))
    }

    @Test func takesWhatIsAboveTheBacklog() {
        var rule = Self.rule
        rule.whenDeadlineAtRisk = false
        rule.whenBacklogTokens = 1000
        let facts = SpillFacts(
            windowLeftMs: 1, remainingTokens: 900, localRunningTokens: 100, aheadTokens: 600, localTokensPerSecond: 1)
        #expect(SpillPolicy.tokensToTake(facts, rule) == 400)
        #expect(!SpillPolicy.isAtRisk(facts, rule))
    }

    @Test func withoutLocalWorkersAllGoes() {
        let facts = SpillFacts(windowLeftMs: 1_000_000, remainingTokens: 500, localTokensPerSecond: 0)
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 500)
    }

    @Test func keepsTheUpstreamBusyAndNoMore() {
        var facts = SpillFacts(
            windowLeftMs: 100_000, remainingTokens: 50_000, localTokensPerSecond: 0, upstreamTokensPerSecond: 100)
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 2000)
        facts.upstreamRunningTokens = 1500
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 500)
        facts.upstreamRunningTokens = 2500
        #expect(SpillPolicy.tokensToTake(facts, Self.rule) == 0)
        #expect(SpillPolicy.isAtRisk(facts, Self.rule))
    }

    struct Scene: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// Tokens a second of the local workers at a second.
        var localPace: @Sendable (Int) -> Double
        var upstreamPace = 400.0
        var requests = 1000
        var windowSeconds = 600
        /// What is spilled at most, of what had to be.
        var excess: Double
    }

    static let scenes = [
        Scene(testDescription: "steady", localPace: { _ in 150 }, excess: 1.6),
        Scene(testDescription: "fast enough", localPace: { _ in 600 }, excess: 0),
        Scene(testDescription: "none", localPace: { _ in 0 }, upstreamPace: 600, excess: 1),
        Scene(testDescription: "dies halfway", localPace: { $0 < 300 ? 300 : 0 }, upstreamPace: 700, excess: 1.2),
        Scene(testDescription: "grows", localPace: { $0 < 300 ? 100 : 400 }, excess: 3),
        Scene(testDescription: "uneven", localPace: { $0 % 20 < 10 ? 50 : 250 }, excess: 1.8),
    ]

    /// Local workers and a forwarder at one queue of requests of 300 tokens: done in time, without buying much more than
    /// was needed.
    @Test(arguments: scenes) func isDoneInTime(_ scene: Scene) {
        let cost = 300
        var queued = scene.requests
        var (local, upstream) = (0.0, 0.0)
        var (localHeld, upstreamHeld) = (0, 0)
        var spilled = 0
        var seenPace = scene.localPace(0)
        var end: Int?
        for second in 0..<scene.windowSeconds {
            // Workers hold a few requests and finish them at their pace.
            while localHeld < 8, queued > 0, scene.localPace(second) > 0 {
                localHeld += 1
                queued -= 1
            }
            seenPace = 0.8 * seenPace + 0.2 * scene.localPace(second)
            if second % 5 == 0 {
                let take = SpillPolicy.tokensToTake(
                    SpillFacts(
                        windowLeftMs: Int64(scene.windowSeconds - second) * 1000,
                        remainingTokens: (queued + localHeld + upstreamHeld) * cost,
                        localRunningTokens: localHeld * cost, upstreamRunningTokens: upstreamHeld * cost,
                        localTokensPerSecond: seenPace, upstreamTokensPerSecond: scene.upstreamPace), Self.rule)
                let requests = min(queued, (take + cost - 1) / cost)
                queued -= requests
                upstreamHeld += requests
                spilled += requests
            }
            local += scene.localPace(second)
            while local >= Double(cost), localHeld > 0 {
                localHeld -= 1
                local -= Double(cost)
            }
            if localHeld == 0 { local = 0 }
            upstream += scene.upstreamPace
            while upstream >= Double(cost), upstreamHeld > 0 {
                upstreamHeld -= 1
                upstream -= Double(cost)
            }
            if upstreamHeld == 0 { upstream = 0 }
            // What a dead worker holds comes back when its lease ends.
            if scene.localPace(second) == 0, localHeld > 0, second % 60 == 59 {
                queued += localHeld
                localHeld = 0
            }
            if queued + localHeld + upstreamHeld == 0 {
                end = second
                break
            }
        }
        #expect(end != nil, "late: \(queued) queued, \(localHeld) local, \(upstreamHeld) upstream")
        let possible = (0..<scene.windowSeconds).reduce(0.0) { $0 + scene.localPace($1) }
        let needed = max(0, scene.requests - Int(possible) / cost)
        #expect(Double(spilled) <= max(Double(needed) * scene.excess, 0) + 10, "\(spilled) spilled, \(needed) needed")
        #expect(needed == 0 || spilled >= needed - 1)
    }
}
