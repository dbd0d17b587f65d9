import GRDB

/// A batch's row, in memory for one transaction: calls change its counts here and write it back once.
struct StoredBatch {
    let seq: Int64
    var status: BatchStatus
    var deadline: Timestamp?
    /// Whether workers could lease of it when it was last written.
    var wasLeasable: Bool
    /// What this call changed of its queued requests by model's number, not yet written.
    var backlog: [Int64: Backlog] = [:]
    /// Sums over outcomes that this call wrote, not yet in the ledger.
    var ledger: [LedgerKey: LedgerSums] = [:]

    struct Backlog {
        var queued = 0
        var tokens = 0
    }

    var isLeasable: Bool { status.state == .inProgress && status.counts.queued > 0 }

    /// Keys of its requests, whether they exist or not.
    var keys: ClosedRange<Int64> { (seq << 32)...(seq << 32 | 0xFFFF_FFFF) }
    func key(_ ordinal: Int) -> Int64 { seq << 32 | Int64(ordinal) }
    static func ordinal(_ key: Int64) -> Int { Int(key & 0xFFFF_FFFF) }
    /// Number of the outcome that is written next.
    var nextCompletion: Int { status.counts.settled + 1 }
    var unfinished: Int { status.counts.queued + status.counts.leased }

    /// An accepted batch without unfinished requests has ended.
    mutating func endIfDone(at now: Timestamp) {
        if status.state == .inProgress && unfinished == 0 { end(.completed, at: now) }
    }

    mutating func end(_ state: BatchState, at now: Timestamp) {
        status.state = state
        status.endedAt = now
        status.pausedFor = nil
    }

    /// Counts requests into the queued ones (or out, where negative).
    mutating func queue(_ count: Int, model: Int64, cost: Int) {
        status.counts.queued += count
        backlog[model, default: Backlog()].queued += count
        backlog[model, default: Backlog()].tokens += count * cost
    }
}

extension QueueTransaction {
    private static let batchColumns = """
        seq, id, tenant, priority, window_ms, idempotency_key, seed, max_attempts, metadata, state, \
        created_at, accepted_at, deadline, ended_at, total, queued, leased, completed, failed, cancelled, expired, \
        prompt_tokens, completion_tokens, cached_tokens, retention_ms, paused_for, cost_nanodollars
        """

    /// - Throws: `unknownBatch`.
    func batch(_ id: BatchID) throws -> StoredBatch {
        // SQLite's text ends at a zero byte: such a name would find another batch.
        if !id.value.utf8.contains(0),
            let found = try first("SELECT \(Self.batchColumns) FROM batch WHERE id = ?", [id.value], stored)
        {
            return found
        }
        throw JobQueueError.unknownBatch(id)
    }

    /// Nil: no such batch.
    func batchNumber(_ id: BatchID) throws -> Int64? {
        if id.value.utf8.contains(0) { return nil }
        return try first("SELECT seq FROM batch WHERE id = ?", [id.value]) { try $0.int64(0) }
    }

    func batch(seq: Int64) throws -> StoredBatch {
        guard let found = try first("SELECT \(Self.batchColumns) FROM batch WHERE seq = ?", [seq], stored)
        else {
            throw damaged("batch \(seq) is missing")
        }
        return found
    }

    /// Newest first.
    func batches(tenant: String?, limit: Int) throws -> [StoredBatch] {
        guard let tenant else {
            return try rows("SELECT \(Self.batchColumns) FROM batch ORDER BY seq DESC LIMIT ?", [limit], stored)
        }
        // SQLite's text ends at a zero byte: such a name would find another tenant's.
        if tenant.utf8.contains(0) { return [] }
        return try rows(
            """
            SELECT \(Self.batchColumns) FROM batch INDEXED BY batch_tenant
            WHERE tenant = ? ORDER BY seq DESC LIMIT ?
            """, [tenant, limit], stored)
    }

    private func stored(_ row: StoredRow) throws -> StoredBatch {
        guard let state = BatchState(rawValue: try row.text(9)) else {
            throw damaged("a batch has no known state")
        }
        let specification = BatchSpecification(
            tenant: try row.text(2), priority: try row.int(3), completionWindowMs: try row.optionalInt64(4),
            idempotencyKey: try row.optionalText(5), seed: UInt64(bitPattern: try row.int64(6)),
            maxAttempts: try row.int(7), metadata: try metadata(try row.text(8)),
            retentionMs: try row.optionalInt64(24))
        let counts = BatchCounts(
            total: try row.int(14), queued: try row.int(15), leased: try row.int(16),
            completed: try row.int(17),
            failed: try row.int(18), cancelled: try row.int(19), expired: try row.int(20))
        // Sums below must not overflow, whatever a damaged file holds.
        let each = [
            counts.total, counts.queued, counts.leased, counts.completed, counts.failed, counts.cancelled,
            counts.expired,
        ]
        guard each.allSatisfy({ (0...QueueSchema.maxOrdinals).contains($0) }) else {
            throw damaged("a batch counts more requests than it can hold")
        }
        let usage = Usage(
            promptTokens: try row.int(21), completionTokens: try row.int(22), cachedTokens: try row.int(23),
            costNanodollars: try row.int(26))
        let sums = [usage.promptTokens, usage.completionTokens, usage.costNanodollars]
        guard sums.allSatisfy({ (0...Int.max / 2).contains($0) }) else {
            throw damaged("a batch's usage is out of range")
        }
        let seq = try row.int64(0)
        guard (1...Int64(Int32.max)).contains(seq) else { throw damaged("a batch's number is out of range") }
        return StoredBatch(
            seq: seq,
            status: BatchStatus(
                id: BatchID(try row.text(1)), specification: specification, state: state, counts: counts,
                usage: usage, createdAt: try row.time(10), acceptedAt: try row.optionalTime(11),
                endedAt: try row.optionalTime(13), pausedFor: try row.optionalText(25)),
            deadline: try row.optionalTime(12), wasLeasable: state == .inProgress && counts.queued > 0)
    }

    private func metadata(_ text: String) throws -> [String: String] {
        guard let metadata = BatchSpecification.metadata(text) else { throw damaged("a batch's metadata") }
        return metadata
    }

    /// Stores a batch as `open` made it; its number comes from the file.
    func insert(_ id: BatchID, _ specification: BatchSpecification, at now: Timestamp) throws {
        try run(
            """
            INSERT INTO batch (id, tenant, priority, window_ms, idempotency_key, seed, max_attempts, metadata,
              retention_ms, state, created_at, total, queued, leased, completed, failed, cancelled, expired,
              prompt_tokens, completion_tokens, cached_tokens)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'validating', ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
            """,
            [
                try text(id.value, named: "the batch's id"), try text(specification.tenant, named: "tenant"),
                specification.priority, specification.completionWindowMs,
                try specification.idempotencyKey.map { try text($0, named: "the idempotency key") },
                Int64(bitPattern: specification.seed), specification.maxAttempts,
                specification.storedMetadata, specification.retentionMs, now.milliseconds,
            ])
    }

    /// Writes what may change of a batch, and what of it is counted elsewhere.
    func save(_ batch: inout StoredBatch) throws {
        let status = batch.status
        let counts = status.counts
        if batch.isLeasable && !batch.wasLeasable {
            try join(tenant: status.specification.tenant, priority: status.specification.priority)
        }
        batch.wasLeasable = batch.isLeasable
        let forgetAt = status.endedAt.flatMap { end in status.specification.retentionMs.map { end + $0 } }
        try run(
            """
            UPDATE batch SET state = ?, accepted_at = ?, deadline = ?, ended_at = ?, forget_at = ?, total = ?,
              queued = ?, leased = ?, completed = ?, failed = ?, cancelled = ?, expired = ?, prompt_tokens = ?,
              completion_tokens = ?, cached_tokens = ?, cost_nanodollars = ?, paused_for = ?
            WHERE seq = ?
            """,
            [
                status.state.rawValue, status.acceptedAt?.milliseconds, batch.deadline?.milliseconds,
                status.endedAt?.milliseconds, forgetAt?.milliseconds, counts.total, counts.queued,
                counts.leased, counts.completed,
                counts.failed, counts.cancelled, counts.expired, status.usage.promptTokens,
                status.usage.completionTokens, status.usage.cachedTokens, status.usage.costNanodollars,
                status.pausedFor, batch.seq,
            ])
        try saveBacklog(&batch)
        try saveLedger(&batch)
    }
}

/// The batches that one call touches: each read once, written back once.
struct TouchedBatches {
    private var bySeq: [Int64: StoredBatch] = [:]
    /// By the id's bytes; nil: not in this queue.
    private var seqs: [[UInt8]: Int64?] = [:]

    mutating func seq(_ id: BatchID, _ transaction: QueueTransaction) throws -> Int64? {
        let name = Array(id.value.utf8)
        if let known = seqs[name] { return known }
        do {
            let batch = try transaction.batch(id)
            if bySeq[batch.seq] == nil { bySeq[batch.seq] = batch }
            seqs[name] = .some(batch.seq)
            return batch.seq
        } catch JobQueueError.unknownBatch {
            seqs[name] = .some(nil)
            return nil
        }
    }

    mutating func change(
        _ seq: Int64, _ transaction: QueueTransaction, _ body: (inout StoredBatch) throws -> Void
    ) throws {
        var batch = try bySeq[seq] ?? transaction.batch(seq: seq)
        try body(&batch)
        bySeq[seq] = batch
        changed.insert(seq)
    }

    private var changed: Set<Int64> = []

    mutating func batch(_ seq: Int64, _ transaction: QueueTransaction) throws -> StoredBatch {
        if let known = bySeq[seq] { return known }
        let batch = try transaction.batch(seq: seq)
        bySeq[seq] = batch
        return batch
    }

    mutating func save(_ transaction: QueueTransaction, at now: Timestamp) throws {
        for seq in changed {
            guard var batch = bySeq[seq] else { continue }
            batch.endIfDone(at: now)
            try transaction.save(&batch)
            bySeq[seq] = batch
        }
    }
}
