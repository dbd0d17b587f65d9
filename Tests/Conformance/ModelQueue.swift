import JobQueue

/// The queue's contract in the plainest form: arrays in memory, everything recomputed. Stores are compared
/// with it, so it favours being obviously right over being fast.
actor ModelQueue: JobQueue {
    private struct Lane: Hashable {
        var priority: Int
        var tenant: [UInt8]
    }

    var entries: [ModelBatch] = []
    private var opened = 0
    var isPaused = false
    /// Tokens charged in the current backlog of each priority.
    private var served: [Lane: Int] = [:]
    var reports: [String: WorkerReport] = [:]
    /// The ledger's part that comes from batches that are forgotten.
    var forgotten: [UsageRecord] = []

    private func lane(_ entry: ModelBatch) -> Lane {
        Lane(priority: entry.specification.priority, tenant: Array(entry.specification.tenant.utf8))
    }

    /// Lanes with requests that wait for workers.
    private var active: Set<Lane> {
        Set(entries.filter { $0.state == .inProgress && $0.count(.queued) > 0 }.map(lane))
    }

    /// Starts the counters of lanes that became active in `body`.
    private func joining<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
        let before = active
        let result = try body()
        let after = active
        for lane in after.subtracting(before) {
            let there = before.filter { $0.priority == lane.priority }
            if there.isEmpty {
                served = served.filter { $0.key.priority != lane.priority }
            } else {
                served[lane] = max(served[lane] ?? 0, there.map { served[$0] ?? 0 }.min() ?? 0)
            }
        }
        return result
    }

    func find(_ id: BatchID) throws(JobQueueError) -> Int {
        guard let at = entries.firstIndex(where: { Array($0.id.value.utf8) == Array(id.value.utf8) }) else {
            throw .unknownBatch(id)
        }
        return at
    }

    func open(_ specification: BatchSpecification, at now: Timestamp) throws(JobQueueError) -> BatchID {
        try specification.check()
        if let key = specification.idempotencyKey,
            let known = entries.first(where: {
                $0.specification.idempotencyKey == key && $0.specification.tenant == specification.tenant
            })
        {
            return known.id
        }
        let id = BatchID("batch_model\(opened)")
        opened += 1
        entries.append(ModelBatch(id: id, specification: specification, createdAt: now))
        return id
    }

    func append(_ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp)
        throws(JobQueueError)
    {
        let at = try find(batch)
        var entry = entries[at]
        guard ordinal >= 0, ordinal <= entry.items.count else { throw .conflict(batch, "gap") }
        for (i, request) in requests.enumerated() {
            if ordinal + i < entry.items.count {
                guard same(entry.items[ordinal + i].appended, request) else {
                    throw .conflict(batch, "differs")
                }
                continue
            }
            guard entry.state == .validating else { throw .wrongState(batch, entry.state, "append") }
            let new = entry.items.count
            switch request {
            case .accepted(let accepted):
                try accepted.check()
                let taken = isTaken(accepted.customID, in: entry)
                entry.items.append(
                    ModelRequest(appended: request, customID: accepted.customID, owns: !taken, line: accepted.line))
                if taken {
                    let error = OutcomeError(code: "duplicate_custom_id", message: "")
                    entry.end(new, .failed, .failure(error), at: now)
                }
            case .refused(let name, let line, let outcome):
                guard outcome.error != nil else { throw .invalidArgument("refused without an error") }
                let owns = name.map { !isTaken($0, in: entry) } ?? false
                entry.items.append(
                    ModelRequest(appended: request, customID: name ?? "line-\(line)", owns: owns, line: line))
                entry.end(new, .failed, outcome, at: now)
            }
        }
        entries[at] = entry
    }

    private func isTaken(_ name: String, in entry: ModelBatch) -> Bool {
        entry.items.contains { $0.owns && Array($0.customID.utf8) == Array(name.utf8) }
    }

    private func same(_ a: AppendedRequest, _ b: AppendedRequest) -> Bool {
        switch (a, b) {
        case (.accepted(let a), .accepted(let b)):
            Array(a.customID.utf8) == Array(b.customID.utf8) && a.body == b.body && a.line == b.line
                && a.endpoint == b.endpoint
        case (.refused(let a, let lineA, _), .refused(let b, let lineB, _)):
            lineA == lineB && Array((a ?? "line-\(lineA)").utf8) == Array((b ?? "line-\(lineB)").utf8)
        default: false
        }
    }

    func seal(_ batch: BatchID, total: Int, at now: Timestamp) throws(JobQueueError) {
        let at = try find(batch)
        guard entries[at].items.count == total else { throw .conflict(batch, "total") }
        if entries[at].acceptedAt != nil { return }
        guard entries[at].state == .validating else { throw .wrongState(batch, entries[at].state, "seal") }
        joining {
            entries[at].state = .inProgress
            entries[at].acceptedAt = now
            entries[at].endIfDone(at: now)
        }
    }

    func lease(_ claim: LeaseClaim, at now: Timestamp) throws(JobQueueError) -> [LeasedRequest] {
        try claim.check()
        if isPaused || claim.maxRequests <= 0 { return [] }
        endWaits(at: now)
        var leased: [LeasedRequest] = []
        var tokens = 0
        let most = claim.suspects == .one ? min(claim.maxRequests, 1) : claim.maxRequests
        while leased.count < most, let (b, i, request) = next(claim, at: now) {
            if let most = claim.maxTokens, !leased.isEmpty, request.cost > most - tokens { break }
            tokens += request.cost
            served[lane(entries[b]), default: 0] += request.cost
            entries[b].items[i].state = .leased
            entries[b].items[i].attempt += 1
            entries[b].items[i].expiresAt = now + claim.durationMs
            leased.append(
                LeasedRequest(
                    lease: Lease(
                        key: RequestKey(batch: entries[b].id, ordinal: i), attempt: entries[b].items[i].attempt),
                    request: request, tenant: entries[b].specification.tenant,
                    priority: entries[b].specification.priority, batchSeed: entries[b].specification.seed,
                    expiresAt: now + claim.durationMs, deadline: entries[b].deadline,
                    crashes: entries[b].items[i].crashes))
        }
        return leased
    }

    func hasWork(for claim: LeaseClaim, at now: Timestamp) throws(JobQueueError) -> Bool {
        try claim.check()
        if isPaused || claim.maxRequests <= 0 { return false }
        endWaits(at: now)
        return next(claim, at: now) != nil
    }

    private func endWaits(at now: Timestamp) {
        for b in entries.indices {
            for i in entries[b].items.indices where entries[b].items[i].notBefore.map({ $0 <= now }) == true {
                entries[b].items[i].notBefore = nil
            }
        }
    }

    /// The request that is leased next, of all that suit.
    private func next(_ claim: LeaseClaim, at now: Timestamp) -> (batch: Int, item: Int, Request)? {
        var best: (lane: Lane, served: Int, batch: Int, item: Int, Request)?
        for (b, entry) in entries.enumerated()
        where entry.state == .inProgress && entry.deadline.map({ $0 > now }) != false {
            if entry.pausedFor != nil || claim.batches.map({ $0.contains(entry.id) }) == false { continue }
            let lane = lane(entry)
            let charged = served[lane] ?? 0
            if let best {
                let isFirst =
                    if lane.priority != best.lane.priority {
                        lane.priority > best.lane.priority
                    } else if charged != best.served {
                        charged < best.served
                    } else {
                        lane.tenant.lexicographicallyPrecedes(best.lane.tenant)
                    }
                guard isFirst else { continue }
            }
            for (i, item) in entry.items.enumerated() where item.state == .queued && item.notBefore == nil {
                let isSuspect = item.crashes >= LeaseClaim.suspectCrashes
                guard let request = item.request, suits(request.model, claim.models),
                    claim.suspects == .mixed || isSuspect == (claim.suspects == .one)
                else { continue }
                best = (lane, charged, b, i, request)
                break
            }
        }
        return best.map { ($0.batch, $0.item, $0.4) }
    }

    private func suits(_ model: String, _ served: [String]?) -> Bool {
        guard let served, !model.isEmpty else { return true }
        return served.contains { Array($0.utf8) == Array(model.utf8) }
    }

    /// Calls `body` with the places of leases that hold.
    private func fenced(_ leases: [Lease], _ body: (Int, Int, Int) -> Void) -> [FencedResult] {
        leases.enumerated().map { n, lease in
            guard let b = try? find(lease.key.batch), entries[b].items.indices.contains(lease.key.ordinal),
                entries[b].items[lease.key.ordinal].state == .leased,
                entries[b].items[lease.key.ordinal].attempt == lease.attempt
            else { return .lost }
            body(n, b, lease.key.ordinal)
            return .done
        }
    }

    func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp) throws(JobQueueError)
        -> [FencedResult]
    {
        guard durationMs >= 1 else { throw .invalidArgument("duration") }
        return fenced(leases) { _, b, i in entries[b].items[i].expiresAt = now + durationMs }
    }

    func settle(_ settlements: [Settlement], at now: Timestamp) throws(JobQueueError) -> [FencedResult] {
        for usage in settlements.map(\.outcome.usage) {
            guard usage.promptTokens >= 0, usage.completionTokens >= 0,
                (0...usage.promptTokens).contains(usage.cachedTokens),
                (0...Outcome.maxCostNanodollars).contains(usage.costNanodollars)
            else { throw .invalidArgument("usage") }
        }
        let results = fenced(settlements.map(\.lease)) { n, b, i in
            let outcome = settlements[n].outcome
            entries[b].end(i, outcome.error == nil ? .completed : .failed, outcome, at: now)
        }
        for b in entries.indices { entries[b].endIfDone(at: now) }
        return results
    }

    func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp) throws(JobQueueError)
        -> [FencedResult]
    {
        let results = joining {
            fenced(leases) { _, b, i in
                switch reason {
                case .handedBack:
                    entries[b].items[i].state = .queued
                    entries[b].items[i].expiresAt = nil
                case .failed(let error, let retryAfterMs):
                    entries[b].failAttempt(
                        i, error, notBefore: retryAfterMs > 0 ? now + retryAfterMs : nil, at: now)
                }
            }
        }
        for b in entries.indices { entries[b].endIfDone(at: now) }
        return results
    }

    func recover(at now: Timestamp) throws(JobQueueError) -> Int {
        var moved = 0
        for b in entries.indices where entries[b].state == .inProgress {
            if let deadline = entries[b].deadline, deadline <= now {
                moved += entries[b].endAll(.expired, .expired, at: now)
            }
        }
        joining {
            for b in entries.indices where entries[b].state == .inProgress {
                for i in entries[b].items.indices
                where entries[b].items[i].expiresAt.map({ $0 <= now }) == true {
                    let error = OutcomeError(code: "lease_expired", message: "", statusCode: 500)
                    entries[b].failAttempt(i, error, isCrash: true, notBefore: nil, at: now)
                    moved += 1
                }
                entries[b].endIfDone(at: now)
            }
        }
        forget(at: now)
        return moved
    }

    private func forget(at now: Timestamp) {
        let over = entries.filter { entry in
            guard let end = entry.endedAt, let retention = entry.specification.retentionMs else { return false }
            return end + retention <= now
        }
        forgotten += over.flatMap(ledger)
        entries.removeAll { entry in over.contains { $0.id == entry.id } }
        reports = reports.filter { $0.value.forgetAt > now }
    }

    func cancel(_ batch: BatchID, at now: Timestamp) throws(JobQueueError) {
        let at = try find(batch)
        switch entries[at].state {
        case .cancelled: return
        case .completed, .expired: throw .wrongState(batch, entries[at].state, "cancel")
        case .validating, .inProgress, .cancelling: _ = entries[at].endAll(.cancelled, .cancelled, at: now)
        }
    }

    func status(_ batch: BatchID) throws(JobQueueError) -> BatchStatus { entries[try find(batch)].status }

    func close() {}

    func list(tenant: String?, limit: Int) -> [BatchStatus] {
        let all = entries.reversed().filter { entry in
            tenant.map { Array($0.utf8) == Array(entry.specification.tenant.utf8) } ?? true
        }
        return all.prefix(max(0, limit)).map(\.status)
    }

    func results(_ batch: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder)
        throws(JobQueueError) -> [ResultRecord]
    {
        let items = entries[try find(batch)].items
        let ended = items.enumerated().compactMap { ordinal, item -> ResultRecord? in
            guard let end = item.end else { return nil }
            return ResultRecord(
                cursor: ResultCursor(Int64(order == .input ? ordinal : end.completion)), ordinal: ordinal,
                customID: item.customID, line: item.line, state: item.state, attempt: item.attempt,
                settledAt: end.at,
                outcome: end.outcome)
        }
        let after = Int(min(cursor?.value ?? -1, Int64(items.count)))
        let firstOpen = items.indices.first { $0 > after && items[$0].end == nil } ?? items.count
        let inOrder =
            switch order {
            case .input: ended.filter { $0.ordinal < firstOpen }
            case .completion: ended.sorted { $0.cursor.value < $1.cursor.value }
            }
        return Array(inOrder.filter { $0.cursor.value > cursor?.value ?? -1 }.prefix(max(0, limit)))
    }
}
