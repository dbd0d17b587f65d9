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
    let isQuiet: Bool
    let inbox = UpstreamWorker.Inbox()

    func run(_ queue: any JobQueue, _ batch: BatchID) async throws -> RunSession.WorkEnd {
        var transfers = Upstream.Settings()
        transfers.maxTransfers = target.limits.maxConcurrent
        let upstream = try Upstream(transfers)
        defer { upstream.stop() }
        // What parks a route ends the run, with the same words.
        let log = Logger(label: "forwarder") { [isQuiet] _ in
            if isQuiet { return SwiftLogNoOpLogHandler() }
            return WarningNotes()
        }
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

    /// Warnings as a line each: that the upstream fails, and what is tried again.
    private struct WarningNotes: LogHandler {
        var logLevel = Logger.Level.warning
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            if event.level == .warning { ConsoleOutput.note("millrace: \(event.message)") }
        }
    }

    /// What may have been computed twice, for the summary; nil: nothing.
    var duplicates: String? {
        let count = inbox.figures.cutOff + inbox.figures.inherited
        guard count > 0 else { return nil }
        return "\(count) answers of \(target.name) were cut off; it may have computed (and charged) them twice"
    }
}
