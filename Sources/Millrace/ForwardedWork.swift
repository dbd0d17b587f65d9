import Foundation
import JobQueue
import Logging
import Submitter
import Worker

/// The upstream's side of `millrace run --backend groq`: one batch, sent to one place.
struct ForwardedWork: Sendable {
    let target: UpstreamTarget
    /// The upstream's name for the model; nil: as each request names it.
    let model: String?
    let inbox = UpstreamWorker.Inbox()

    func run(_ queue: any JobQueue, _ batch: BatchID) async throws -> RunSession.WorkEnd {
        var transfers = Upstream.Settings()
        transfers.maxTransfers = target.limits.maxConcurrent
        let upstream = try Upstream(transfers)
        defer { upstream.stop() }
        var log = Logger(label: "forwarder")
        // What parks a route ends the run, with the same words.
        log.logLevel = .critical
        var settings = UpstreamWorker.Settings()
        settings.name = "run"
        settings.drainMs = 10_000
        // Somebody waits in front of it: what cannot go on is said, not waited out.
        settings.retryParkedMs = nil
        let worker = UpstreamWorker(
            settings, inbox: inbox, queue: queue, upstream: upstream,
            routing: SingleRoute(UpstreamChoice(target: target, model: model)), log: log)
        switch try await worker.run(.batch(batch)) {
        case .reachedGoal: return .finished
        case .stopped: return .stopped
        }
    }

    func meter() -> WorkMeter {
        let usage = inbox.figures.usage
        return WorkMeter(promptTokens: usage.promptTokens, generatedTokens: usage.completionTokens)
    }

    /// What may have been computed twice, for the summary; nil: nothing.
    var duplicates: String? {
        let count = inbox.figures.cutOff + inbox.figures.inherited
        guard count > 0 else { return nil }
        return "\(count) answers of \(target.name) were cut off; it may have computed (and charged) those requests twice"
    }
}
