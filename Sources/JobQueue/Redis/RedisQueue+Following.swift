import JSON

/// Reading what became of batches.
extension RedisQueue {
    private static let chunkRecords = 500
    private static let chunkBatches = 100

    package func status(_ batch: BatchID) async throws(JobQueueError) -> BatchStatus {
        guard Self.isPossible(batch) else { throw .unknownBatch(batch) }
        let reply = try await call(["HGETALL", RedisArgument(keys.batch(batch))])
        guard let fields = RedisFields(reply), !fields.isEmpty else { throw .unknownBatch(batch) }
        return try self.status(batch, fields)
    }

    func status(_ id: BatchID, _ fields: RedisFields) throws(JobQueueError) -> BatchStatus {
        guard let status = BatchStatus(id: id, fields: fields) else {
            throw unexpected(.null, "batch \(id)")
        }
        return status
    }

    package func list(tenant: String?, limit: Int) async throws(JobQueueError) -> [BatchStatus] {
        var found: [BatchStatus] = []
        var below: RedisArgument = "+inf"
        while found.count < limit {
            let most = min(limit - found.count, Self.chunkBatches)
            let reply = try await run(
                .list, at: Timestamp(milliseconds: 0),
                [RedisArgument(tenant.map { "+" + $0 } ?? "-"), below, RedisArgument(most)])
            guard let page = reply.array else { throw unexpected(reply, "the list of batches") }
            for at in stride(from: 0, to: page.count - 1, by: 2) {
                guard let id = page[at].text, let fields = RedisFields(page[at + 1]), let seq = fields["seq"] else {
                    throw unexpected(page[at], "the list of batches")
                }
                found.append(try status(BatchID(id), fields))
                below = RedisArgument("(" + seq)
            }
            if page.count < 2 * most { break }
        }
        return found
    }

    package func results(_ batch: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder)
        async throws(JobQueueError) -> [ResultRecord]
    {
        var found: [ResultRecord] = []
        let after = cursor?.value ?? (order == .input ? -1 : 0)
        var next = order == .input ? min(max(after, -1), Int64(Self.maxOrdinals)) + 1 : max(after, 0)
        // Once at least: an unknown batch is told whatever is asked of it.
        repeat {
            let most = min(max(0, limit - found.count), Self.chunkRecords)
            let reply = try await run(
                order == .input ? .resultsByInput : .resultsByCompletion, at: Timestamp(milliseconds: 0),
                [argument(batch), RedisArgument(next), RedisArgument(most), RedisArgument(Self.chunkBytes)])
            if reply.text == "unknown" { throw .unknownBatch(batch) }
            guard let page = reply.array else { throw unexpected(reply, "results") }
            for entry in page {
                guard let record = ResultRecord(entry: entry, order: order) else {
                    throw unexpected(entry, "a result of batch \(batch)")
                }
                found.append(record)
                next = order == .input ? record.cursor.value + 1 : record.cursor.value
            }
            if page.isEmpty { break }
        } while found.count < limit
        return found
    }

    package func deadLetters(_ batch: BatchID, after ordinal: Int?, limit: Int)
        async throws(JobQueueError) -> [DeadLetter]
    {
        var found: [DeadLetter] = []
        var after = max(ordinal ?? -1, -1)
        repeat {
            let most = min(max(0, limit - found.count), Self.chunkRecords)
            let reply = try await run(
                .deadLetters, at: Timestamp(milliseconds: 0),
                [argument(batch), RedisArgument(after), RedisArgument(most)])
            if reply.text == "unknown" { throw .unknownBatch(batch) }
            guard let page = reply.array else { throw unexpected(reply, "dead letters") }
            for at in stride(from: 0, to: page.count - 2, by: 3) {
                guard let stored = page[at].bytes, let model = page[at + 1].text,
                    let request = Request(stored: stored, model: model),
                    let record = ResultRecord(entry: page[at + 2], order: .input), let error = record.outcome.error
                else { throw unexpected(page[at], "a dead letter") }
                found.append(
                    DeadLetter(
                        ordinal: record.ordinal, request: request, attempt: record.attempt,
                        settledAt: record.settledAt, error: error))
                after = record.ordinal
            }
            if page.isEmpty { break }
        } while found.count < limit
        return found
    }
}

/// A hash's fields.
struct RedisFields {
    private var values: [String: [UInt8]] = [:]

    /// Nil when `reply` is not what HGETALL and XRANGE answer.
    init?(_ reply: RedisReply) {
        guard let list = reply.array, list.count % 2 == 0 else { return nil }
        for at in stride(from: 0, to: list.count, by: 2) {
            guard let name = list[at].text, let value = list[at + 1].bytes else { return nil }
            values[name] = value
        }
    }

    var isEmpty: Bool { values.isEmpty }
    var names: some Collection<String> { values.keys }
    func bytes(_ name: String) -> [UInt8]? { values[name] }
    subscript(_ name: String) -> String? { values[name].map { String(decoding: $0, as: UTF8.self) } }
    func int(_ name: String) -> Int? { self[name].flatMap { Int($0) } }
    func int64(_ name: String) -> Int64? { self[name].flatMap { Int64($0) } }
    func time(_ name: String) -> Timestamp? { int64(name).map { Timestamp(milliseconds: $0) } }
}

extension BatchStatus {
    init?(id: BatchID, fields: RedisFields) {
        guard let tenant = fields["tenant"], let priority = fields.int("priority"),
            let seed = fields["seed"].flatMap(UInt64.init), let maxAttempts = fields.int("max_attempts"),
            let metadata = fields["metadata"].flatMap(BatchSpecification.metadata),
            let state = fields["state"].flatMap(BatchState.init), let createdAt = fields.time("created_at"),
            let total = fields.int("total"), let queued = fields.int("queued"), let leased = fields.int("leased"),
            let completed = fields.int("completed"), let failed = fields.int("failed"),
            let cancelled = fields.int("cancelled"), let expired = fields.int("expired"),
            let prompt = fields.int("prompt_tokens"), let completion = fields.int("completion_tokens"),
            let cached = fields.int("cached_tokens")
        else { return nil }
        self.init(
            id: id,
            specification: BatchSpecification(
                tenant: tenant, priority: priority, completionWindowMs: fields.int64("window_ms"),
                idempotencyKey: fields["idempotency_key"], seed: seed, maxAttempts: maxAttempts, metadata: metadata,
                retentionMs: fields.int64("retention_ms")),
            state: state,
            counts: BatchCounts(
                total: total, queued: queued, leased: leased, completed: completed, failed: failed,
                cancelled: cancelled, expired: expired),
            usage: Usage(
                promptTokens: prompt, completionTokens: completion, cachedTokens: cached,
                // Not there in batches from before costs were counted.
                costNanodollars: fields.int("cost_nanodollars") ?? 0),
            createdAt: createdAt, acceptedAt: fields.time("accepted_at"), endedAt: fields.time("ended_at"),
            pausedFor: fields["paused_for"])
    }
}

extension BatchSpecification {
    /// As stores keep it: a JSON object, names in the order of their bytes.
    var storedMetadata: String {
        let members = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            .map { (name: $0.key, value: JSON.string($0.value)) }
        return JSON.object(JSONObject(members)).text
    }

    /// Nil when `text` is not what `storedMetadata` writes.
    static func metadata(_ text: String) -> [String: String]? {
        if text == "{}" { return [:] }
        guard let members = try? JSON(parsing: text).object?.members else { return nil }
        var metadata: [String: String] = [:]
        for member in members {
            guard let value = member.value.string else { return nil }
            metadata[member.name] = value
        }
        return metadata
    }
}

extension ResultRecord {
    /// An entry of a results stream, as XRANGE answers: its id, and its fields.
    init?(entry: RedisReply, order: ResultOrder) {
        guard let parts = entry.array, parts.count == 2, let id = parts[0].text,
            let completion = id.split(separator: "-").first.flatMap({ Int64($0) }),
            let fields = RedisFields(parts[1]), let ordinal = fields.int("ordinal"),
            let customID = fields["custom_id"], let line = fields.int("line"),
            let state = fields["state"].flatMap(RequestState.init), state.isTerminal,
            let attempt = fields.int("attempt"), let settledAt = fields.time("settled_at"),
            let prompt = fields.int("prompt_tokens"), let generated = fields.int("completion_tokens"),
            let cached = fields.int("cached_tokens"), let backend = fields["backend"],
            let timings = fields["timings"].flatMap(Timings.init(storedText:)), let status = fields.int("status"),
            let error = fields["error"], let response = fields.bytes("response")
        else { return nil }
        let result: Outcome.Result
        if error.isEmpty {
            result = .response(statusCode: status, body: response)
        } else {
            guard let error = OutcomeError(storedText: error) else { return nil }
            result = .error(error)
        }
        self.init(
            cursor: ResultCursor(order == .input ? Int64(ordinal) : completion), ordinal: ordinal,
            customID: customID, line: line, state: state, attempt: attempt, settledAt: settledAt,
            outcome: Outcome(
                result: result,
                usage: Usage(
                    promptTokens: prompt, completionTokens: generated, cachedTokens: cached,
                    costNanodollars: fields.int("cost_nanodollars") ?? 0),
                backend: backend, timings: timings))
    }
}
