import JobQueue
import Logging
import Models
import Submitter
import Worker

/// The worker's side of `millrace run`: a model on this machine's CPU, working on one batch until it is over or a
/// signal says stop.
struct LocalWork: Sendable {
    let model: LocalModel
    let settings: LocalModel.Settings
    let inbox = NativeWorker.Inbox()
    let loading: LoadMeter
    /// Called with what people should know of how the model was loaded.
    let onRemark: @Sendable (String) -> Void
    /// Called with the engine once the model is loaded.
    let onStart: @Sendable (Engine) -> Void

    func run(_ queue: any JobQueue, _ batch: BatchID) async throws -> RunSession.WorkEnd {
        var settings = settings
        let counts = try await queue.status(batch).counts
        settings.requests = counts.total - counts.settled
        let (engine, intake) = try await model.start(
            settings, meter: loading, onRemark: onRemark, onEvent: inbox.receive)
        onStart(engine)
        var log = Logger(label: "worker")
        log.logLevel = .warning
        let now = RunClock.system.now
        let worker = NativeWorker(
            .embedded, identity: WorkerIdentity(name: "run", backend: settings.device.name, startedAt: now()),
            inbox: inbox, queue: queue, engine: engine, intake: intake, now: now, log: log)
        let end = try await worker.run(.batch(batch))
        engine.stop()
        switch end {
        case .reachedGoal: return .finished
        case .stopped: return .stopped
        }
    }
}
