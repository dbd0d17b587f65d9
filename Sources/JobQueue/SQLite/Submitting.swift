import Foundation
import GRDB

/// Opening, appending to and sealing batches.
extension QueueTransaction {
    func open(_ specification: BatchSpecification, as id: BatchID, at now: Timestamp) throws -> BatchID {
        try specification.check()
        if let key = specification.idempotencyKey {
            let known = try first(
                "SELECT id FROM batch WHERE tenant = ? AND idempotency_key = ?",
                [
                    try text(specification.tenant, named: "tenant"),
                    try text(key, named: "the idempotency key"),
                ]
            ) { BatchID(try $0.text(0)) }
            if let known { return known }
        }
        try insert(id, specification, at: now)
        return id
    }

    func append(_ requests: [AppendedRequest], to id: BatchID, from ordinal: Int, at now: Timestamp) throws {
        var batch = try batch(id)
        let total = batch.status.counts.total
        guard ordinal >= 0, ordinal <= total else {
            throw JobQueueError.conflict(
                id, "append from ordinal \(ordinal), but \(total) requests are there: append without a gap")
        }
        let known = min(requests.count, total - ordinal)
        try compare(requests.prefix(known), with: batch, from: ordinal)
        let new = requests.dropFirst(known)
        if new.isEmpty { return }
        guard batch.status.state == .validating else {
            throw JobQueueError.wrongState(id, batch.status.state, "it takes no more requests")
        }
        guard new.count <= QueueSchema.maxOrdinals - total else {
            throw JobQueueError.conflict(id, "a batch holds at most \(QueueSchema.maxOrdinals) requests")
        }
        for request in new { try appendOne(request, to: &batch, at: now) }
        try save(&batch)
    }

    private func appendOne(_ request: AppendedRequest, to batch: inout StoredBatch, at now: Timestamp) throws
    {
        let key = batch.key(batch.status.counts.total)
        batch.status.counts.total += 1
        switch request {
        case .accepted(let request):
            try check(request)
            let model = try modelNumber(request.model)
            if try insert(key, request, model: model, owning: true, in: batch) {
                batch.queue(1, model: model, cost: request.cost)
                try run(
                    """
                    INSERT INTO pending (key, model, cost, state, attempt, failures, crashes)
                    VALUES (?, ?, ?, 'queued', 0, 0, 0)
                    """, [key, model, request.cost])
            } else {
                let error = try duplicate(request, in: batch)
                _ = try insert(key, request, model: model, owning: false, in: batch)
                try end(key, model, as: .failed, attempt: 0, .failure(error), at: now, in: &batch)
            }
        case .refused(let customID, let line, let outcome):
            let what = "line \(line)"
            try check(outcome, of: what)
            guard outcome.error != nil else {
                throw JobQueueError.invalidArgument(
                    "\(what): a refused request needs an error for its outcome")
            }
            guard line >= 0 else { throw JobQueueError.invalidArgument("line \(line) is negative") }
            let owned =
                try customID.map { try insertRefused(key, $0, line: line, owning: true, in: batch) } ?? false
            if !owned {
                _ = try insertRefused(key, customID ?? "line-\(line)", line: line, owning: false, in: batch)
            }
            try end(key, try modelNumber(""), as: .failed, attempt: 0, outcome, at: now, in: &batch)
        }
    }

    private func check(_ request: Request) throws(JobQueueError) {
        try request.check()
        guard request.line >= 0 else { throw .invalidArgument("line \(request.line) is negative") }
        guard request.body.count <= QueueSchema.maxBodyBytes,
            request.customID.utf8.count <= QueueSchema.maxBodyBytes
        else {
            throw .invalidArgument(
                "\(place(request.line)): the request has \(request.body.count) bytes, at most "
                    + "\(QueueSchema.maxBodyBytes) can be stored")
        }
    }

    /// False when the batch has the custom_id already; then nothing is stored.
    private func insert(
        _ key: Int64, _ request: Request, model: Int64, owning: Bool, in batch: StoredBatch
    ) throws -> Bool {
        // An empty blob is bound as null.
        try run(
            """
            INSERT INTO request (key, batch, custom_id, owns_id, line, endpoint, body, model, cost)
            VALUES (?, ?, coalesce(?, x''), ?, ?, ?, coalesce(?, x''), ?, ?)
            ON CONFLICT (batch, custom_id) WHERE owns_id = 1 DO NOTHING
            """,
            [
                key, batch.seq, Data(request.customID.utf8), owning, request.line, request.endpoint.rawValue,
                Data(request.body), model, request.cost,
            ])
        return db.changesCount == 1
    }

    private func insertRefused(
        _ key: Int64, _ customID: String, line: Int, owning: Bool, in batch: StoredBatch
    ) throws -> Bool {
        try run(
            """
            INSERT INTO request (key, batch, custom_id, owns_id, line) VALUES (?, ?, coalesce(?, x''), ?, ?)
            ON CONFLICT (batch, custom_id) WHERE owns_id = 1 DO NOTHING
            """,
            [key, batch.seq, Data(customID.utf8), owning, line])
        return db.changesCount == 1
    }

    private func duplicate(_ request: Request, in batch: StoredBatch) throws -> OutcomeError {
        let owner = try first(
            """
            SELECT key, line FROM request INDEXED BY request_custom_id
            WHERE batch = ? AND custom_id = coalesce(?, x'') AND owns_id = 1
            """,
            [batch.seq, Data(request.customID.utf8)]
        ) { (ordinal: StoredBatch.ordinal(try $0.int64(0)), line: try $0.int(1)) }
        guard let owner else { throw damaged("the index of custom_ids") }
        let first = owner.line > 0 ? "line \(owner.line)" : "request \(owner.ordinal + 1)"
        return OutcomeError(
            code: "duplicate_custom_id",
            message: "\(place(request.line))custom_id \"\(request.customID)\" was used before, by \(first): "
                + "give each request of the batch its own",
            parameter: "custom_id")
    }

    private func place(_ line: Int) -> String { line > 0 ? "line \(line): " : "" }

    /// - Throws: `conflict` when a request differs from what the batch has at its ordinal.
    private func compare(
        _ requests: ArraySlice<AppendedRequest>, with batch: StoredBatch, from ordinal: Int
    ) throws {
        if requests.isEmpty { return }
        var at = requests.startIndex
        try scan(
            "SELECT key, custom_id, line, endpoint, body FROM request WHERE key BETWEEN ? AND ? ORDER BY key",
            [batch.key(ordinal), batch.key(ordinal + requests.count - 1)]
        ) { row in
            let customID = try row.bytes(1)
            let line = try row.int(2)
            let same =
                switch requests[at] {
                case .accepted(let request):
                    try customID == Array(request.customID.utf8) && line == request.line
                        && row.optionalText(3) == request.endpoint.rawValue
                        && row.optionalBytes(4) == request.body
                case .refused(let name, let refusedLine, _):
                    customID == Array((name ?? "line-\(refusedLine)").utf8) && line == refusedLine
                        && row.isNull(3)
                }
            guard same else {
                throw JobQueueError.conflict(
                    batch.status.id,
                    "request \(StoredBatch.ordinal(try row.int64(0)) + 1) (line \(line)) was appended "
                        + "before with other content: has the input changed?")
            }
            at += 1
            return true
        }
        guard at == requests.endIndex else {
            throw damaged("requests of batch \(batch.status.id) are missing")
        }
    }

    func seal(_ id: BatchID, total: Int, at now: Timestamp) throws {
        var batch = try batch(id)
        guard batch.status.counts.total == total else {
            throw JobQueueError.conflict(
                id, "sealed with \(total) requests, but \(batch.status.counts.total) were appended")
        }
        if batch.status.acceptedAt != nil { return }
        guard batch.status.state == .validating else {
            throw JobQueueError.wrongState(id, batch.status.state, "it cannot be accepted any more")
        }
        batch.status.state = .inProgress
        batch.status.acceptedAt = now
        batch.deadline = batch.status.specification.completionWindowMs.map { now + $0 }
        batch.endIfDone(at: now)
        try save(&batch)
    }
}
