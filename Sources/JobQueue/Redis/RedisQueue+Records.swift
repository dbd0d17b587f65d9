/// Single batches' pauses, and records.
extension RedisQueue: RecordStore {
    package func pause(_ batch: BatchID, reason: String, at now: Timestamp) async throws(JobQueueError) {
        guard !reason.utf8.contains(0) else { throw .invalidArgument("the reason contains a zero byte") }
        let reply = try await run(.pauseBatch, at: now, [argument(batch), RedisArgument("+" + reason)])
        switch reply.text {
        case "done": return
        case "unknown": throw .unknownBatch(batch)
        case let text?:
            guard let state = BatchState(rawValue: text) else { throw unexpected(reply, "the state of \(batch)") }
            throw .wrongState(batch, state, "nothing is left to pause")
        case nil: throw unexpected(reply, "the state of \(batch)")
        }
    }

    package func resume(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        let reply = try await run(.pauseBatch, at: now, [argument(batch), ""])
        if reply.text == "unknown" { throw .unknownBatch(batch) }
    }

    package func records(_ names: [String]) async throws(JobQueueError) -> [StoredRecord?] {
        for name in names { try RecordLimits.check(name: name) }
        var found: [StoredRecord?] = []
        // As one script where they fit one, which is all that anybody asks at once but for lists.
        for from in stride(from: 0, to: names.count, by: Self.chunkRecordNames) {
            let page = names[from..<min(names.count, from + Self.chunkRecordNames)]
            let reply = try await run(
                .readRecords, at: Timestamp(milliseconds: 0), page.map { RedisArgument($0) })
            guard let parts = reply.array, parts.count == 2, let values = parts[0].array,
                let versions = parts[1].array, values.count == page.count, versions.count == page.count
            else { throw unexpected(reply, "records") }
            for (value, version) in zip(values, versions) {
                switch (value.bytes, version.int) {
                case (nil, nil): found.append(nil)
                case (let bytes?, let version?): found.append(StoredRecord(value: bytes, version: version))
                default: throw unexpected(reply, "records")
                }
            }
        }
        return found
    }

    private static let chunkRecordNames = 1000

    package func write(_ changes: [RecordChange]) async throws(JobQueueError) -> Bool {
        try RecordLimits.check(changes)
        if changes.isEmpty { return true }
        let arguments = changes.flatMap { change -> [RedisArgument] in
            [
                RedisArgument(change.name), change.expected.map { RedisArgument($0) } ?? "",
                change.value == nil ? "remove" : "set", RedisArgument(change.value ?? []),
            ]
        }
        return try await run(.writeRecords, at: Timestamp(milliseconds: 0), arguments).int == 1
    }

    package func recordNames(prefix: String) async throws(JobQueueError) -> [String] {
        let prefix = Array(prefix.utf8)
        let reply = try await call(["HKEYS", RedisArgument(keys.records)])
        return (reply.array ?? []).compactMap(\.bytes).filter { $0.starts(with: prefix) }
            .sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
    }
}
