import GRDB

/// Renewing, settling, releasing and recovering requests.
extension QueueTransaction {
    /// A leased row as far as its end needs it.
    private struct Held {
        var key: Int64
        var model: Int64
        var cost: Int
        var attempt: Int
        var failures: Int
        var crashes: Int
        var worker: String
        var lastError: String?
    }

    private static let heldColumns = "key, attempt, failures, worker, last_error, model, cost, crashes"

    private func held(_ row: StoredRow) throws -> Held {
        let held = Held(
            key: try row.int64(0), model: try row.int64(5), cost: try row.int(6), attempt: try row.int(1),
            failures: try row.int(2), crashes: try row.int(7), worker: try row.text(3),
            lastError: try row.optionalText(4))
        guard held.failures >= 0, held.failures < held.attempt, (0...held.failures).contains(held.crashes) else {
            throw damaged("a lease's attempts")
        }
        guard (1...Request.maxCost).contains(held.cost) else { throw damaged("a request's cost") }
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
                "UPDATE pending SET lease_expires = ? WHERE key = ?",
                [(now + durationMs).milliseconds, held.key])
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
                try end(
                    held.key, held.model, as: state, attempt: held.attempt, settlement.outcome, at: now, in: &batch)
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
                    batch.queue(1, model: held.model, cost: held.cost)
                    try run(
                        """
                        UPDATE pending SET state = 'queued', lease_expires = NULL, worker = NULL WHERE key = ?
                        """, [held.key])
                case .failed(let error, let retryAfterMs):
                    try fail(
                        held, error, isCrash: false, notBefore: retryAfterMs > 0 ? now + retryAfterMs : nil,
                        at: now, in: &batch)
                }
            }
            return .done
        }
        try batches.save(self, at: now)
        return results
    }

    /// Counts a failed attempt: the request is queued again, or ends when it has no attempts left.
    private func fail(
        _ held: Held, _ error: OutcomeError, isCrash: Bool, notBefore: Timestamp?, at now: Timestamp,
        in batch: inout StoredBatch
    ) throws {
        batch.status.counts.leased -= 1
        let failures = held.failures + 1
        let allowed = batch.status.specification.maxAttempts
        if failures >= allowed {
            let exhausted = error.exhausting(failures, of: allowed)
            try end(
                held.key, held.model, as: .failed, attempt: held.attempt, .failure(exhausted), at: now, in: &batch)
            return
        }
        batch.queue(1, model: held.model, cost: held.cost)
        try run(
            """
            UPDATE pending SET state = 'queued', failures = ?, crashes = ?, last_error = ?, not_before = ?,
              lease_expires = NULL, worker = NULL
            WHERE key = ?
            """,
            [
                failures, held.crashes + (isCrash ? 1 : 0), error.storedText, notBefore?.milliseconds, held.key,
            ])
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
            let error = OutcomeError.expired(windowMs: batch.status.specification.completionWindowMs)
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
                let before = held.lastError.flatMap { OutcomeError(storedText: $0) }
                let error = OutcomeError.lostLease(worker: held.worker, attempt: held.attempt, before: before)
                try fail(held, error, isCrash: true, notBefore: nil, at: now, in: &batch)
            }
        }
        try batches.save(self, at: now)
        try forgetBatches(at: now)
        return moved + ended.count
    }
}
