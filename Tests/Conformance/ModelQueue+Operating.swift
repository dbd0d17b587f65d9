import JobQueue

/// What operators ask of the model queue.
extension ModelQueue {
    /// One record an outcome.
    func ledger(_ entry: ModelBatch) -> [UsageRecord] {
        entry.items.compactMap { item in
            item.end.map { end in
                UsageRecord(
                    day: Day(of: end.at), tenant: entry.specification.tenant, model: item.request?.model ?? "",
                    backend: end.outcome.backend, completed: item.state == .completed ? 1 : 0,
                    unsuccessful: item.state == .completed ? 0 : 1, usage: end.outcome.usage)
            }
        }
    }

    func usage(_ query: UsageQuery) -> [UsageRecord] {
        var sums: [UsageRecord] = []
        for record in (forgotten + entries.flatMap(ledger)).sorted(by: UsageRecord.comesBefore)
        where query.includes(record) {
            if let last = sums.last, !UsageRecord.comesBefore(last, record) {
                sums[sums.count - 1].completed += record.completed
                sums[sums.count - 1].unsuccessful += record.unsuccessful
                sums[sums.count - 1].usage += record.usage
            } else {
                sums.append(record)
            }
        }
        return sums
    }

    func overview(at now: Timestamp) -> QueueOverview {
        var depths: [QueueOverview.Depth] = []
        var oldest: Timestamp?
        for entry in entries where entry.state == .inProgress {
            for item in entry.items where !item.state.isTerminal {
                guard let request = item.request else { continue }
                let one = QueueOverview.Depth(
                    tenant: entry.specification.tenant, priority: entry.specification.priority, model: request.model)
                let same = depths.firstIndex {
                    !QueueOverview.Depth.comesBefore($0, one) && !QueueOverview.Depth.comesBefore(one, $0)
                }
                let at = same ?? depths.count
                if same == nil { depths.append(one) }
                guard item.state == .queued else {
                    depths[at].leased += 1
                    continue
                }
                depths[at].queued += 1
                depths[at].queuedTokens += request.cost
                depths[at].delayed += item.notBefore.map { $0 > now } == true ? 1 : 0
                if let accepted = entry.acceptedAt { oldest = oldest.map { min($0, accepted) } ?? accepted }
            }
        }
        return QueueOverview(
            isPaused: isPaused, openBatches: entries.count { !$0.state.isTerminal },
            depths: depths.sorted(by: QueueOverview.Depth.comesBefore), oldestQueuedAt: oldest)
    }

    func backlog(_ batch: BatchID) async throws(JobQueueError) -> [String: Int] {
        var found: [String: Int] = [:]
        for item in entries[try find(batch)].items where item.state == .queued {
            found[item.request?.model ?? "", default: 0] += 1
        }
        return found
    }

    func pause(_ batch: BatchID, reason: String, at now: Timestamp) throws(JobQueueError) {
        let at = try find(batch)
        guard !entries[at].state.isTerminal else { throw .wrongState(batch, entries[at].state, "") }
        entries[at].pausedFor = reason
    }

    func resume(_ batch: BatchID, at now: Timestamp) throws(JobQueueError) {
        let at = try find(batch)
        entries[at].pausedFor = nil
    }

    func pause(at now: Timestamp) { isPaused = true }
    func resume(at now: Timestamp) { isPaused = false }

    func heartbeat(_ report: WorkerReport, at now: Timestamp) throws(JobQueueError) {
        try report.check()
        reports[report.name] = report
    }

    func workers(at now: Timestamp) -> [WorkerReport] {
        reports.values.filter { $0.forgetAt > now }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    func forget(worker: String) { reports[worker] = nil }

    func deadLetters(_ batch: BatchID, after ordinal: Int?, limit: Int) throws(JobQueueError) -> [DeadLetter] {
        let letters = entries[try find(batch)].items.enumerated().compactMap { at, item -> DeadLetter? in
            guard at > ordinal ?? -1, let end = item.end, let error = end.outcome.error,
                error.code == "attempts_exhausted", let request = item.request
            else { return nil }
            return DeadLetter(ordinal: at, request: request, attempt: item.attempt, settledAt: end.at, error: error)
        }
        return Array(letters.prefix(max(0, limit)))
    }
}
