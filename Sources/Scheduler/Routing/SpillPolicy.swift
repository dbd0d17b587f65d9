/// What is known of a batch, and of the workers that compute it here.
package struct SpillFacts: Sendable, Equatable {
    /// Milliseconds until the batch's window ends; nil: it has none.
    package var windowLeftMs: Int64?
    /// Estimated tokens of the batch's requests that have not ended.
    package var remainingTokens: Int
    /// Of these: leased by the local workers, or by the forwarder, and running.
    package var localRunningTokens: Int
    package var upstreamRunningTokens: Int
    /// Tokens of other batches that local workers will lease before the batch's own.
    package var aheadTokens: Int
    /// Tokens a second of all local workers for the model; 0: there are none.
    package var localTokensPerSecond: Double
    /// Tokens a second that the upstream's limits or its answers so far allow; 0: not known.
    package var upstreamTokensPerSecond: Double

    package init(
        windowLeftMs: Int64?, remainingTokens: Int, localRunningTokens: Int = 0, upstreamRunningTokens: Int = 0,
        aheadTokens: Int = 0, localTokensPerSecond: Double,
        upstreamTokensPerSecond: Double = 0
    ) {
        self.windowLeftMs = windowLeftMs
        self.remainingTokens = remainingTokens
        self.localRunningTokens = localRunningTokens
        self.upstreamRunningTokens = upstreamRunningTokens
        self.aheadTokens = aheadTokens
        self.localTokensPerSecond = localTokensPerSecond
        self.upstreamTokensPerSecond = upstreamTokensPerSecond
    }
}

/// How much of a batch a forwarder takes from the local workers.
///
/// What they will have done by the deadline, at their present pace and with a margin, stays theirs: it costs nothing.
/// The rest goes upstream from now on, since its limits need time, too; but no more is taken than keeps the upstream busy
/// for a while. Asked again every few seconds, it corrects itself when the pace changes: what local workers do faster
/// than expected is not taken, and nothing waits upstream that could have been computed here.
package enum SpillPolicy {
    /// What is on its way keeps the upstream busy this long.
    package static let horizonSeconds = 20.0

    /// Tokens to lease for the upstream now; 0: nothing.
    package static func tokensToTake(_ facts: SpillFacts, _ rule: SpillRule) -> Int {
        let queued = max(0, facts.remainingTokens - facts.localRunningTokens - facts.upstreamRunningTokens)
        var take = 0.0
        if rule.whenDeadlineAtRisk, let windowLeftMs = facts.windowLeftMs {
            let local = facts.localTokensPerSecond * Double(max(0, windowLeftMs)) / 1000 / max(1, rule.safety)
            let own = max(0, local - Double(facts.localRunningTokens) - Double(facts.aheadTokens))
            take = max(take, Double(queued) - own)
        }
        if let most = rule.whenBacklogTokens {
            take = max(take, Double(facts.aheadTokens) + Double(queued) - Double(most))
        }
        if facts.upstreamTokensPerSecond > 0 {
            let busy = facts.upstreamTokensPerSecond * horizonSeconds - Double(facts.upstreamRunningTokens)
            take = min(take, busy)
        }
        return Int(min(Double(queued), max(0, take)).rounded(.up))
    }

    package static func isAtRisk(_ facts: SpillFacts, _ rule: SpillRule) -> Bool {
        var rule = rule
        rule.whenBacklogTokens = nil
        var facts = facts
        facts.upstreamTokensPerSecond = 0
        return tokensToTake(facts, rule) > 0
    }
}
