/// What a worker tells of itself, every few seconds.
package struct WorkerReport: Sendable, Equatable {
    package enum Phase: String, Sendable, CaseIterable { case starting, running, draining }

    /// Unique among workers: host, process and model.
    package var name: String
    package var host: String
    package var processID: Int
    /// Models that it serves.
    package var models: [String]
    /// `cpu`, `cuda:0`, an upstream's name.
    package var backend: String
    package var phase: Phase
    package var startedAt: Timestamp
    package var reportedAt: Timestamp
    /// Forgotten this long after `reportedAt`.
    package var lifetimeMs: Int64
    package var leasedRequests: Int
    package var runningSequences: Int
    /// Of the last steps, median; 0 where there are no steps.
    package var stepMs: Double
    /// Tokens a second since the report before.
    package var promptTokensPerSecond: Double
    package var generatedTokensPerSecond: Double
    /// Part of the KV cache that is in use, 0 to 1.
    package var cacheUse: Double

    package init(
        name: String, host: String, processID: Int, models: [String], backend: String, phase: Phase,
        startedAt: Timestamp, reportedAt: Timestamp, lifetimeMs: Int64 = 30_000, leasedRequests: Int = 0,
        runningSequences: Int = 0, stepMs: Double = 0, promptTokensPerSecond: Double = 0,
        generatedTokensPerSecond: Double = 0, cacheUse: Double = 0
    ) {
        self.name = name
        self.host = host
        self.processID = processID
        self.models = models
        self.backend = backend
        self.phase = phase
        self.startedAt = startedAt
        self.reportedAt = reportedAt
        self.lifetimeMs = lifetimeMs
        self.leasedRequests = leasedRequests
        self.runningSequences = runningSequences
        self.stepMs = stepMs
        self.promptTokensPerSecond = promptTokensPerSecond
        self.generatedTokensPerSecond = generatedTokensPerSecond
        self.cacheUse = cacheUse
    }
}
