import JobQueue
import Scheduler

/// What the engine tells its owner, on the engine's thread: hand it on, do not work there.
package enum EngineEvent: Sendable {
    /// A sequence has ended by itself.
    case finished(SequenceID, FinishedGeneration)
    /// A sequence could not be run or went wrong; its neighbours go on.
    case failed(SequenceID, OutcomeError)
    /// A sequence that had not started when the engine was asked to return such; it is forgotten here.
    case returned(SequenceID)
    /// The engine ended, by `stop` (nil) or because the device failed. Sequences without an event are unfinished.
    case stopped(String?)
}

/// A sequence's text with what the step loop knows of it.
package struct FinishedGeneration: Sendable {
    package var sequence: GeneratedSequence
    package var startedAt: ContinuousClock.Instant
    package var firstTokenAt: ContinuousClock.Instant
    package var endedAt: ContinuousClock.Instant
}

/// Where the engine stands, for progress, metrics and for how much work to fetch; taken after each step.
package struct EngineSnapshot: Sendable {
    package var statistics: SchedulerStatistics
    /// Sequences that the scheduler could take now, and the tokens they may have together.
    package var room: Room
    /// Jobs taken from the mailbox since the start.
    package var acceptedJobs = 0
    /// Tokens of those jobs, prompts and what they may generate.
    package var acceptedTokens = 0
    package var promptTokens = 0
    package var generatedTokens = 0
    package var steps = 0
    /// Median of the last steps; 0 before the first.
    package var stepMs = 0.0

    /// Part of the KV cache that sequences hold, 0 to 1; what only the prefix cache keeps counts as free.
    package var cacheUse: Double {
        let blocks = statistics.blocksUsed + statistics.blocksFree + statistics.blocksCached
        return blocks > 0 ? Double(statistics.blocksUsed) / Double(blocks) : 0
    }
}

/// Whether the engine's thread gets on; readable while a step runs.
package struct EnginePulse: Sendable, Equatable {
    /// Turns of the loop that were begun.
    package var turns = 0
    /// False while it waits for work.
    package var isBusy = false
}
