import JobQueue
import Logging
import Scheduler

/// Following batches at upstreams, and settling what came of them.
extension UpstreamBatchWorker {
    func advance(_ record: UpstreamBatchRecord) async throws(JobQueueError) {
        guard let target = try await routing.target(named: record.target, owner: record.owner) else {
            log.warning("batch \(record.id ?? record.token): there is no backend \(record.target) any more")
            return
        }
        let client = UpstreamBatchClient(upstream: upstream, target: target)
        var record = record
        do {
            if record.id == nil {
                guard let found = try await client.find(record.token) else {
                    return try await giveBack(record, .handedBack)
                }
                record.id = found
                try await book.write(record)
            }
            guard let id = record.id else { return }
            let renewed = try await queue.renew(
                record.entries.map(\.lease), durationMs: settings.leaseMs, at: clock.now())
            if renewed.allSatisfy({ $0 == .lost }) {
                // Cancelled, or over: nobody waits for it.
                do throws(UpstreamBatchClient.Refusal) {
                    try await client.cancel(id)
                } catch {
                    // It may be over already.
                    guard error.isFinal || error.status == 409 else { throw error }
                }
                log.info("batch \(id) of \(record.target) is cancelled: none of its requests is wanted any more")
                return try await forget(record)
            }
            if let spending, let own = grants[record.token] {
                try await spending.book.renew(
                    own.compactMap(\.self), durationMs: settings.leaseMs, at: clock.now())
            }
            let state = try await client.state(id)
            guard state.isOver else { return }
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
        for file in [state.errorFile, state.outputFile].compactMap(\.self) {
            let found = UpstreamBatchFile.lines(try await client.content(file), count: record.entries.count)
            for line in found { lines[line.number] = line }
        }
        let now = clock.now()
        var settlements: [Settlement] = []
        var failures: [(lease: Lease, error: OutcomeError)] = []
        var spent: [(SpendBook.Grant?, Spending)] = []
        for (number, entry) in record.entries.enumerated() {
            let grant = grants[record.token]?[number]
            guard let line = lines[number] else {
                failures.append((entry.lease, Self.missing(number, state, record)))
                spent.append((grant, Spending()))
                continue
            }
            let (settlement, failure, cost) = take(line, entry, record)
            if let settlement { settlements.append(settlement) }
            if let failure { failures.append((entry.lease, failure)) }
            spent.append((grant, cost))
        }
        for start in stride(from: 0, to: settlements.count, by: 500) {
            let part = Array(settlements[start..<min(settlements.count, start + 500)])
            _ = try await queue.settle(part, at: now)
            Failpoint.hit("batch.settling")
        }
        for (lease, error) in failures {
            _ = try await queue.release([lease], reason: .failed(error, retryAfterMs: 1000), at: now)
        }
        try await settleSpending(spent)
        Failpoint.hit("batch.settled")
        let counts = "\(settlements.count) settled, \(failures.count) without a result"
        log.info("batch \(state.id) of \(record.target) is \(state.status): \(counts)")
        try await forget(record)
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

    func giveBack(_ record: UpstreamBatchRecord, _ reason: ReleaseReason) async throws(JobQueueError) {
        _ = try await queue.release(record.entries.map(\.lease), reason: reason, at: clock.now())
        try await settleSpending((grants[record.token] ?? []).map { ($0, Spending()) })
        try await forget(record)
    }

    private func forget(_ record: UpstreamBatchRecord) async throws(JobQueueError) {
        grants[record.token] = nil
        try await book.remove(record)
    }

    func settleSpending(_ spent: [(SpendBook.Grant?, Spending)]) async throws(JobQueueError) {
        let known = spent.compactMap { grant, actual in grant.map { (grant: $0, actual: actual) } }
        guard let spending, !known.isEmpty else { return }
        try await spending.book.settle(known, at: clock.now())
    }
}
