import JobQueue
import Logging
import Models
import Synchronization

/// A worker as a service: reports while it loads, is ready when the model is loaded and the queue answers, feeds the
/// watchdog while the engine gets on, drains when it is told to stop.
package final class WorkerService: Sendable {
    /// Loads the model and starts an engine on it.
    package typealias Start = @Sendable (
        _ meter: LoadMeter, _ onEvent: @escaping @Sendable (EngineEvent) -> Void
    ) async throws -> (engine: Engine, intake: Intake)

    package typealias OpenQueue = @Sendable () async throws(JobQueueError) -> any JobQueue

    private let inbox = NativeWorker.Inbox()
    private let isServing = Atomic(false)
    private let settings: WorkerSettings
    private let identity: WorkerIdentity
    private let openQueue: OpenQueue
    private let notifier: ServiceNotifier
    private let start: Start
    private let now: @Sendable () -> Timestamp
    private let pause: @Sendable (_ milliseconds: Int64) async throws -> Void
    private let log: Logger

    /// How much longer starting and stopping may take, each time they show that they go on.
    private static let extensionMs: Int64 = 30_000
    /// A model that takes longer to load will never be.
    private static let loadLimitMs: Int64 = 3_600_000
    private static let statusMs: Int64 = 5_000

    /// - Parameter pause: waits; ends early when the task is cancelled.
    package init(
        _ settings: WorkerSettings, identity: WorkerIdentity, notifier: ServiceNotifier,
        now: @escaping @Sendable () -> Timestamp,
        pause: @escaping @Sendable (_ milliseconds: Int64) async throws -> Void, log: Logger,
        openQueue: @escaping OpenQueue,
        start: @escaping Start
    ) {
        self.settings = settings
        self.identity = identity
        self.openQueue = openQueue
        self.notifier = notifier
        self.now = now
        self.pause = pause
        self.log = log
        self.start = start
    }

    /// The first call drains, the second hands back what runs at once.
    /// - Returns: false when it does not serve yet: then nothing is held, and the process may end.
    package func stop() -> Bool {
        notifier.stopping("draining")
        guard isServing.load(ordering: .acquiring) else { return false }
        notifier.extendTimeout(ms: Self.extensionMs)
        inbox.stop()
        return true
    }

    /// Goes on with other settings.
    package func reload(_ settings: WorkerSettings) {
        notifier.reloading()
        inbox.reload(settings)
        notifier.ready("ready")
    }

    /// Works until `stop` has taken effect.
    /// - Throws: what the model's loading or `NativeWorker.run` throws.
    package func run() async throws {
        let early = try await reportStarting()
        let meter = LoadMeter()
        let (engine, intake) = try await whileExtending({ Self.loading(meter) }) {
            try await start(meter, inbox.receive)
        }
        let queue = try await whileExtending({ "waiting for the queue" }) { try await awaitQueue(early) }
        let worker = NativeWorker(
            settings, identity: identity, inbox: inbox, queue: queue, engine: engine, intake: intake, now: now,
            log: log)
        isServing.store(true, ordering: .releasing)
        notifier.ready("ready")
        log.notice("ready", metadata: ["models": "\(settings.models?.joined(separator: ",") ?? "*")"])
        let feeder = Task { try await feed(engine) }
        let teller = Task { try await tell(engine, worker) }
        defer {
            feeder.cancel()
            teller.cancel()
        }
        _ = try await worker.run(.untilStopped)
        engine.stop()
        log.notice("stopped")
        try await queue.close()
    }

    // MARK: Starting

    /// `millrace workers` shows who is coming. A queue that is away is not worth a delay now; one that cannot be used
    /// is known before a model is loaded.
    private func reportStarting() async throws -> (any JobQueue)? {
        do throws(JobQueueError) {
            let queue = try await openQueue()
            try await queue.heartbeat(startingReport, at: now())
            return queue
        } catch {
            guard case .unavailable(let reason) = error else { throw error }
            log.warning("the queue does not answer yet", metadata: ["reason": "\(reason)"])
            return nil
        }
    }

    private var startingReport: WorkerReport { identity.report(models: settings.models, .starting, at: now()) }

    private func awaitQueue(_ early: (any JobQueue)?) async throws -> any JobQueue {
        var patience = StorePatience()
        var opened = early
        while true {
            do throws(JobQueueError) {
                let queue: any JobQueue
                if let opened { queue = opened } else { queue = try await openQueue() }
                opened = queue
                try await queue.heartbeat(startingReport, at: now())
                return queue
            } catch {
                guard case .unavailable(let reason) = error else { throw error }
                if !patience.isWaiting { log.warning("waiting for the queue", metadata: ["reason": "\(reason)"]) }
                try await pause(patience.noteFailure(at: now(), jitter: .random(in: 0...1)))
            }
        }
    }

    private static func loading(_ meter: LoadMeter) -> String {
        "loading the model" + (meter.share.map { ": \(Int($0 * 100))%" } ?? "")
    }

    /// Tells the service manager that something is still going on, for as long as it may.
    private func whileExtending<R: Sendable>(
        _ what: @escaping @Sendable () -> String, _ body: () async throws -> R
    ) async throws -> R {
        let first = what()
        notifier.status(first)
        guard notifier.isWanted else { return try await body() }
        let extender = Task { [notifier, pause, now] in
            let start = now()
            var told = first
            while now() - start < Self.loadLimitMs {
                notifier.extendTimeout(ms: Self.extensionMs)
                try await pause(Self.extensionMs / 6)
                let text = what()
                if text != told { notifier.status(text) }
                told = text
            }
        }
        defer { extender.cancel() }
        return try await body()
    }

    // MARK: Running

    private func feed(_ engine: Engine) async throws {
        guard let periodMs = notifier.watchdogMs else { return }
        var watch = EngineWatch()
        while true {
            if watch.isAlive(engine.pulse) { notifier.feedWatchdog() }
            try await pause(max(1, periodMs / 4))
        }
    }

    /// What `systemctl status` shows.
    private func tell(_ engine: Engine, _ worker: NativeWorker) async throws {
        guard notifier.isWanted else { return }
        var isStopping = false
        while true {
            try await pause(isStopping ? 1_000 : Self.statusMs)
            let standing = await worker.standing
            let text = "\(standing.held) requests, \(engine.snapshot?.statistics.running ?? 0) sequences running"
                + (standing.storeIsAway ? "; the queue does not answer" : "")
            if standing.isStopping {
                // A drain has a limit of its own; it is not cut short by the manager's.
                isStopping = true
                notifier.extendTimeout(ms: Self.extensionMs)
                notifier.status("draining: " + text)
            } else {
                notifier.status(text)
            }
        }
    }
}

/// How a worker stands, for people.
package struct WorkerStanding: Sendable {
    package var held: Int
    package var isStopping: Bool
    package var storeIsAway: Bool
}
