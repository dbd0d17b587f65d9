import JobQueue

/// Who a worker is, for its reports.
package struct WorkerIdentity: Sendable, Equatable {
    /// Unique among workers.
    package var name: String
    package var host: String
    package var processID: Int
    /// What outcomes name as their computer.
    package var backend: String
    package var startedAt: Timestamp

    package init(name: String, host: String = "", processID: Int = 0, backend: String, startedAt: Timestamp) {
        self.name = name
        self.host = host
        self.processID = processID
        self.backend = backend
        self.startedAt = startedAt
    }

    /// A report of a worker that does nothing yet.
    package func report(models: [String]?, _ phase: WorkerReport.Phase, at now: Timestamp) -> WorkerReport {
        WorkerReport(
            name: name, host: host, processID: processID, models: models ?? ["*"], backend: backend, phase: phase,
            startedAt: startedAt, reportedAt: now)
    }
}

/// Makes a worker's reports out of its engine's counts.
struct WorkerMeter {
    private var last: (at: Timestamp, prompt: Int, generated: Int)?

    /// Fills in what the engine tells. Speeds are since the call before.
    mutating func complete(_ report: inout WorkerReport, _ snapshot: EngineSnapshot, leased: Int) {
        report.leasedRequests = leased
        report.runningSequences = snapshot.statistics.running
        report.stepMs = snapshot.stepMs
        report.cacheUse = snapshot.cacheUse
        if let last, report.reportedAt > last.at {
            let seconds = Double(report.reportedAt - last.at) / 1000
            report.promptTokensPerSecond = Double(snapshot.promptTokens - last.prompt) / seconds
            report.generatedTokensPerSecond = Double(snapshot.generatedTokens - last.generated) / seconds
        }
        last = (report.reportedAt, snapshot.promptTokens, snapshot.generatedTokens)
    }
}
