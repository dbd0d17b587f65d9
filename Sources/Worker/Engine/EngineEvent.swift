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
    package var promptTokens = 0
    package var generatedTokens = 0
    package var steps = 0
}
