import GRDB

/// What operators ask and set: pause, overview, ledger, workers, dead letters.
extension QueueTransaction {
    func setPaused(_ isPaused: Bool) throws {
        try run("UPDATE flag SET value = ? WHERE name = 'paused'", [isPaused ? 1 : 0])
    }

    func pause(_ id: BatchID, reason: String) throws {
        let batch = try batch(id)
        guard !batch.status.state.isTerminal else {
            throw JobQueueError.wrongState(id, batch.status.state, "nothing is left to pause")
        }
        try run(
            "UPDATE batch SET paused_for = ? WHERE seq = ?", [try text(reason, named: "the reason"), batch.seq])
    }

    func resume(_ id: BatchID) throws {
        let batch = try batch(id)
        if batch.status.pausedFor == nil { return }
        try run("UPDATE batch SET paused_for = NULL WHERE seq = ?", [batch.seq])
    }

    func overview(at now: Timestamp) throws -> QueueOverview {
        var depths = DepthTable()
        try scan(
            """
            SELECT b.tenant, b.priority, m.name, sum(l.queued), sum(l.tokens)
            FROM batch AS b INDEXED BY batch_leasable CROSS JOIN backlog AS l ON l.batch = b.seq
              CROSS JOIN model AS m ON m.id = l.model
            WHERE b.state = 'in_progress' AND b.queued > 0 GROUP BY b.tenant, b.priority, m.id
            """, []
        ) { row in
            try depths.change(row) {
                $0.queued = try row.int(3)
                $0.queuedTokens = try row.int(4)
            }
        }
        let ofPending = """
            SELECT b.tenant, b.priority, m.name, count(*) FROM pending AS p INDEXED BY %
              CROSS JOIN batch AS b ON b.seq = p.key >> 32 CROSS JOIN model AS m ON m.id = p.model
            WHERE
            """
        try scan(
            ofPending.replacing("%", with: "pending_waiting")
                + " p.not_before IS NOT NULL AND p.not_before > ? AND b.state = 'in_progress' GROUP BY 1, 2, m.id",
            [now.milliseconds]
        ) { row in try depths.change(row) { $0.delayed = try row.int(3) } }
        try scan(
            ofPending.replacing("%", with: "pending_leased") + " p.lease_expires IS NOT NULL GROUP BY 1, 2, m.id", []
        ) { row in try depths.change(row) { $0.leased = try row.int(3) } }
        let open = try first("SELECT count(*) FROM batch INDEXED BY batch_open WHERE ended_at IS NULL", []) {
            try $0.int(0)
        }
        let oldest = try first(
            """
            SELECT min(accepted_at) FROM batch INDEXED BY batch_leasable
            WHERE state = 'in_progress' AND queued > 0
            """, []
        ) { try $0.optionalTime(0) }
        return QueueOverview(
            isPaused: try flag("paused") != 0, openBatches: open ?? 0, depths: depths.sorted,
            oldestQueuedAt: oldest ?? nil)
    }

    func backlog(_ id: BatchID) throws -> [String: Int] {
        let models = try rows(
            """
            SELECT m.name, l.queued FROM backlog AS l CROSS JOIN model AS m ON m.id = l.model
            WHERE l.batch = ? AND l.queued > 0
            """, [try batch(id).seq]
        ) { (String(decoding: try $0.bytes(0), as: UTF8.self), try $0.int(1)) }
        return Dictionary(models, uniquingKeysWith: +)
    }

    func usage(_ query: UsageQuery) throws -> [UsageRecord] {
        let records = try rows(
            """
            SELECT u.day, u.tenant, m.name, u.backend, u.completed, u.unsuccessful, u.prompt_tokens,
              u.completion_tokens, u.cached_tokens, u.cost_nanodollars
            FROM usage AS u CROSS JOIN model AS m ON m.id = u.model WHERE u.day BETWEEN ? AND ?
            """, [query.first?.number ?? .min, query.last?.number ?? .max]
        ) { row in
            UsageRecord(
                day: Day(number: try row.int64(0)), tenant: try row.text(1),
                model: String(decoding: try row.bytes(2), as: UTF8.self), backend: try row.text(3),
                completed: try row.int(4), unsuccessful: try row.int(5),
                usage: Usage(
                    promptTokens: try row.int(6), completionTokens: try row.int(7), cachedTokens: try row.int(8),
                    costNanodollars: try row.int(9)))
        }
        return records.filter(query.includes).sorted(by: UsageRecord.comesBefore)
    }

    func heartbeat(_ report: WorkerReport, at now: Timestamp) throws {
        try report.check()
        try run(
            """
            INSERT INTO worker (name, forget_at, report) VALUES (?1, ?2, ?3)
            ON CONFLICT (name) DO UPDATE SET forget_at = ?2, report = ?3
            """,
            [
                try text(report.name, named: "the worker's name"), report.forgetAt.milliseconds, report.storedText,
            ])
    }

    func workers(at now: Timestamp) throws -> [WorkerReport] {
        try rows("SELECT report FROM worker WHERE forget_at > ? ORDER BY name", [now.milliseconds]) { row in
            guard let report = WorkerReport(storedText: try row.text(0)) else { throw damaged("a worker's report") }
            return report
        }
    }

    func forget(worker: String) throws {
        if worker.utf8.contains(0) { return }
        try run("DELETE FROM worker WHERE name = ?", [worker])
    }

    func deadLetters(_ id: BatchID, after ordinal: Int?, limit: Int) throws -> [DeadLetter] {
        let batch = try batch(id)
        let last = QueueSchema.maxOrdinals - 1
        let after = min(max(ordinal ?? -1, -1), last)
        if after == last { return [] }
        return try rows(
            """
            SELECT o.key, o.attempt, o.settled_at, o.error, r.custom_id, r.endpoint, r.body, r.line, m.name, r.cost
            FROM outcome AS o INDEXED BY outcome_dead CROSS JOIN request AS r ON r.key = o.key
              CROSS JOIN model AS m ON m.id = r.model
            WHERE o.dead = 1 AND o.key BETWEEN ? AND ? ORDER BY o.key LIMIT ?
            """, [batch.key(after + 1), batch.keys.upperBound, limit]
        ) { row in
            guard let error = OutcomeError(storedText: try row.text(3)),
                let endpoint = Endpoint(rawValue: try row.text(5))
            else { throw damaged("a dead letter") }
            return DeadLetter(
                ordinal: StoredBatch.ordinal(try row.int64(0)),
                request: Request(
                    customID: String(decoding: try row.bytes(4), as: UTF8.self), endpoint: endpoint,
                    body: try row.bytes(6), line: try row.int(7),
                    model: String(decoding: try row.bytes(8), as: UTF8.self), cost: try row.int(9)),
                attempt: try row.int(1), settledAt: try row.time(2), error: error)
        }
    }
}

/// An overview's rows while they are put together.
private struct DepthTable {
    private struct Place: Hashable {
        var tenant: [UInt8]
        var priority: Int
        var model: [UInt8]
    }

    private var depths: [Place: QueueOverview.Depth] = [:]

    /// `row` begins with tenant, priority and model.
    mutating func change(_ row: StoredRow, _ body: (inout QueueOverview.Depth) throws -> Void) throws -> Bool {
        let (tenant, priority, model) = (try row.text(0), try row.int(1), try row.bytes(2))
        let place = Place(tenant: Array(tenant.utf8), priority: priority, model: model)
        let new = QueueOverview.Depth(
            tenant: tenant, priority: priority, model: String(decoding: model, as: UTF8.self))
        try body(&depths[place, default: new])
        return true
    }

    var sorted: [QueueOverview.Depth] {
        depths.values.filter { $0.queued + $0.leased > 0 }.sorted(by: QueueOverview.Depth.comesBefore)
    }
}
