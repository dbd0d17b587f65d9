import GRDB

/// Leasing, renewing, settling, releasing and recovering requests.
extension QueueTransaction {
    func lease(max: Int, worker: String, durationMs: Int64, at now: Timestamp) throws -> [LeasedRequest] {
        guard durationMs >= 1 else {
            throw JobQueueError.invalidArgument("a lease must last at least 1 ms, got \(durationMs)")
        }
        let worker = try text(worker, named: "the worker's name")
        // Once due, a request that waited is like any other; each is moved once.
        try run("UPDATE pending SET not_before = NULL WHERE not_before <= ?", [now.milliseconds])
        var leased: [LeasedRequest] = []
        for seq in try leasable(at: now) {
            if leased.count >= max { break }
            var batch = try batch(seq: seq)
            let found = try claim(
                max - leased.count, of: batch, worker: worker, until: now + durationMs)
            if found.isEmpty { continue }
            batch.status.counts.queued -= found.count
            batch.status.counts.leased += found.count
            try save(batch)
            leased += found
        }
        return leased
    }

    /// Numbers of the batches that have queued requests, in the order they are served.
    private func leasable(at now: Timestamp) throws -> [Int64] {
        try rows(
            """
            SELECT seq FROM batch INDEXED BY batch_leasable
            WHERE state = 'in_progress' AND queued > 0 AND (deadline IS NULL OR deadline > ?)
            ORDER BY priority DESC, seq
            """, [now.milliseconds]
        ) { try $0.int64(0) }
    }

    private func claim(
        _ limit: Int, of batch: StoredBatch, worker: String, until: Timestamp
    ) throws -> [LeasedRequest] {
        let found = try rows(
            """
            SELECT p.key, p.attempt, r.custom_id, r.line, r.endpoint, r.body
            FROM pending AS p INDEXED BY pending_ready CROSS JOIN request AS r ON r.key = p.key
            WHERE p.state = 'queued' AND p.not_before IS NULL AND p.key BETWEEN ? AND ? ORDER BY p.key LIMIT ?
            """, [batch.keys.lowerBound, batch.keys.upperBound, limit]
        ) { row in
            guard let endpoint = Endpoint(rawValue: try row.text(4)) else { throw damaged("a request has no known route") }
            let attempt = try row.int(1)
            guard (0..<Int.max).contains(attempt) else { throw damaged("a request's attempt is out of range") }
            return LeasedRequest(
                lease: Lease(
                    key: RequestKey(batch: batch.status.id, ordinal: StoredBatch.ordinal(try row.int64(0))),
                    attempt: attempt + 1),
                request: Request(
                    customID: String(decoding: try row.bytes(2), as: UTF8.self), endpoint: endpoint,
                    body: try row.bytes(5), line: try row.int(3)),
                tenant: batch.status.specification.tenant, priority: batch.status.specification.priority,
                batchSeed: batch.status.specification.seed, expiresAt: until)
        }
        let update = try statement(
            "UPDATE pending SET state = 'leased', attempt = ?, lease_expires = ?, worker = ? WHERE key = ?")
        for request in found {
            try update.execute(arguments: [
                request.lease.attempt, until.milliseconds, worker, batch.key(request.lease.key.ordinal),
            ])
        }
        return found
    }

    /// A leased row as far as its end needs it.
    private struct Held {
        var key: Int64
        var attempt: Int
        var failures: Int
        var worker: String
        var lastError: String?
    }

    private static let heldColumns = "key, attempt, failures, worker, last_error"

    private func held(_ row: StoredRow) throws -> Held {
        let held = Held(
            key: try row.int64(0), attempt: try row.int(1), failures: try row.int(2), worker: try row.text(3),
            lastError: try row.optionalText(4))
        guard held.failures >= 0, held.failures < held.attempt else { throw damaged("a lease's attempts") }
        return held
    }

    /// What the lease holds; nil when it is lost.
    private func held(_ lease: Lease, _ batches: inout TouchedBatches) throws -> (seq: Int64, Held)? {
        guard (0..<QueueSchema.maxOrdinals).contains(lease.key.ordinal),
            let seq = try batches.seq(lease.key.batch, self)
        else { return nil }
        let found = try first(
            "SELECT \(Self.heldColumns) FROM pending WHERE key = ? AND state = 'leased' AND attempt = ?",
            [seq << 32 | Int64(lease.key.ordinal), lease.attempt], held)
        return found.map { (seq, $0) }
    }

    func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp) throws -> [FencedResult] {
        guard durationMs >= 1 else {
            throw JobQueueError.invalidArgument("a lease must last at least 1 ms, got \(durationMs)")
        }
        var batches = TouchedBatches()
        return try leases.map { lease in
            guard let (_, held) = try held(lease, &batches) else { return .lost }
            try run(
                "UPDATE pending SET lease_expires = ? WHERE key = ?", [(now + durationMs).milliseconds, held.key])
            return .done
        }
    }

    func settle(_ settlements: [Settlement], at now: Timestamp) throws -> [FencedResult] {
        for settlement in settlements {
            try check(settlement.outcome, of: "ordinal \(settlement.lease.key.ordinal)")
        }
        var batches = TouchedBatches()
        let results = try settlements.map { settlement -> FencedResult in
            guard let (seq, held) = try held(settlement.lease, &batches) else { return .lost }
            try batches.change(seq, self) { batch in
                batch.status.counts.leased -= 1
                let state: RequestState = settlement.outcome.error == nil ? .completed : .failed
                try end(held.key, as: state, attempt: held.attempt, settlement.outcome, at: now, in: &batch)
            }
            return .done
        }
        try batches.save(self, at: now)
        return results
    }

    func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp) throws -> [FencedResult] {
        var batches = TouchedBatches()
        let results = try leases.map { lease -> FencedResult in
            guard let (seq, held) = try held(lease, &batches) else { return .lost }
            try batches.change(seq, self) { batch in
                switch reason {
                case .handedBack:
                    batch.status.counts.leased -= 1
                    batch.status.counts.queued += 1
                    try run(
                        """
                        UPDATE pending SET state = 'queued', lease_expires = NULL, worker = NULL WHERE key = ?
                        """, [held.key])
                case .failed(let error, let retryAfterMs):
                    try fail(held, error, notBefore: retryAfterMs > 0 ? now + retryAfterMs : nil, at: now, in: &batch)
                }
            }
            return .done
        }
        try batches.save(self, at: now)
        return results
    }

    /// Counts a failed attempt: the request is queued again, or ends when it has no attempts left.
    private func fail(
        _ held: Held, _ error: OutcomeError, notBefore: Timestamp?, at now: Timestamp, in batch: inout StoredBatch
    ) throws {
        batch.status.counts.leased -= 1
        let failures = held.failures + 1
        let allowed = batch.status.specification.maxAttempts
        if failures >= allowed {
            let exhausted = OutcomeError(
                code: "attempts_exhausted",
                message: "\(failures) of \(allowed) attempts failed; the last: \(error.code): \(error.message)",
                parameter: error.parameter, statusCode: error.statusCode)
            try end(held.key, as: .failed, attempt: held.attempt, .failure(exhausted), at: now, in: &batch)
            return
        }
        batch.status.counts.queued += 1
        try run(
            """
            UPDATE pending SET state = 'queued', failures = ?, last_error = ?, not_before = ?, lease_expires = NULL,
              worker = NULL
            WHERE key = ?
            """, [failures, error.storedText, notBefore?.milliseconds, held.key])
    }

    func recover(at now: Timestamp) throws -> Int {
        var moved = 0
        let late = try rows(
            """
            SELECT seq FROM batch INDEXED BY batch_deadline
            WHERE state = 'in_progress' AND deadline IS NOT NULL AND deadline <= ? ORDER BY seq
            """, [now.milliseconds]
        ) { try $0.int64(0) }
        for seq in late {
            var batch = try batch(seq: seq)
            let windowMs = batch.status.specification.completionWindowMs ?? 0
            let error = OutcomeError(
                code: "expired",
                message: "the batch's completion window of \(windowMs) ms ended before this request was answered",
                statusCode: 408)
            moved += try endAll(&batch, as: .expired, batchState: .expired, error, at: now)
        }
        let ended = try rows(
            """
            SELECT \(Self.heldColumns) FROM pending INDEXED BY pending_leased
            WHERE lease_expires IS NOT NULL AND lease_expires <= ? ORDER BY key
            """, [now.milliseconds], held)
        var batches = TouchedBatches()
        for held in ended {
            try batches.change(held.key >> 32, self) { batch in
                try fail(held, lostLease(held), notBefore: nil, at: now, in: &batch)
            }
        }
        try batches.save(self, at: now)
        return moved + ended.count
    }

    private func lostLease(_ held: Held) -> OutcomeError {
        let before = held.lastError.flatMap { OutcomeError(storedText: $0) }
        // Of several lost leases only the first real error is worth repeating.
        let earlier = before.map { $0.code == "lease_expired" ? "" : " (before that: \($0.code): \($0.message))" }
        return OutcomeError(
            code: "lease_expired",
            message: "worker \(held.worker) did not answer in time, or ended, in attempt \(held.attempt)\(earlier ?? "")",
            statusCode: 500)
    }
}
