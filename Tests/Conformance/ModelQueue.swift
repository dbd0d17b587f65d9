import JobQueue

/// The queue's contract in the plainest form: arrays in memory, everything recomputed. Stores are compared
/// with it, so it favours being obviously right over being fast.
actor ModelQueue: JobQueue {
    private struct Item {
        var appended: AppendedRequest
        var customID: String
        /// Whether later requests may not use `customID`.
        var owns: Bool
        var line: Int
        var state: RequestState = .queued
        var attempt = 0
        var failures = 0
        var notBefore: Timestamp?
        var expiresAt: Timestamp?
        var end: (outcome: Outcome, at: Timestamp, completion: Int)?
    }

    private struct Entry {
        var id: BatchID
        var specification: BatchSpecification
        var state = BatchState.validating
        var createdAt: Timestamp
        var acceptedAt: Timestamp?
        var endedAt: Timestamp?
        var items: [Item] = []

        func count(_ state: RequestState) -> Int { items.count { $0.state == state } }
        var completions: Int { items.count { $0.end != nil } }
        var deadline: Timestamp? {
            guard let acceptedAt, let window = specification.completionWindowMs else { return nil }
            return acceptedAt + window
        }

        var status: BatchStatus {
            BatchStatus(
                id: id, specification: specification, state: state,
                counts: BatchCounts(
                    total: items.count, queued: count(.queued), leased: count(.leased),
                    completed: count(.completed),
                    failed: count(.failed), cancelled: count(.cancelled), expired: count(.expired)),
                usage: items.compactMap(\.end?.outcome.usage).reduce(Usage(), +),
                createdAt: createdAt, acceptedAt: acceptedAt, endedAt: endedAt)
        }

        mutating func end(_ i: Int, _ state: RequestState, _ outcome: Outcome, at now: Timestamp) {
            items[i].end = (outcome, now, completions + 1)
            items[i].state = state
            items[i].notBefore = nil
            items[i].expiresAt = nil
        }

        mutating func endAll(_ state: RequestState, _ ends: BatchState, at now: Timestamp) -> Int {
            let left = items.indices.filter { !items[$0].state.isTerminal }
            let error = OutcomeError(code: state.rawValue, message: "")
            for i in left { end(i, state, .failure(error), at: now) }
            (self.state, endedAt) = (ends, now)
            return left.count
        }

        mutating func endIfDone(at now: Timestamp) {
            guard state == .inProgress, items.allSatisfy(\.state.isTerminal) else { return }
            (state, endedAt) = (.completed, now)
        }

        mutating func failAttempt(_ i: Int, _ error: OutcomeError, notBefore: Timestamp?, at now: Timestamp) {
            items[i].failures += 1
            if items[i].failures >= specification.maxAttempts {
                var exhausted = error
                (exhausted.code, exhausted.message) = (
                    "attempts_exhausted", "\(error.code): \(error.message)"
                )
                end(i, .failed, .failure(exhausted), at: now)
            } else {
                items[i].state = .queued
                items[i].notBefore = notBefore
                items[i].expiresAt = nil
            }
        }
    }

    private var entries: [Entry] = []

    private func find(_ id: BatchID) throws(JobQueueError) -> Int {
        guard let at = entries.firstIndex(where: { Array($0.id.value.utf8) == Array(id.value.utf8) }) else {
            throw .unknownBatch(id)
        }
        return at
    }

    func open(_ specification: BatchSpecification, at now: Timestamp) throws(JobQueueError) -> BatchID {
        guard specification.maxAttempts >= 1, specification.completionWindowMs ?? 1 >= 1 else {
            throw .invalidArgument("specification")
        }
        if let key = specification.idempotencyKey,
            let known = entries.first(where: {
                $0.specification.idempotencyKey == key && $0.specification.tenant == specification.tenant
            })
        {
            return known.id
        }
        let id = BatchID("batch_model\(entries.count)")
        entries.append(Entry(id: id, specification: specification, createdAt: now))
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
                let taken = isTaken(accepted.customID, in: entry)
                entry.items.append(
                    Item(appended: request, customID: accepted.customID, owns: !taken, line: accepted.line))
                if taken {
                    let error = OutcomeError(code: "duplicate_custom_id", message: "")
                    entry.end(new, .failed, .failure(error), at: now)
                }
            case .refused(let name, let line, let outcome):
                guard outcome.error != nil else { throw .invalidArgument("refused without an error") }
                let owns = name.map { !isTaken($0, in: entry) } ?? false
                entry.items.append(
                    Item(appended: request, customID: name ?? "line-\(line)", owns: owns, line: line))
                entry.end(new, .failed, outcome, at: now)
            }
        }
        entries[at] = entry
    }

    private func isTaken(_ name: String, in entry: Entry) -> Bool {
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
        entries[at].state = .inProgress
        entries[at].acceptedAt = now
        entries[at].endIfDone(at: now)
    }

    func lease(max: Int, worker: String, durationMs: Int64, at now: Timestamp) throws(JobQueueError)
        -> [LeasedRequest]
    { try lease(LeaseClaim(worker: worker, maxRequests: max, durationMs: durationMs), at: now) }

    func lease(_ claim: LeaseClaim, at now: Timestamp) throws(JobQueueError)
        -> [LeasedRequest]
    {
        let (max, durationMs) = (claim.maxRequests, claim.durationMs)
        guard durationMs >= 1 else { throw .invalidArgument("duration") }
        for b in entries.indices {
            for i in entries[b].items.indices where entries[b].items[i].notBefore.map({ $0 <= now }) == true {
                entries[b].items[i].notBefore = nil
            }
        }
        let order = entries.indices.sorted {
            (-entries[$0].specification.priority, $0) < (-entries[$1].specification.priority, $1)
        }
        var leased: [LeasedRequest] = []
        for b in order where entries[b].state == .inProgress && entries[b].deadline.map({ $0 > now }) != false
        {
            for i in entries[b].items.indices where leased.count < max {
                guard entries[b].items[i].state == .queued, entries[b].items[i].notBefore == nil,
                    case .accepted(let request) = entries[b].items[i].appended
                else { continue }
                entries[b].items[i].state = .leased
                entries[b].items[i].attempt += 1
                entries[b].items[i].expiresAt = now + durationMs
                leased.append(
                    LeasedRequest(
                        lease: Lease(
                            key: RequestKey(batch: entries[b].id, ordinal: i),
                            attempt: entries[b].items[i].attempt),
                        request: request, tenant: entries[b].specification.tenant,
                        priority: entries[b].specification.priority, batchSeed: entries[b].specification.seed,
                        expiresAt: now + durationMs))
            }
        }
        return leased
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
                (0...usage.promptTokens).contains(usage.cachedTokens)
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
        let results = fenced(leases) { _, b, i in
            switch reason {
            case .handedBack:
                entries[b].items[i].state = .queued
                entries[b].items[i].expiresAt = nil
            case .failed(let error, let retryAfterMs):
                entries[b].failAttempt(
                    i, error, notBefore: retryAfterMs > 0 ? now + retryAfterMs : nil, at: now)
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
                continue
            }
            for i in entries[b].items.indices where entries[b].items[i].expiresAt.map({ $0 <= now }) == true {
                let error = OutcomeError(code: "lease_expired", message: "", statusCode: 500)
                entries[b].failAttempt(i, error, notBefore: nil, at: now)
                moved += 1
            }
            entries[b].endIfDone(at: now)
        }
        return moved
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

    func list(limit: Int) -> [BatchStatus] { list(tenant: nil, limit: limit) }

    func list(tenant: String?, limit: Int) -> [BatchStatus] { entries.reversed().prefix(max(0, limit)).map(\.status) }

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
