import Foundation
import GRDB
import JSON

extension OutcomeError {
    /// As the store keeps it. JSON, so that any text survives, zero bytes too.
    var storedText: String {
        var members: [(name: String, value: JSON)] = [("code", .string(code)), ("message", .string(message))]
        if let parameter { members.append(("param", .string(parameter))) }
        members.append(("status", .int(Int64(statusCode))))
        return JSON.object(JSONObject(members)).text
    }

    /// Nil when `text` is not what `storedText` writes.
    init?(storedText text: String) {
        guard let json = try? JSON(parsing: text), let code = json["code"]?.string,
            let message = json["message"]?.string, let statusCode = json["status"]?.int
        else { return nil }
        self.init(code: code, message: message, parameter: json["param"]?.string, statusCode: statusCode)
    }
}

extension QueueTransaction {
    /// - Throws: `invalidArgument` for what the tables could not hold.
    func check(_ outcome: Outcome, of what: String) throws(JobQueueError) {
        try outcome.check(what, maxBodyBytes: QueueSchema.maxBodyBytes)
        _ = try text(outcome.backend, named: "\(what): backend")
    }

    /// Ends a request. The tables' own trigger removes it from `pending`; the caller has taken it out of the
    /// counts of queued or leased ones, and saves the batch.
    func end(
        _ key: Int64, _ model: Int64, as state: RequestState, attempt: Int, _ outcome: Outcome,
        at now: Timestamp, in batch: inout StoredBatch
    ) throws {
        var body: Data?
        var error: String?
        let statusCode: Int
        switch outcome.result {
        case .response(let code, let bytes): (statusCode, body) = (code, Data(bytes))
        case .error(let failure): (statusCode, error) = (failure.statusCode, failure.storedText)
        }
        try run(
            """
            INSERT INTO outcome (key, batch, completion, state, attempt, settled_at, prompt_tokens,
              completion_tokens, cached_tokens, backend, queued_ms, prefill_ms, decode_ms, status_code, error, body,
              dead, cost_nanodollars)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
              CASE WHEN ?15 IS NULL THEN coalesce(?16, x'') END, ?17, ?18)
            """,
            [
                key, batch.seq, batch.nextCompletion, state.rawValue, attempt, now.milliseconds,
                outcome.usage.promptTokens, outcome.usage.completionTokens, outcome.usage.cachedTokens,
                outcome.backend,
                outcome.timings.queuedMs, outcome.timings.prefillMs, outcome.timings.decodeMs, statusCode,
                error, body, outcome.error?.code == OutcomeError.attemptsExhausted, outcome.usage.costNanodollars,
            ])
        switch state {
        case .completed: batch.status.counts.completed += 1
        case .failed: batch.status.counts.failed += 1
        case .cancelled: batch.status.counts.cancelled += 1
        case .expired: batch.status.counts.expired += 1
        case .queued, .leased: preconditionFailure("an outcome's state is terminal")
        }
        batch.status.usage += outcome.usage
        let entry = LedgerKey(day: Day(of: now), model: model, backend: outcome.backend)
        batch.ledger[entry, default: LedgerSums()].add(state, outcome.usage)
    }

    /// Ends every unfinished request of a batch with the same error, and the batch with it. Returns how many.
    func endAll(
        _ batch: inout StoredBatch, as state: RequestState, batchState: BatchState, _ error: OutcomeError,
        at now: Timestamp
    ) throws -> Int {
        let count = batch.unfinished
        try scan(
            "SELECT model, count(*) FROM pending WHERE key BETWEEN ? AND ? GROUP BY model",
            [batch.keys.lowerBound, batch.keys.upperBound]
        ) { row in
            let entry = LedgerKey(day: Day(of: now), model: try row.int64(0), backend: "")
            batch.ledger[entry, default: LedgerSums()].unsuccessful += try row.int(1)
            return true
        }
        try run("DELETE FROM backlog WHERE batch = ?", [batch.seq])
        try run(
            """
            INSERT INTO outcome (key, batch, completion, state, attempt, settled_at, prompt_tokens,
              completion_tokens, cached_tokens, backend, queued_ms, prefill_ms, decode_ms, status_code, error, body,
              dead)
            SELECT key, ?1, ?2 + row_number() OVER (ORDER BY key), ?3, attempt, ?4, 0, 0, 0, '', 0, 0, 0,
              ?5, ?6, NULL, 0
            FROM pending WHERE key BETWEEN ?7 AND ?8
            """,
            [
                batch.seq, batch.status.counts.settled, state.rawValue, now.milliseconds, error.statusCode,
                error.storedText, batch.keys.lowerBound, batch.keys.upperBound,
            ])
        guard db.changesCount == count else {
            throw damaged(
                "batch \(batch.status.id) counts \(count) unfinished requests and has \(db.changesCount)")
        }
        batch.status.counts.queued = 0
        batch.status.counts.leased = 0
        switch state {
        case .cancelled: batch.status.counts.cancelled += count
        default: batch.status.counts.expired += count
        }
        batch.end(batchState, at: now)
        try save(&batch)
        return count
    }

    /// Columns of `outcome` and `request` that make a record, in the order `record` reads them.
    static let recordColumns = """
        o.key, o.completion, o.state, o.attempt, o.settled_at, o.prompt_tokens, o.completion_tokens, \
        o.cached_tokens, o.backend, o.queued_ms, o.prefill_ms, o.decode_ms, o.status_code, o.error, o.body,
        r.custom_id, r.line, o.cost_nanodollars
        """

    func record(_ row: StoredRow, order: ResultOrder) throws -> ResultRecord {
        guard let state = RequestState(rawValue: try row.text(2)), state.isTerminal else {
            throw damaged("an outcome has no known state")
        }
        let result: Outcome.Result
        if let text = try row.optionalText(13) {
            guard let error = OutcomeError(storedText: text) else { throw damaged("an outcome's error") }
            result = .error(error)
        } else {
            result = .response(statusCode: try row.int(12), body: try row.bytes(14))
        }
        let ordinal = StoredBatch.ordinal(try row.int64(0))
        let cursor = order == .input ? Int64(ordinal) : try row.int64(1)
        return ResultRecord(
            cursor: ResultCursor(cursor), ordinal: ordinal,
            customID: String(decoding: try row.bytes(15), as: UTF8.self),
            line: try row.int(16), state: state, attempt: try row.int(3), settledAt: try row.time(4),
            outcome: Outcome(
                result: result,
                usage: Usage(
                    promptTokens: try row.int(5), completionTokens: try row.int(6),
                    cachedTokens: try row.int(7), costNanodollars: try row.int(17)),
                backend: try row.text(8),
                timings: Timings(
                    queuedMs: try row.int64(9), prefillMs: try row.int64(10), decodeMs: try row.int64(11))))
    }
}
