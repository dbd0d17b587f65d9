import Foundation
import JobQueue

/// What a worker does for the queue beside its work: it takes back what others left, and says that it lives.
struct UpstreamService {
    private let name: String
    /// Asked anew for each report: routes may have been read again.
    private let models: @Sendable () -> [String]
    private let everyMs: Int64?
    private let startedAt: Timestamp
    private var dueAt: Timestamp
    private var reported = UpstreamWorkFigures()
    private var reportedAt: Timestamp
    private var backends: [String] = []

    init(name: String, models: @escaping @Sendable () -> [String], everyMs: Int64?, at now: Timestamp) {
        self.name = name
        self.models = models
        self.everyMs = everyMs
        startedAt = now
        dueAt = now
        reportedAt = now
    }

    mutating func runIfDue(
        _ queue: any JobQueue, _ desk: UpstreamDesk, _ figures: UpstreamWorkFigures, isDraining: Bool, at now: Timestamp
    ) async throws(JobQueueError) {
        let names = desk.targets.map(\.description).sorted()
        // A backend that is new is told at once: a short batch may be over before the next report.
        guard let everyMs, now >= dueAt || names != backends else { return }
        _ = try await queue.recover(at: now)
        let seconds = max(0.001, Double(now - reportedAt) / 1000)
        let prompt = Double(figures.usage.promptTokens - reported.usage.promptTokens)
        let generated = Double(figures.usage.completionTokens - reported.usage.completionTokens)
        let report = WorkerReport(
            name: name, host: ProcessInfo.processInfo.hostName, processID: Int(getpid()), models: models(),
            backend: names.joined(separator: ","),
            phase: isDraining ? .draining : .running, startedAt: startedAt, reportedAt: now, lifetimeMs: everyMs * 6,
            leasedRequests: desk.count, runningSequences: desk.underWay, promptTokensPerSecond: prompt / seconds,
            generatedTokensPerSecond: generated / seconds)
        try await queue.heartbeat(report, at: now)
        reported = figures
        backends = names
        reportedAt = now
        dueAt = now + everyMs
    }

    func end(_ queue: any JobQueue) async throws(JobQueueError) {
        if everyMs != nil { try await queue.forget(worker: name) }
    }
}
