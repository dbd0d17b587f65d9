import JobQueue
import Logging
import Scheduler

/// Leases requests, runs them on the engine, settles their outcomes. One noun's worth of state: what is in flight.
///
/// Everything happens in turns of one loop, woken by a bell: engine events, the passing of time, a request to stop.
package actor NativeWorker {
    package struct Settings: Sendable {
        package var name = "worker"
        package var leaseMs: Int64 = 60_000
        /// How long running requests may go on after the first request to stop; then they are handed back.
        package var drainMs: Int64 = 10_000
        /// How often time is noticed: renewals, retries that become due, the end of a drain.
        package var tickMs: Int64 = 250

        package init() {}
    }

    /// When to return.
    package enum Goal: Sendable {
        case untilStopped
        /// When this batch is terminal, too.
        case batch(BatchID)
    }

    package enum End: Sendable, Equatable { case reachedGoal, stopped }

    fileprivate enum Signal: Sendable {
        case engine(EngineEvent)
        case stop
        case tick
    }

    /// The worker's ears, made before it so that an engine can be started that talks to it.
    package struct Inbox: Sendable {
        fileprivate let signals = SignalInbox<Signal>()

        package init() {}

        /// For the engine's `onEvent`.
        package func receive(_ event: EngineEvent) { signals.post(.engine(event)) }

        /// The first call drains: nothing new starts, what runs may finish for a while. The second hands everything
        /// back now.
        package func stop() { signals.post(.stop) }
    }

    /// A leased request and what its sequences have come to.
    private struct InFlight {
        var leased: LeasedRequest
        var plan: RequestPlan
        var sequences: [SequenceID]
        var finished: [FinishedGeneration?]
        var leasedAt: ContinuousClock.Instant

        var isComplete: Bool { finished.allSatisfy { $0 != nil } }
    }

    private let settings: Settings
    private let queue: any JobQueue
    private let engine: Engine
    private let intake: Intake
    private let backend: String
    private let now: @Sendable () -> Timestamp
    private let log: Logger
    private let inbox: SignalInbox<Signal>

    private var inFlight: [RequestKey: InFlight] = [:]
    private var owners: [SequenceID: (key: RequestKey, index: Int)] = [:]
    private var tenants: [String: TenantID] = [:]
    private var nextSequence: UInt64 = 1
    private var submittedJobs = 0
    private var stopLevel = 0
    private var drainUntil: Timestamp?
    private var renewAt = Timestamp(milliseconds: 0)

    /// - Parameters:
    ///   - engine: started with `inbox.receive` as its `onEvent`.
    ///   - backend: what outcomes name as their computer.
    package init(
        _ settings: Settings = Settings(), inbox: Inbox, queue: any JobQueue, engine: Engine, intake: Intake,
        backend: String, now: @escaping @Sendable () -> Timestamp, log: Logger
    ) {
        self.settings = settings
        self.inbox = inbox.signals
        self.queue = queue
        self.engine = engine
        self.intake = intake
        self.backend = backend
        self.now = now
        self.log = log
    }

    /// Works until the goal is reached or `stop` has taken effect.
    /// - Throws: `JobQueueError` when the store fails, `EngineFailure` when the device does. Leases are handed back if
    ///   the store still answers.
    package func run(_ goal: Goal) async throws -> End {
        let ticker = Task { [inbox, settings] in
            while !Task.isCancelled {
                try await Task.sleep(for: .milliseconds(settings.tickMs))
                inbox.post(.tick)
            }
        }
        defer { ticker.cancel() }
        inbox.post(.tick)
        for await _ in inbox.bell {
            try await takeTurn(inbox.take())
            if let end = try await end(goal) { return end }
        }
        return .stopped
    }

    private func takeTurn(_ signals: [Signal]) async throws {
        var settlements: [Settlement] = []
        for signal in signals {
            switch signal {
            case .engine(let event): try await take(event, &settlements)
            case .stop: noteStop()
            case .tick: break
            }
        }
        try await settle(settlements)
        try await renewIfDue()
        try await handBackIfDue()
        if stopLevel == 0 { try await fetch() }
    }

    private func end(_ goal: Goal) async throws -> End? {
        guard inFlight.isEmpty else { return nil }
        if stopLevel > 0 { return .stopped }
        guard case .batch(let id) = goal else { return nil }
        return try await queue.status(id).state.isTerminal ? .reachedGoal : nil
    }

    // MARK: Taking work

    private func fetch() async throws {
        while stopLevel == 0 {
            guard let snapshot = engine.snapshot else { return }
            let room = snapshot.room.sequences - (submittedJobs - snapshot.acceptedJobs)
            guard room > 0 else { return }
            let leased = try await queue.lease(
                max: room, worker: settings.name, durationMs: settings.leaseMs, at: now())
            guard !leased.isEmpty else { return }
            var refused: [Settlement] = []
            var jobs: [EngineJob] = []
            for request in leased {
                do throws(OutcomeError) {
                    jobs += admit(request, try intake.plan(request))
                } catch {
                    refused.append(Settlement(lease: request.lease, outcome: Outcome(
                        result: .error(error), backend: backend)))
                }
            }
            if !jobs.isEmpty {
                submittedJobs += jobs.count
                engine.submit(jobs)
            }
            try await settle(refused)
        }
    }

    private func admit(_ leased: LeasedRequest, _ plan: RequestPlan) -> [EngineJob] {
        let first = nextSequence
        nextSequence += UInt64(plan.specs.count)
        let ids = (first..<nextSequence).map(SequenceID.init)
        let tenant = tenants[leased.tenant] ?? TenantID(tenants.count)
        tenants[leased.tenant] = tenant
        for (index, id) in ids.enumerated() { owners[id] = (leased.lease.key, index) }
        inFlight[leased.lease.key] = InFlight(
            leased: leased, plan: plan, sequences: ids, finished: Array(repeating: nil, count: ids.count),
            leasedAt: .now)
        return zip(ids, plan.specs).map { id, spec in EngineJob(id: id, tenant: tenant, spec: spec) }
    }

    // MARK: Giving it back

    private func take(_ event: EngineEvent, _ settlements: inout [Settlement]) async throws {
        switch event {
        case .finished(let id, let generation):
            guard let owner = owners.removeValue(forKey: id) else { return }
            inFlight[owner.key]?.finished[owner.index] = generation
            guard let request = inFlight[owner.key], request.isComplete else { return }
            inFlight[owner.key] = nil
            settlements.append(Settlement(lease: request.leased.lease, outcome: outcome(of: request)))
        case .failed(let id, let error):
            guard let owner = owners[id], let request = drop(owner.key) else { return }
            settlements.append(
                Settlement(lease: request.leased.lease, outcome: Outcome(result: .error(error), backend: backend)))
        case .returned(let id):
            guard let owner = owners[id], let request = drop(owner.key) else { return }
            _ = try await queue.release([request.leased.lease], reason: .handedBack, at: now())
        case .stopped(let reason):
            try await handBackAll()
            throw EngineFailure(reason: reason ?? "the engine was stopped while work was running")
        }
    }

    /// Forgets a request and stops what of it still runs.
    private func drop(_ key: RequestKey) -> InFlight? {
        guard let request = inFlight.removeValue(forKey: key) else { return nil }
        engine.cancel(request.sequences.filter { owners[$0] != nil })
        for id in request.sequences { owners[id] = nil }
        return request
    }

    private func outcome(of request: InFlight) -> Outcome {
        let generations = request.finished.compactMap(\.self)
        let started = generations.map(\.startedAt).min() ?? request.leasedAt
        let firstToken = generations.map(\.firstTokenAt).min() ?? started
        let ended = generations.map(\.endedAt).max() ?? firstToken
        let response = intake.response(request.plan, generations.map(\.sequence), at: now())
        return Outcome(
            result: .response(statusCode: 200, body: response.bytes), usage: response.usage, backend: backend,
            timings: Timings(
                queuedMs: started.since(request.leasedAt), prefillMs: firstToken.since(started),
                decodeMs: ended.since(firstToken)))
    }

    private func settle(_ settlements: [Settlement]) async throws {
        guard !settlements.isEmpty else { return }
        let results = try await queue.settle(settlements, at: now())
        for (settlement, result) in zip(settlements, results) where result == .lost {
            log.info("lease lost before its outcome was settled", metadata: settlement.lease.metadata)
        }
    }

    private func renewIfDue() async throws {
        let time = now()
        guard time >= renewAt else { return }
        renewAt = time + settings.leaseMs / 3
        let leases = inFlight.values.map(\.leased.lease)
        guard !leases.isEmpty else { return }
        let results = try await queue.renew(leases, durationMs: settings.leaseMs, at: time)
        for (lease, result) in zip(leases, results) where result == .lost {
            log.info("lease lost (cancelled or taken over)", metadata: lease.metadata)
            _ = drop(lease.key)
        }
    }

    // MARK: Stopping

    private func noteStop() {
        stopLevel += 1
        guard stopLevel == 1 else { return }
        drainUntil = now() + settings.drainMs
        engine.returnWaiting()
    }

    private func handBackIfDue() async throws {
        guard let drainUntil, !inFlight.isEmpty, stopLevel > 1 || now() >= drainUntil else { return }
        try await handBackAll()
    }

    private func handBackAll() async throws {
        let leases = inFlight.values.map(\.leased.lease)
        engine.cancel(Array(owners.keys))
        inFlight.removeAll()
        owners.removeAll()
        guard !leases.isEmpty else { return }
        _ = try await queue.release(leases, reason: .handedBack, at: now())
    }
}

/// The device failed; nothing more can run in this process.
package struct EngineFailure: Error, CustomStringConvertible {
    package let reason: String
    package init(reason: String) { self.reason = reason }
    package var description: String { reason }
}

extension Lease {
    /// Batch, request and attempt, as every log line about a lease names them.
    var metadata: Logger.Metadata {
        ["batch": "\(key.batch)", "request": "\(key.ordinal)", "attempt": "\(attempt)"]
    }
}

extension ContinuousClock.Instant {
    /// Whole milliseconds from `start` to here.
    fileprivate func since(_ start: Self) -> Int64 {
        let (seconds, attoseconds) = start.duration(to: self).components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
