import Foundation
import GRDB

/// Which line of the usage ledger an outcome is added to; the tenant is the batch's.
struct LedgerKey: Hashable {
    var day: Day
    /// The model's number.
    var model: Int64
    var backend: String
}

struct LedgerSums {
    var completed = 0
    var unsuccessful = 0
    var usage = Usage()

    mutating func add(_ state: RequestState, _ usage: Usage) {
        if state == .completed { completed += 1 } else { unsuccessful += 1 }
        self.usage += usage
    }
}

/// What is counted beside batches: models' numbers, backlogs, tenants' shares, the usage ledger.
extension QueueTransaction {
    func modelNumber(_ name: String) throws -> Int64 {
        if let known = try knownModelNumber(name) { return known }
        try run("INSERT INTO model (name) VALUES (coalesce(?, x''))", [Data(name.utf8)])
        return db.lastInsertedRowID
    }

    func knownModelNumber(_ name: String) throws -> Int64? {
        try first("SELECT id FROM model WHERE name = coalesce(?, x'')", [Data(name.utf8)]) { try $0.int64(0) }
    }

    func flag(_ name: String) throws -> Int64 {
        guard let value = try first("SELECT value FROM flag WHERE name = ?", [name], { try $0.int64(0) }) else {
            throw damaged("the flag '\(name)' is missing")
        }
        return value
    }

    /// A tenant's lane gets queued requests again. It begins at the least that one with a backlog was served, or
    /// where it was itself: the past can neither be claimed nor shed. Where nobody has a backlog, all begin anew.
    func join(tenant: String, priority: Int) throws {
        let isFirst = try first(
            "SELECT 1 FROM batch INDEXED BY batch_leasable WHERE state = 'in_progress' AND queued > 0 AND priority = ?",
            [priority]
        ) { _ in false } ?? true
        if isFirst { try run("DELETE FROM share WHERE priority = ?", [priority]) }
        try run(
            """
            INSERT INTO share (priority, tenant, served)
            SELECT ?1, ?2, coalesce(min(s.served), 0) FROM share AS s WHERE s.priority = ?1 AND EXISTS (
              SELECT 1 FROM batch AS b INDEXED BY batch_leasable WHERE b.state = 'in_progress' AND b.queued > 0
                AND b.priority = ?1 AND b.tenant = s.tenant)
            ON CONFLICT (priority, tenant) DO UPDATE SET served = max(served, excluded.served)
            """, [priority, tenant])
    }

    func saveBacklog(_ batch: inout StoredBatch) throws {
        for (model, change) in batch.backlog where change.queued != 0 && !batch.status.state.isTerminal {
            try run(
                """
                INSERT INTO backlog (batch, model, queued, tokens) VALUES (?1, ?2, max(?3, 0), max(?4, 0))
                ON CONFLICT (batch, model) DO UPDATE SET queued = queued + ?3, tokens = tokens + ?4
                """, [batch.seq, model, change.queued, change.tokens])
        }
        if batch.status.state.isTerminal { try run("DELETE FROM backlog WHERE batch = ?", [batch.seq]) }
        batch.backlog = [:]
    }

    func saveLedger(_ batch: inout StoredBatch) throws {
        for (key, sums) in batch.ledger {
            try run(
                """
                INSERT INTO usage (day, tenant, model, backend, completed, unsuccessful, prompt_tokens,
                  completion_tokens, cached_tokens, cost_nanodollars)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (day, tenant, model, backend) DO UPDATE SET
                  completed = completed + excluded.completed, unsuccessful = unsuccessful + excluded.unsuccessful,
                  prompt_tokens = prompt_tokens + excluded.prompt_tokens,
                  completion_tokens = completion_tokens + excluded.completion_tokens,
                  cached_tokens = cached_tokens + excluded.cached_tokens,
                  cost_nanodollars = cost_nanodollars + excluded.cost_nanodollars
                """,
                [
                    key.day.number, batch.status.specification.tenant, key.model, key.backend, sums.completed,
                    sums.unsuccessful, sums.usage.promptTokens, sums.usage.completionTokens,
                    sums.usage.cachedTokens, sums.usage.costNanodollars,
                ])
        }
        batch.ledger = [:]
    }

    /// Removes batches whose retention is over, with all that is theirs but the ledger's sums.
    func forgetBatches(at now: Timestamp) throws {
        let seqs = try rows(
            "SELECT seq FROM batch INDEXED BY batch_forget WHERE forget_at IS NOT NULL AND forget_at <= ?",
            [now.milliseconds]
        ) { try $0.int64(0) }
        for seq in seqs {
            let keys: StatementArguments = [seq << 32, seq << 32 | 0xFFFF_FFFF]
            try run("DELETE FROM outcome WHERE key BETWEEN ? AND ?", keys)
            try run("DELETE FROM request WHERE key BETWEEN ? AND ?", keys)
            try run("DELETE FROM batch WHERE seq = ?", [seq])
        }
        if !seqs.isEmpty {
            try run("UPDATE flag SET value = value + ? WHERE name = 'forgotten'", [seqs.count])
        }
        try run("DELETE FROM worker WHERE forget_at <= ?", [now.milliseconds])
    }
}
