/// What the scheduler holds now, and what it did since it was made: for metrics and progress.
package struct SchedulerStatistics: Sendable, Equatable {
    package struct Counts: Sendable, Equatable {
        package var added = 0
        package var finished = 0
        package var cancelled = 0
        package var steps = 0
        /// Rows planned that computed prompts, first or again.
        package var prefillRows = 0
        package var decodeRows = 0
        package var preemptions = 0
        /// Tokens that preempted sequences had to compute again, or will.
        package var recomputedTokens = 0
        /// Tokens of admitted sequences, and how many of them the prefix cache served.
        package var prefixTokens = 0
        package var prefixHitTokens = 0
    }

    package var counts = Counts()
    /// Blocks that the prefix cache gave up for others.
    package var evictions = 0
    /// Waiting sequences, the preempted ones included.
    package var waiting = 0
    package var preempted = 0
    package var running = 0
    package var blocksFree = 0
    /// Blocks that only the prefix cache holds.
    package var blocksCached = 0
    package var blocksUsed = 0
}

extension BatchScheduler {
    package var statistics: SchedulerStatistics {
        SchedulerStatistics(
            counts: counts, evictions: blocks.evictions, waiting: waiting.count,
            preempted: waiting.preemptedCount,
            running: running.count, blocksFree: blocks.freeCount,
            blocksCached: blocks.evictableCount,
            blocksUsed: blocks.usedCount)
    }
}
