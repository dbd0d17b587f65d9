import JobQueue
import Logging
import Scheduler

/// Following batches at upstreams, and settling what came of them.
extension UpstreamBatchWorker {
    func advance(_ record: UpstreamBatchRecord) async throws(JobQueueError) {
        guard let target = try await routing.target(named: record.target, owner: record.owner) else {
            return try await leave(record)
        }
        let client = UpstreamBatchClient(upstream: upstream, target: target)
        if record.leftFiles != nil { return try await deleteFiles(record, client) }
        var record = record
        do {
            if record.orphanedAt != nil {
                guard try await book.update(record, { $0.orphanedAt = nil }) else { return }
            }
            if record.id == nil {
                guard let found = try await client.find(record.token) else {
                    return try await giveBack(record, .handedBack)
                }
                record.id = found
                guard try await book.update(record, { $0.id = found }) else { return }
            }
            guard let id = record.id else { return }
            let renewed = try await queue.renew(
                record.entries.map(\.lease), durationMs: settings.leaseMs, at: clock.now())
            try await book.renew(record, durationMs: settings.leaseMs, at: clock.now())
            let state: UpstreamBatchClient.State
            do throws(UpstreamBatchClient.Refusal) { state = try await client.state(id) } catch {
                guard error.isAbsence else { throw error }
                return try await miss(record, error)
            }
            guard state.isOver else {
                if record.absentSince != nil {
                    guard try await book.update(record, { $0.absentSince = nil }) else { return }
                }
                // Cancelled here, or over: nobody waits for it. What it did compute is paid for in the end.
                if renewed.allSatisfy({ $0 == .lost }), state.status != "cancelling" {
                    log.info("batch \(id) of \(record.target): none of its requests is wanted any more")
                    try await client.cancel(id)
                }
                return
            }
            try await settle(record, state, client)
        } catch let error as UpstreamBatchClient.Refusal {
            log.warning("batch \(record.id ?? record.token): \(error); looking again later")
        } catch let error as JobQueueError {
            throw error
        } catch {
            throw .unusableStore("\(error)")
        }
    }

    private func settle(
        _ record: UpstreamBatchRecord, _ state: UpstreamBatchClient.State, _ client: UpstreamBatchClient
    ) async throws {
        var lines: [Int: UpstreamBatchFile.Line] = [:]
        var absence: UpstreamBatchClient.Refusal?
        for file in [state.errorFile, state.outputFile].compactMap(\.self) {
            do throws(UpstreamBatchClient.Refusal) {
                let found = UpstreamBatchFile.lines(try await client.content(file), count: record.entries.count)
                for line in found { lines[line.number] = line }
            } catch {
                guard error.isAbsence else { throw error }
                absence = error
            }
        }
        if let absence {
            guard try await isGone(record, absence) else { return }
            log.error("batch \(state.id): results are given up: \(absence)")
        }
        let now = clock.now()
        var settlements: [Settlement] = []
        var failures: [(lease: Lease, error: OutcomeError)] = []
        var costs = Array(repeating: Spending(), count: record.payers?.count ?? 0)
        var unknown: Set<Int> = []
        for (number, entry) in record.entries.enumerated() {
            guard let line = lines[number] else {
                failures.append((entry.lease, Self.missing(number, state, record)))
                if absence != nil, let payer = entry.payer { unknown.insert(payer) }
                continue
            }
            let (settlement, failure, cost) = take(line, entry, record)
            if let settlement { settlements.append(settlement) }
            if let failure { failures.append((entry.lease, failure)) }
            if let payer = entry.payer, costs.indices.contains(payer) { costs[payer] += cost }
        }
        // What nobody can tell the cost of counts as having cost what was set aside.
        for payer in unknown where costs.indices.contains(payer) {
            costs[payer] = record.payers?[payer].reserved ?? costs[payer]
        }
        for start in stride(from: 0, to: settlements.count, by: 500) {
            let part = Array(settlements[start..<min(settlements.count, start + 500)])
            _ = try await queue.settle(part, at: now)
            Failpoint.hit("batch.settling")
        }
        for (lease, error) in failures {
            _ = try await queue.release([lease], reason: .failed(error, retryAfterMs: 1000), at: now)
            Failpoint.hit("batch.released")
        }
        let files = [record.inputFile ?? state.inputFile, state.outputFile, state.errorFile].compactMap(\.self)
        try await end(record, costs, files, client)
        let counts = "\(settlements.count) settled, \(failures.count) without a result"
        log.info("batch \(state.id) of \(record.target) is \(state.status): \(counts)")
    }

    /// What a line means for its request.
    private func take(
        _ line: UpstreamBatchFile.Line, _ entry: UpstreamBatchRecord.Entry, _ record: UpstreamBatchRecord
    ) -> (Settlement?, OutcomeError?, Spending) {
        let reply = UpstreamReply(status: line.status, body: line.body)
        switch UpstreamVerdict(reply, backend: record.target, model: record.model, isMapped: entry.isMapped) {
        case .answered(let plain):
            let answer = spending?.priced(plain, backend: record.target, model: record.model) ?? plain
            let outcome = Outcome(
                result: .response(statusCode: 200, body: answer.body), usage: answer.usage, backend: record.target,
                timings: answer.timings(waitedMs: 0, transfer: UpstreamTimings()))
            return (Settlement(lease: entry.lease, outcome: outcome), nil, Spending(answer.usage))
        case .refused(let error):
            let outcome = Outcome(result: .error(error), backend: record.target)
            return (Settlement(lease: entry.lease, outcome: outcome), nil, Spending())
        case .later(let error, _), .broken(let error, _), .parked(let error, _): return (nil, error, Spending())
        }
    }

    private static func missing(
        _ number: Int, _ state: UpstreamBatchClient.State, _ record: UpstreamBatchRecord
    ) -> OutcomeError {
        let own = state.errors.first { $0.line == number + 1 } ?? state.errors.first
        let why = own.map { ": \($0.message)" } ?? ""
        return OutcomeError(
            code: "upstream_batch_\(state.status)",
            message: "\(record.target): its batch \(state.id) is \(state.status) without a result for this line\(why)",
            statusCode: 502)
    }

    // MARK: Ending

    /// - Parameter costs: by payer; nil: nothing.
    func giveBack(
        _ record: UpstreamBatchRecord, _ reason: ReleaseReason, costs: [Spending]? = nil
    ) async throws(JobQueueError) {
        _ = try await queue.release(record.entries.map(\.lease), reason: reason, at: clock.now())
        let costs = costs ?? Array(repeating: Spending(), count: record.payers?.count ?? 0)
        guard let target = try await routing.target(named: record.target, owner: record.owner) else {
            _ = try await book.end(record, costs: costs, leaving: [], at: clock.now())
            return
        }
        let client = UpstreamBatchClient(upstream: upstream, target: target)
        try await end(record, costs, [record.inputFile].compactMap(\.self), client)
    }

    /// What the requests did cost is settled once, and in the same step the record becomes one of files to delete.
    private func end(
        _ record: UpstreamBatchRecord, _ costs: [Spending], _ files: [String], _ client: UpstreamBatchClient
    ) async throws(JobQueueError) {
        let files = client.target.keepsFiles ? [] : files
        guard try await book.end(record, costs: costs, leaving: files, at: clock.now()) else { return }
        Failpoint.hit("batch.settled")
        if files.isEmpty { return }
        var record = record
        record.leftFiles = files
        try await deleteFiles(record, client)
    }

    /// Nothing depends on it: what cannot be deleted is tried again for a while, then said.
    private func deleteFiles(
        _ record: UpstreamBatchRecord, _ client: UpstreamBatchClient
    ) async throws(JobQueueError) {
        var left: [String] = []
        var why: UpstreamBatchClient.Refusal?
        for file in record.leftFiles ?? [] {
            do throws(UpstreamBatchClient.Refusal) {
                try await client.delete(file)
                Failpoint.hit("batch.deleted")
            } catch {
                left.append(file)
                why = error
            }
        }
        guard let why else { return try await book.remove(record) }
        let tries = (record.deletions ?? 0) + 1
        let names = left.joined(separator: ", ")
        if why.isFinal || tries >= Self.maxDeletions {
            log.error("files stay at \(record.target), delete them there: \(names): \(why)")
            return try await book.remove(record)
        }
        log.warning("files could not be deleted, trying again: \(names): \(why)")
        _ = try await book.update(record) { [left] known in
            known.leftFiles = left
            known.deletions = tries
        }
    }

    private static let maxDeletions = 20
}
