/// The bounds within which a `BatchScheduler` plans; validated once, then immutable.
package struct SchedulerLimits: Sendable, Equatable {
    /// Priorities a sequence may have; a higher number goes first.
    package static let priorities = -10...10

    /// Positions in a block of KV cache.
    package let blockSize: Int
    /// Blocks there are in all.
    package let blockCount: Int
    /// Sequences that run at once. Each is sure of a row in every step, so `tokenBudget` is no
    /// smaller.
    package let maxSequences: Int
    /// Rows in one step.
    package let tokenBudget: Int
    /// Longest sequence, prompt and completion together.
    package let contextLength: Int
    /// Blocks left free when a sequence is admitted beside others, so that those can grow a little
    /// first.
    package let watermarkBlocks: Int
    /// Share of the tokens that running sequences may still generate for which blocks are left free
    /// when another is admitted. 0 admits as many as fit now and preempts when they grow; 1 never
    /// preempts, but idles. Simulated on pools that hold 2 to 60 sequences, where a step costs as
    /// much as 24 rows at least (as on CPUs), 0.1 takes up to 18% less time than 0; it gives way to
    /// 0 only where steps of few rows are dear and limits far above what is used.
    package let growthReserve: Double
    /// What one priority level is worth: admissions that a waiting class sees go to others before
    /// it counts as one level higher.
    package let agingAdmissions: Int
    /// A sequence that was preempted this often becomes senior: it ranks before all that are not.
    package let seniorAfterPreemptions: Int
    /// Sequences that may wait; adding more throws.
    package let maxWaiting: Int
    /// Sequences that `room` asks for beyond those that could start now, so that a freed place
    /// finds its successor waiting.
    package let lookAheadSequences: Int
    /// Whether a sequence may read blocks that another writes in the same step. True for every
    /// backend that writes the K/V of all rows of a layer before the layer's attention reads any,
    /// as `PackedBatch` demands.
    package let sharesWithinStep: Bool

    /// - Parameters:
    ///   - watermarkBlocks: nil: a hundredth of the blocks, at least one.
    ///   - lookAheadSequences: nil: an eighth of `maxSequences`, at least one.
    /// - Throws: `LimitsError`, which names the value that makes no sense.
    package init(
        blockSize: Int = 16, blockCount: Int, maxSequences: Int, tokenBudget: Int,
        contextLength: Int,
        watermarkBlocks: Int? = nil, growthReserve: Double = 0.1, agingAdmissions: Int = 64,
        seniorAfterPreemptions: Int = 3, maxWaiting: Int = 1_000_000,
        lookAheadSequences: Int? = nil,
        sharesWithinStep: Bool = true
    ) throws(LimitsError) {
        let watermark = watermarkBlocks ?? max(1, blockCount / 100)
        let lookAhead = lookAheadSequences ?? max(1, maxSequences / 8)
        try Self.check(blockSize, in: 1...4096, "blockSize")
        try Self.check(blockCount, in: 1...Int(Int32.max) / blockSize, "blockCount")
        try Self.check(maxSequences, in: 1...1_000_000, "maxSequences")
        try Self.check(
            tokenBudget, in: maxSequences...16_000_000,
            "tokenBudget (a row for each of maxSequences)")
        try Self.check(contextLength, in: 1...Int(Int32.max), "contextLength")
        try Self.check(watermark, in: 0...blockCount, "watermarkBlocks")
        try Self.check(agingAdmissions, in: 1...1_000_000_000, "agingAdmissions")
        try Self.check(seniorAfterPreemptions, in: 0...1_000_000, "seniorAfterPreemptions")
        try Self.check(maxWaiting, in: 1...Int(Int32.max), "maxWaiting")
        try Self.check(lookAhead, in: 0...1_000_000_000, "lookAheadSequences")
        guard growthReserve >= 0 && growthReserve <= 1 else {
            throw LimitsError(message: "growthReserve is \(growthReserve); it must be from 0 to 1")
        }
        self.blockSize = blockSize
        self.blockCount = blockCount
        self.maxSequences = maxSequences
        self.tokenBudget = tokenBudget
        self.contextLength = contextLength
        self.watermarkBlocks = watermark
        self.growthReserve = growthReserve
        self.agingAdmissions = agingAdmissions
        self.seniorAfterPreemptions = seniorAfterPreemptions
        self.maxWaiting = maxWaiting
        self.lookAheadSequences = lookAhead
        self.sharesWithinStep = sharesWithinStep
    }

    /// Tokens that all blocks hold together.
    package var cacheTokens: Int { blockCount * blockSize }

    /// The most new tokens that a prompt of `promptCount` tokens leaves room for, in the context
    /// and in the blocks; 0 or less: not even the prompt and one token fit. The last token of a
    /// sequence is never fed back, so it needs no K/V.
    package func newTokens(afterPrompt promptCount: Int) -> Int {
        min(contextLength, cacheTokens + 1) - promptCount
    }

    private static func check(_ value: Int, in range: ClosedRange<Int>, _ name: String)
        throws(LimitsError)
    {
        guard range.contains(value) else {
            throw LimitsError(
                message:
                    "\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)"
            )
        }
    }
}

/// A limit that makes no sense; the message names it, its value and what is allowed.
package struct LimitsError: Error, Equatable, CustomStringConvertible {
    package let message: String
    package var description: String { message }
}
