import JobQueue
import Scheduler

/// Taking work from the queue.
extension UpstreamWorker {
    private static let pageRequests = 512
    /// How long nothing is leased of a model whose requests had to be handed back.
    private static let closedMs: Int64 = 10_000

    func fetch() async throws(JobQueueError) {
        let now = clock.now()
        let room = min(settings.maxHeld - desk.count, desk.room(at: now.milliseconds), Self.pageRequests)
        foundNothing = false
        guard room > 0 else { return }
        let models = try await wantedModels(at: now)
        if let models, models.isEmpty { return foundNothing = true }
        let leased = try await queue.lease(
            LeaseClaim(worker: settings.name, maxRequests: room, models: models, durationMs: settings.leaseMs), at: now)
        Failpoint.hit("upstream.leased")
        let taken: Int
        do throws(JobQueueError) {
            taken = try await sort(leased, at: now) { request, parked throws(JobQueueError) in
                try await self.routing.decide(request, parked: parked)
            }
        } catch {
            outbox.unsent += leased.map(\.lease)
            throw error
        }
        foundNothing = taken == 0
        // There may be more, and room for it.
        if taken > 0 { inbox.post(.tick) }
    }

    /// Models whose requests have a way to go; nil: all, as far as is known.
    private func wantedModels(at now: Timestamp) async throws(JobQueueError) -> [String]? {
        let closed = desk.closedModels(at: now.milliseconds)
        if routing.models(of: .empty) == nil, closed.isEmpty { return nil }
        let overview = try await queue.overview(at: now)
        let wanted = routing.models(of: overview) ?? Set(overview.depths.map(\.model))
        return Array(wanted.subtracting(closed))
    }

    /// - Returns: how many of them wait to be sent now.
    func sort(
        _ leased: [LeasedRequest], at now: Timestamp,
        by decide: (LeasedRequest, [UpstreamTarget.ID: String]) async throws(JobQueueError) -> UpstreamDecision
    ) async throws(JobQueueError) -> Int {
        var refused: [Settlement] = []
        var unwanted: [LeasedRequest] = []
        var wanted: [UpstreamDesk.Pending] = []
        for request in leased {
            if request.crashes > 0 { figures.inherited += 1 }
            let parked = desk.parked(model: request.request.model, at: now.milliseconds)
            switch try await decide(request, parked) {
            case .wait: unwanted.append(request)
            case .refuse(let error): refused.append(Settlement(lease: request.lease, outcome: .failure(error)))
            case .send(let choice):
                do throws(OutcomeError) {
                    let body = try UpstreamBody(
                        request.request, dialect: choice.target.dialect, model: choice.model,
                        serviceTier: choice.target.serviceTier, mapsCompletions: choice.target.mapsCompletions)
                    wanted.append(UpstreamDesk.Pending(request, choice, body, at: now))
                } catch {
                    refused.append(
                        Settlement(
                            lease: request.lease,
                            outcome: Outcome(result: .error(error), backend: choice.target.name)))
                }
            }
        }
        let (granted, unpaid) = try await reserve(wanted, at: now)
        figures.refused += refused.count
        outbox.settlements += refused
        for pending in granted { desk.take(pending) }
        for request in unwanted { desk.close(request.request.model, until: (now + Self.closedMs).milliseconds) }
        outbox.unsent += unwanted.map(\.lease) + unpaid
        return granted.count
    }

    /// Sets aside what requests can cost. A batch that may spend no more is paused, and says why.
    private func reserve(
        _ wanted: [UpstreamDesk.Pending], at now: Timestamp
    ) async throws(JobQueueError) -> (granted: [UpstreamDesk.Pending], unpaid: [Lease]) {
        guard let spending, !wanted.isEmpty else { return (wanted, []) }
        let claims = wanted.map { pending in
            SpendBook.Claim(
                batch: pending.lease.key.batch, tenant: pending.leased.tenant,
                most: spending.most(pending.body, pending.choice, model: pending.model))
        }
        let verdicts = try await spending.book.reserve(claims, durationMs: settings.leaseMs, at: now)
        var granted: [UpstreamDesk.Pending] = []
        var unpaid: [Lease] = []
        var paused: Set<BatchID> = []
        for (var pending, verdict) in zip(wanted, verdicts) {
            switch verdict {
            case .granted(let grant):
                pending.grant = grant
                granted.append(pending)
            case .refused(let reached):
                unpaid.append(pending.lease)
                let batch = pending.lease.key.batch
                guard paused.insert(batch).inserted else { continue }
                try await pause(batch, reached, at: now)
            }
        }
        return (granted, unpaid)
    }
}

extension UpstreamWorker {
    private func pause(
        _ batch: BatchID, _ reached: SpendBook.CapReached, at now: Timestamp
    ) async throws(JobQueueError) {
        guard try await queue.pauseIfOpen(batch, reason: reached.description, at: now) else { return }
        log.warning("batch \(batch) is paused: \(reached)")
    }
}

extension JobQueue {
    /// False: it ended meanwhile, so that nothing is left to pause.
    func pauseIfOpen(_ batch: BatchID, reason: String, at now: Timestamp) async throws(JobQueueError) -> Bool {
        do throws(JobQueueError) {
            try await pause(batch, reason: reason, at: now)
            return true
        } catch {
            switch error {
            case .wrongState, .unknownBatch: return false
            default: throw error
            }
        }
    }
}

extension QueueOverview {
    fileprivate static let empty = QueueOverview(isPaused: false, openBatches: 0, depths: [], oldestQueuedAt: nil)
}
