/// How a worker deals with its store.
package struct WorkerSettings: Sendable, Equatable {
    /// Models that are leased, by requests' names for them; nil: any.
    package var models: [String]?
    package var leaseMs: Int64 = 60_000
    /// How long running requests may go on after the first request to stop; then they are handed back.
    package var drainMs: Int64 = 10_000
    /// How long after that a store that does not answer is waited for.
    package var lastCallMs: Int64 = 5_000
    /// How often time is noticed: everything below, and the end of a drain.
    package var tickMs: Int64 = 250
    /// How often the batches of running requests are looked at, to see whether they were cancelled.
    package var cancelCheckMs: Int64 = 250
    /// How often expired leases are taken back, whoever's they were; nil: never.
    package var recoverMs: Int64?
    /// How often the worker reports; nil: never.
    package var heartbeatMs: Int64?
    /// A store that does not answer is waited for; else it ends the worker.
    package var waitsForStore = false
    /// Whether suspects (`LeaseClaim.Suspects`) run alone; else crashes are not looked at.
    package var triesSuspectsAlone = false
    /// A worker that never runs out of other work tries a suspect this often, and takes nothing new before it.
    package var suspectMs: Int64 = 60_000
    /// A step that takes longer is a failure of the device; nil: it may take for ever.
    package var stepLimitMs: Int64?

    /// For a worker that has its store for itself, and nobody to take over.
    package static let embedded = WorkerSettings()

    /// For a worker among others, on a store that may be away for a while.
    package static let shared: WorkerSettings = {
        var settings = WorkerSettings()
        settings.drainMs = 30_000
        settings.recoverMs = 5_000
        settings.heartbeatMs = 5_000
        settings.waitsForStore = true
        settings.triesSuspectsAlone = true
        settings.stepLimitMs = 600_000
        return settings
    }()
}
