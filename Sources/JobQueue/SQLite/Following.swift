import GRDB

/// Cancelling batches and reading what became of them.
extension QueueTransaction {
    func cancel(_ id: BatchID, at now: Timestamp) throws {
        var batch = try batch(id)
        switch batch.status.state {
        case .cancelled: return
        case .completed, .expired:
            throw JobQueueError.wrongState(id, batch.status.state, "nothing is left to cancel")
        case .validating, .inProgress, .cancelling:
            _ = try endAll(&batch, as: .cancelled, batchState: .cancelled, .cancelled, at: now)
        }
    }

    func results(
        _ id: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder
    ) throws -> [ResultRecord] {
        let batch = try batch(id)
        switch order {
        case .completion:
            return try rows(
                """
                SELECT \(Self.recordColumns)
                FROM outcome AS o INDEXED BY outcome_completion CROSS JOIN request AS r ON r.key = o.key
                WHERE o.batch = ? AND o.completion > ? ORDER BY o.completion LIMIT ?
                """, [batch.seq, cursor?.value ?? 0, limit]
            ) { try record($0, order: order) }
        case .input:
            let last = Int64(QueueSchema.maxOrdinals) - 1
            let after = min(max(cursor?.value ?? -1, -1), last)
            if after == last { return [] }
            var found: [ResultRecord] = []
            var expected = batch.key(Int(after + 1))
            try scan(
                """
                SELECT \(Self.recordColumns) FROM outcome AS o CROSS JOIN request AS r ON r.key = o.key
                WHERE o.key BETWEEN ? AND ? ORDER BY o.key LIMIT ?
                """, [expected, batch.keys.upperBound, limit]
            ) { row in
                // A gap: that request has not ended.
                guard try row.int64(0) == expected else { return false }
                expected += 1
                found.append(try record(row, order: order))
                return true
            }
            return found
        }
    }
}
