import JobQueue
import Logging

/// A worker's dealings with its store, in the order of a turn.
extension NativeWorker {
    /// Settlements in one call: a store's transaction stays short, and a connection's message small.
    private static let settleRequests = 256

    func talkToStore() async throws {
        guard patience.permits(at: now()) else { return }
        do {
            try await settle()
            try await handBack()
            try await renewIfDue()
            try await recoverIfDue()
            try await dropCancelled()
            try await reportIfDue()
            try await fetch()
        } catch JobQueueError.unavailable(let reason) where settings.waitsForStore {
            let isFirst = !patience.isWaiting
            let wait = patience.noteFailure(at: now(), jitter: .random(in: 0...1))
            let metadata: Logger.Metadata = [
                "reason": "\(reason)", "retry_ms": "\(wait)", "running": "\(work.count)",
                "unsettled": "\(outbox.count)",
            ]
            log.log(
                level: isFirst ? .warning : .debug, "the queue does not answer; running requests go on",
                metadata: metadata)
            return
        }
        if patience.noteSuccess() { log.notice("the queue answers again") }
    }

    // MARK: Giving back

    func settle() async throws {
        while !outbox.settlements.isEmpty {
            let group = Array(outbox.settlements.prefix(Self.settleRequests))
            let results: [FencedResult]
            do {
                results = try await queue.settle(group, at: now())
            } catch JobQueueError.invalidArgument(let what) {
                results = try await settleOneByOne(group, since: what)
            }
            outbox.settlements.removeFirst(group.count)
            for (settlement, result) in zip(group, results) { note(result, of: settlement) }
        }
    }

    /// One outcome that no store could take must not keep the others from being settled (I7).
    private func settleOneByOne(_ group: [Settlement], since reason: String) async throws -> [FencedResult] {
        var results: [FencedResult] = []
        for settlement in group {
            do {
                results += try await queue.settle([settlement], at: now())
            } catch JobQueueError.invalidArgument(let what) {
                let error = OutcomeError(
                    code: "internal_error", message: "the outcome cannot be stored: \(what)", statusCode: 500)
                let failed = Settlement(
                    lease: settlement.lease, outcome: Outcome(result: .error(error), backend: identity.backend))
                results += try await queue.settle([failed], at: now())
            }
        }
        return results
    }

    private func note(_ result: FencedResult, of settlement: Settlement) {
        var metadata = settlement.lease.metadata
        switch result {
        case .lost: log.info("lease lost before its outcome was settled", metadata: metadata)
        case .done:
            if let error = settlement.outcome.error { metadata["error"] = "\(error.code)" }
            log.debug("settled", metadata: metadata)
        }
    }

    func handBack() async throws {
        guard !outbox.handBacks.isEmpty else { return }
        _ = try await queue.release(outbox.handBacks, reason: .handedBack, at: now())
        outbox.handBacks.removeAll()
    }

    // MARK: Keeping

    private func renewIfDue() async throws {
        let time = now()
        guard agenda.isDue(.renew, every: settings.leaseMs / 3, at: time) else { return }
        try await renew(work.leases, "lease lost (cancelled or taken over)")
        agenda.done(.renew, every: settings.leaseMs / 3, at: time)
    }

    /// Also tells which leases are lost; what of them runs is stopped.
    private func renew(_ leases: [Lease], _ message: Logger.Message) async throws {
        guard !leases.isEmpty else { return }
        let results = try await queue.renew(leases, durationMs: settings.leaseMs, at: now())
        for (lease, result) in zip(leases, results) where result == .lost {
            log.info(message, metadata: lease.metadata)
            drop(lease.key)
        }
    }

    /// A look at each batch costs less than a renewal of its leases, and can be taken more often.
    private func dropCancelled() async throws {
        let time = now()
        guard agenda.isDue(.cancelCheck, every: settings.cancelCheckMs, at: time) else { return }
        for batch in work.batches {
            guard try await isOver(batch) else { continue }
            try await renew(work.leases(of: batch), "batch cancelled or expired")
        }
        agenda.done(.cancelCheck, every: settings.cancelCheckMs, at: time)
    }

    private func isOver(_ batch: BatchID) async throws(JobQueueError) -> Bool {
        do {
            let state = try await queue.status(batch).state
            return state.isTerminal || state == .cancelling
        } catch {
            guard case .unknownBatch = error else { throw error }
            return true
        }
    }

    private func recoverIfDue() async throws {
        let time = now()
        guard agenda.isDue(.recover, every: settings.recoverMs, at: time) else { return }
        let moved = try await queue.recover(at: time)
        if moved > 0 { log.notice("expired leases taken back", metadata: ["requests": "\(moved)"]) }
        agenda.done(.recover, every: settings.recoverMs, at: time)
    }

    private func reportIfDue() async throws {
        let time = now()
        guard agenda.isDue(.heartbeat, every: settings.heartbeatMs, at: time), let snapshot = engine.snapshot
        else { return }
        var report = identity.report(
            models: settings.models, stopLevel > 0 ? .draining : .running, at: time)
        meter.complete(&report, snapshot, leased: work.count)
        try await queue.heartbeat(report, at: time)
        agenda.done(.heartbeat, every: settings.heartbeatMs, at: time)
    }

    // MARK: Taking

    /// Once a turn, so that what finished meanwhile is settled before more is leased.
    private func fetch() async throws {
        guard stopLevel == 0, let snapshot = engine.snapshot else { return }
        guard settings.triesSuspectsAlone else {
            _ = try await take(.mixed, snapshot)
            return
        }
        if company == .alone, work.isEmpty, outbox.isEmpty { company = .open }
        if company == .open, !work.isEmpty, try await hasSuspectWaited() { company = .clearing }
        switch company {
        case .open:
            if try await !take(.none, snapshot) { try await trySuspect(snapshot) }
        case .clearing:
            guard holdsNothing else { return }
            company = .open
            try await trySuspect(snapshot)
            takeAnotherTurn()
        case .alone: break
        }
    }

    /// Of what was dropped something may still run until the step ends.
    private var holdsNothing: Bool { work.isEmpty && outbox.isEmpty && !engine.pulse.isBusy }

    /// - Returns: whether something was leased.
    private func take(_ suspects: LeaseClaim.Suspects, _ snapshot: EngineSnapshot) async throws -> Bool {
        let sequences = snapshot.room.sequences - (submittedJobs - snapshot.acceptedJobs)
        let tokens = snapshot.room.tokens - (submittedTokens - snapshot.acceptedTokens)
        guard sequences > 0, tokens > 0 else { return false }
        var claim = claim(suspects)
        (claim.maxRequests, claim.maxTokens) = (sequences, tokens)
        let leased = try await queue.lease(claim, at: now())
        guard !leased.isEmpty else { return false }
        start(leased)
        try await settle()
        takeAnotherTurn()
        return true
    }

    private func claim(_ suspects: LeaseClaim.Suspects) -> LeaseClaim {
        LeaseClaim(
            worker: identity.name, maxRequests: 1, models: settings.models, durationMs: settings.leaseMs,
            suspects: suspects)
    }

    /// A request that was running in workers that crashed runs in a worker that holds nothing else: if it crashes that
    /// one too, no neighbour is counted as crashed again (I7). A worker tries one when there is nothing else for it;
    /// and now and then when there is, so that suspects do not wait for ever, nor others for suspects.
    private func trySuspect(_ snapshot: EngineSnapshot) async throws {
        guard holdsNothing, snapshot.room.sequences > 0 else { return }
        let leased = try await queue.lease(claim(.one), at: now())
        agenda.done(.suspect, every: settings.suspectMs, at: now())
        guard let suspect = leased.first else { return }
        company = .alone
        log.warning(
            "runs alone, since workers crashed while it ran",
            metadata: suspect.lease.metadata.merging(["crashes": "\(suspect.crashes)"]) { $1 })
        start([suspect])
        try await settle()
        takeAnotherTurn()
    }

    private func hasSuspectWaited() async throws -> Bool {
        let time = now()
        guard agenda.isDue(.suspect, every: settings.suspectMs, at: time) else { return false }
        if try await queue.hasWork(for: claim(.one), at: time) { return true }
        agenda.done(.suspect, every: settings.suspectMs, at: time)
        return false
    }

    private func start(_ leased: [LeasedRequest]) {
        var jobs: [EngineJob] = []
        for request in leased {
            do throws(OutcomeError) {
                jobs += work.admit(request, try intake.plan(request))
            } catch {
                fail(request.lease, error)
            }
        }
        guard !jobs.isEmpty else { return }
        submittedJobs += jobs.count
        submittedTokens += jobs.reduce(0) { $0 + $1.tokens }
        engine.submit(jobs)
    }
}

extension Lease {
    /// Batch, request and attempt, as every log line about a lease names them.
    var metadata: Logger.Metadata {
        ["batch": "\(key.batch)", "request": "\(key.ordinal)", "attempt": "\(attempt)"]
    }
}
