/// What the scheduler needs to know to run a sequence.
package struct NewSequence: Sendable {
    package var id: SequenceID
    package var tenant: TenantID
    /// Higher goes first; within `SchedulerLimits.priorities`.
    package var priority: Int
    package var prompt: [Int32]
    /// Sequence ends when it has generated this many (the caller clips it:
    /// `SchedulerLimits.newTokens`). 0: the prompt is computed, nothing is sampled.
    package var maxNewTokens: Int
    /// Sequences share prefix cache blocks only with sequences of the same salt: give tenants that
    /// must not learn from timing what others have asked salts of their own.
    package var cacheSalt: UInt64
    /// The logits of every prompt row are wanted (`echo`, prompt log-probabilities), each exactly
    /// once; rows whose logits are still owed are computed, never taken from the prefix cache.
    package var needsPromptLogits: Bool

    package init(
        id: SequenceID, tenant: TenantID = TenantID(0), priority: Int = 0, prompt: [Int32],
        maxNewTokens: Int,
        cacheSalt: UInt64 = 0, needsPromptLogits: Bool = false
    ) {
        self.id = id
        self.tenant = tenant
        self.priority = priority
        self.prompt = prompt
        self.maxNewTokens = maxNewTokens
        self.cacheSalt = cacheSalt
        self.needsPromptLogits = needsPromptLogits
    }

    /// Positions whose K/V are computed if it runs to its end: all but the last generated token.
    var cacheTokens: Int { prompt.count + max(0, maxNewTokens - 1) }
}
