import JobQueue
import Logging
import Scheduler

/// Leases requests, runs them on the engine, settles their outcomes.
///
/// Everything happens in turns of one loop, woken by a bell: engine events, the passing of time, a request to stop.
/// A turn first takes in what happened, then talks to the store: settle, give back, renew, recover, report, lease.
/// While the store does not answer the engine goes on with what it has, and what comes of it waits in the outbox.
package actor NativeWorker {
    /// When to return.
    package enum Goal: Sendable {
        case untilStopped
        /// When this batch is terminal, too.
        case batch(BatchID)
    }

    package enum End: Sendable, Equatable { case reachedGoal, stopped }

    enum Signal: Sendable {
        case engine(EngineEvent)
        case settings(WorkerSettings)
        case stop
        case tick
    }

    /// The worker's ears, made before it so that an engine can be started that talks to it.
    package struct Inbox: Sendable {
        let signals = SignalInbox<Signal>()

        package init() {}

        /// For the engine's `onEvent`.
        package func receive(_ event: EngineEvent) { signals.post(.engine(event)) }

        /// The first call drains: nothing new starts, what runs may finish for a while. The second hands everything
        /// back now.
        package func stop() { signals.post(.stop) }

        /// Goes on with other settings, but for the names of the worker and what it serves on.
        package func reload(_ settings: WorkerSettings) { signals.post(.settings(settings)) }
    }

    /// What may be leased, for the sake of requests that crashed workers (I7).
    enum Company {
        /// Anything but them.
        case open
        /// Nothing: one has waited long enough, and is tried when nothing else is held.
        case clearing
        /// Nothing: such a request runs alone.
        case alone
    }

    var settings: WorkerSettings
    let identity: WorkerIdentity
    let queue: any JobQueue
    let engine: Engine
    let intake: Intake
    let now: @Sendable () -> Timestamp
    let log: Logger
    private let inbox: SignalInbox<Signal>

    var work = HeldWork()
    var outbox = Outbox()
    var patience = StorePatience()
    var agenda = Agenda()
    var company = Company.open
    var meter = WorkerMeter()
    var submittedJobs = 0
    var submittedTokens = 0
    private(set) var stopLevel = 0
    private var drainUntil: Timestamp?
    private var failure: EngineFailure?
    private var stuck: (turns: Int, since: Timestamp)?

    /// - Parameters:
    ///   - engine: started with `inbox.receive` as its `onEvent`.
    package init(
        _ settings: WorkerSettings, identity: WorkerIdentity, inbox: Inbox, queue: any JobQueue, engine: Engine,
        intake: Intake, now: @escaping @Sendable () -> Timestamp, log: Logger
    ) {
        self.settings = settings
        self.identity = identity
        self.inbox = inbox.signals
        self.queue = queue
        self.engine = engine
        self.intake = intake
        self.now = now
        self.log = log
    }

    /// Works until the goal is reached or `stop` has taken effect.
    /// - Throws: `JobQueueError` when the store cannot be used (one that does not answer is waited for, where the
    ///   settings say so), `EngineFailure` when the device fails.
    package func run(_ goal: Goal) async throws -> End {
        let ticker = Task { [inbox, settings] in
            while !Task.isCancelled {
                try await Task.sleep(for: .milliseconds(settings.tickMs))
                inbox.post(.tick)
            }
        }
        defer { ticker.cancel() }
        inbox.post(.tick)
        // A worker that has just started begins with what cannot hurt it.
        agenda.done(.suspect, every: settings.suspectMs, at: now())
        for await _ in inbox.bell {
            for signal in inbox.take() { take(signal) }
            noteStuckStep()
            if let failure { throw await abandon(failure) }
            handBackIfDue()
            try await talkToStore()
            if let end = try await end(goal) { return end }
        }
        return .stopped
    }

    /// Answered between the steps of a turn.
    package var standing: WorkerStanding {
        WorkerStanding(
            held: work.count + outbox.count, isStopping: stopLevel > 0, storeIsAway: patience.isWaiting)
    }

    /// Without waiting for something to happen.
    func takeAnotherTurn() { inbox.post(.tick) }

    private func end(_ goal: Goal) async throws -> End? {
        guard work.isEmpty else { return nil }
        if stopLevel > 0 {
            guard outbox.isEmpty || isOutOfTime else { return nil }
            if !outbox.isEmpty {
                log.warning(
                    "the queue does not answer; what was not settled will run again when its leases have expired",
                    metadata: ["requests": "\(outbox.count)"])
            }
            await forget()
            return .stopped
        }
        guard case .batch(let id) = goal, outbox.isEmpty else { return nil }
        return try await queue.status(id).state.isTerminal ? .reachedGoal : nil
    }

    private func forget() async {
        guard settings.heartbeatMs != nil else { return }
        do {
            try await queue.forget(worker: identity.name)
        } catch {
            log.info("the worker's report could not be removed; it will lapse", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: What happened

    private func take(_ signal: Signal) {
        switch signal {
        case .engine(let event): take(event)
        case .settings(let settings): self.settings = settings
        case .stop: noteStop()
        case .tick: break
        }
    }

    private func take(_ event: EngineEvent) {
        switch event {
        case .finished(let id, let generation):
            guard let item = work.finish(id, generation) else { return }
            let outcome = FinishedRequest(item).outcome(intake, backend: identity.backend, at: now())
            outbox.settlements.append(Settlement(lease: item.lease, outcome: outcome))
        case .failed(let id, let error):
            guard let lease = drop(work.key(of: id)) else { return }
            fail(lease, error)
        case .returned(let id):
            guard let lease = drop(work.key(of: id)) else { return }
            outbox.handBacks.append(lease)
        case .stopped(let reason):
            failure = EngineFailure(reason: reason ?? "the engine was stopped while work was running")
        }
    }

    func fail(_ lease: Lease, _ error: OutcomeError) {
        outbox.settlements.append(
            Settlement(lease: lease, outcome: Outcome(result: .error(error), backend: identity.backend)))
    }

    /// Forgets a request and stops what of it still runs.
    @discardableResult
    func drop(_ key: RequestKey?) -> Lease? {
        guard let key, let (lease, running) = work.drop(key) else { return nil }
        engine.cancel(running)
        return lease
    }

    // MARK: Stopping

    private func noteStop() {
        stopLevel += 1
        drainUntil = stopLevel == 1 ? now() + settings.drainMs : now()
        guard stopLevel == 1 else { return }
        log.info(
            "stopping; what runs may finish",
            metadata: ["requests": "\(work.count)", "limit_ms": "\(settings.drainMs)"])
        engine.returnWaiting()
    }

    private func handBackIfDue() {
        guard let drainUntil, !work.isEmpty, now() >= drainUntil else { return }
        let (leases, running) = work.dropAll()
        engine.cancel(running)
        outbox.handBacks += leases
        log.info("handing back what still runs", metadata: ["requests": "\(leases.count)"])
    }

    /// The store had its chance.
    private var isOutOfTime: Bool { drainUntil.map { now() >= $0 + settings.lastCallMs } ?? false }

    // MARK: Failing

    /// A step that does not end would keep its requests from everyone for as long as their leases are renewed.
    private func noteStuckStep() {
        guard let limit = settings.stepLimitMs else { return }
        let pulse = engine.pulse
        guard pulse.isBusy else { return stuck = nil }
        guard let stuck, stuck.turns == pulse.turns else { return stuck = (pulse.turns, now()) }
        if now() - stuck.since >= limit {
            failure = EngineFailure(reason: "a step has been running for \((now() - stuck.since) / 1000) s")
        }
    }

    /// Saves what was finished. What was running when the device failed may be what failed it: where crashes are
    /// counted its leases are left to expire, at once, so that they are; elsewhere it is handed back.
    /// - Returns: what the worker ends with.
    private func abandon(_ failure: EngineFailure) async -> any Error {
        let leases = work.dropAll().leases
        let mayBeGuilty = settings.triesSuspectsAlone
        if !mayBeGuilty { outbox.handBacks += leases }
        do {
            try await settle()
            try await handBack()
            if mayBeGuilty, !leases.isEmpty { _ = try await queue.renew(leases, durationMs: 1, at: now()) }
            await forget()
        } catch {
            log.error("what was finished could not be settled", metadata: ["reason": "\(error)"])
        }
        return failure
    }
}

/// The device failed; nothing more can run in this process.
package struct EngineFailure: Error, CustomStringConvertible {
    package let reason: String
    package init(reason: String) { self.reason = reason }
    package var description: String { reason }
}
