import JSON

/// What operators ask and set: pause, overview, ledger, workers.
extension RedisQueue {
    package func pause(at now: Timestamp) async throws(JobQueueError) {
        _ = try await call(["HSET", RedisArgument(keys.meta), "paused", "1"])
    }

    package func resume(at now: Timestamp) async throws(JobQueueError) {
        _ = try await call(["HSET", RedisArgument(keys.meta), "paused", "0"])
    }

    package func overview(at now: Timestamp) async throws(JobQueueError) -> QueueOverview {
        let reply = try await run(.overview, at: now, [])
        guard let parts = reply.array, parts.count == 4, let open = parts[1].int, let lines = parts[3].array else {
            throw unexpected(reply, "the overview")
        }
        var depths: [QueueOverview.Depth] = []
        for line in lines {
            guard let fields = line.array, fields.count == 7, let priority = fields[0].int, let tenant = fields[1].text,
                let model = fields[2].text, let queued = fields[3].int, let tokens = fields[4].int,
                let delayed = fields[5].int, let leased = fields[6].int
            else { throw unexpected(line, "the overview") }
            depths.append(
                QueueOverview.Depth(
                    tenant: tenant, priority: Int(priority), model: model, queued: Int(queued), delayed: Int(delayed),
                    leased: Int(leased), queuedTokens: Int(tokens)))
        }
        return QueueOverview(
            isPaused: parts[0].text == "1", openBatches: Int(open),
            depths: depths.sorted(by: QueueOverview.Depth.comesBefore),
            oldestQueuedAt: parts[2].text.flatMap { Double($0) }.map { Timestamp(milliseconds: Int64($0)) })
    }

    package func backlog(_ batch: BatchID) async throws(JobQueueError) -> [String: Int] {
        let reply = try await run(.backlog, at: Timestamp(milliseconds: 0), [argument(batch)])
        if reply.text == "unknown" { throw .unknownBatch(batch) }
        guard let pairs = reply.array else { throw unexpected(reply, "a batch's backlog") }
        var found: [String: Int] = [:]
        for at in stride(from: 0, to: pairs.count - 1, by: 2) {
            guard let model = pairs[at].text, let queued = pairs[at + 1].int else {
                throw unexpected(reply, "a batch's backlog")
            }
            found[model, default: 0] += Int(queued)
        }
        return found
    }

    package func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord] {
        let days = try await call([
            "ZRANGEBYSCORE", RedisArgument(keys.days), query.first.map { RedisArgument($0.number) } ?? "-inf",
            query.last.map { RedisArgument($0.number) } ?? "+inf",
        ])
        var records: [UsageRecord] = []
        for day in days.array ?? [] {
            guard let text = day.text, let number = Int64(text),
                let fields = RedisFields(try await call(["HGETALL", RedisArgument(keys.usage(day: text))]))
            else { throw unexpected(day, "the usage ledger") }
            records += try self.records(fields, Day(number: number))
        }
        return records.filter(query.includes).sorted(by: UsageRecord.comesBefore)
    }

    /// The ledger of a day: a field for each sum, named by a JSON array of tenant, model, backend and what.
    private func records(_ fields: RedisFields, _ day: Day) throws(JobQueueError) -> [UsageRecord] {
        var records: [[[UInt8]]: UsageRecord] = [:]
        for name in fields.names {
            let parts = (try? JSON(parsing: name).array)?.compactMap(\.string) ?? []
            guard parts.count == 4, let value = fields.int(name) else { throw unexpected(.null, "the usage ledger") }
            let place = parts[..<3].map { Array($0.utf8) }
            var record =
                records[place] ?? UsageRecord(day: day, tenant: parts[0], model: parts[1], backend: parts[2])
            switch parts[3] {
            case "completed": record.completed = value
            case "unsuccessful": record.unsuccessful = value
            case "prompt_tokens": record.usage.promptTokens = value
            case "completion_tokens": record.usage.completionTokens = value
            case "cached_tokens": record.usage.cachedTokens = value
            case "cost_nanodollars": record.usage.costNanodollars = value
            // What a later version counts is not missed here.
            default: break
            }
            records[place] = record
        }
        return Array(records.values)
    }

    package func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError) {
        try report.check()
        var report = report
        // Its lifetime counts by the clock that ends it.
        let time = options.clock == .server ? try await self.time() : report.reportedAt
        report.reportedAt = time
        _ = try await run(
            .heartbeat, at: now,
            [
                RedisArgument(report.name), RedisArgument(report.forgetAt.milliseconds),
                RedisArgument(report.storedText),
            ])
    }

    package func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport] {
        let time = options.clock == .server ? try await self.time() : now
        let reply = try await call(["HVALS", RedisArgument(keys.workers)])
        var reports: [WorkerReport] = []
        for value in reply.array ?? [] {
            guard let report = value.text.flatMap(WorkerReport.init(storedText:)) else {
                throw unexpected(value, "a worker's report")
            }
            if report.forgetAt > time { reports.append(report) }
        }
        return reports.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    package func forget(worker: String) async throws(JobQueueError) {
        _ = try await run(.forgetWorker, at: Timestamp(milliseconds: 0), [RedisArgument(worker)])
    }

    /// A figure of the server's own, for benchmarks: `used_memory`, `used_cpu_user_main_thread` ...
    package func serverFigure(_ name: String) async throws(JobQueueError) -> Double {
        let info = try await call(["INFO"])
        let line = info.text?.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
        guard let value = line.flatMap({ Double($0.dropFirst(name.utf8.count + 1)) }) else {
            throw unexpected(info, "the server's \(name)")
        }
        return value
    }

    private func time() async throws(JobQueueError) -> Timestamp {
        let reply = try await call(["TIME"])
        guard let parts = reply.array, parts.count == 2, let seconds = parts[0].int, let micros = parts[1].int else {
            throw unexpected(reply, "the server's time")
        }
        return Timestamp(milliseconds: seconds * 1000 + micros / 1000)
    }
}
