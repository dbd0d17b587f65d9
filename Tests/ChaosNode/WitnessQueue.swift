import JobQueue
import Synchronization

/// A queue whose worker's calls are witnessed: what was asked before the call, what was answered after it.
final class WitnessQueue: JobQueue {
    private let base: any JobQueue
    private let witness: Witness
    /// Names this process.
    private let name: String
    private let calls = Mutex(0)

    init(_ base: any JobQueue, witness: Witness, name: String) {
        self.base = base
        self.witness = witness
        self.name = name
    }

    private func words(_ lease: Lease) -> String { "\(lease.key.batch) \(lease.key.ordinal) \(lease.attempt)" }

    private func answer(_ result: FencedResult) -> String { result == .done ? "done" : "lost" }

    func lease(_ claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> [LeasedRequest] {
        let call = calls.withLock { number in
            number += 1
            return number
        }
        witness.note("ask", name, "\(call)")
        let leased = try await base.lease(claim, at: now)
        for one in leased {
            witness.note("begin", name, "\(call)", words(one.lease), one.request.customID, "\(one.crashes)")
        }
        return leased
    }

    func settle(_ settlements: [Settlement], at now: Timestamp) async throws(JobQueueError) -> [FencedResult] {
        for one in settlements {
            let what: String =
                switch one.outcome.result {
                case .response(let status, let body): "\(status) \(crc32(body))"
                case .error(let error): "\(error.statusCode) \(error.code)"
                }
            let usage = one.outcome.usage
            witness.note(
                "compute", name, words(one.lease), what, "\(usage.promptTokens)", "\(usage.completionTokens)")
        }
        let results = try await base.settle(settlements, at: now)
        for (one, result) in zip(settlements, results) { witness.note(answer(result), name, words(one.lease)) }
        return results
    }

    func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    {
        for lease in leases { witness.note("release", name, words(lease)) }
        let results = try await base.release(leases, reason: reason, at: now)
        for (lease, result) in zip(leases, results) {
            witness.note("released", name, words(lease), answer(result))
        }
        return results
    }

    func cancel(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        witness.note("cancel", name, batch.value)
        try await base.cancel(batch, at: now)
        witness.note("cancelled", name, batch.value)
    }

    func open(_ specification: BatchSpecification, at now: Timestamp) async throws(JobQueueError) -> BatchID {
        let key = specification.idempotencyKey ?? "-"
        witness.note("open", name, key)
        let batch = try await base.open(specification, at: now)
        witness.note("opened", name, key, batch.value)
        return batch
    }

    func append(_ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp)
        async throws(JobQueueError)
    {
        try await base.append(requests, to: batch, from: ordinal, at: now)
        witness.note("appended", name, batch.value, "\(ordinal + requests.count)")
    }

    func seal(_ batch: BatchID, total: Int, at now: Timestamp) async throws(JobQueueError) {
        witness.note("seal", name, batch.value, "\(total)")
        try await base.seal(batch, total: total, at: now)
        witness.note("sealed", name, batch.value, "\(total)")
    }

    // MARK: Passed on

    func hasWork(for claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> Bool {
        try await base.hasWork(for: claim, at: now)
    }

    func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    { try await base.renew(leases, durationMs: durationMs, at: now) }

    func recover(at now: Timestamp) async throws(JobQueueError) -> Int { try await base.recover(at: now) }
    func status(_ batch: BatchID) async throws(JobQueueError) -> BatchStatus { try await base.status(batch) }

    func backlog(_ batch: BatchID) async throws(JobQueueError) -> [String: Int] { try await base.backlog(batch) }

    func list(tenant: String?, limit: Int) async throws(JobQueueError) -> [BatchStatus] {
        try await base.list(tenant: tenant, limit: limit)
    }

    func results(_ batch: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder)
        async throws(JobQueueError) -> [ResultRecord]
    { try await base.results(batch, after: cursor, limit: limit, order: order) }

    func deadLetters(_ batch: BatchID, after ordinal: Int?, limit: Int)
        async throws(JobQueueError) -> [DeadLetter]
    { try await base.deadLetters(batch, after: ordinal, limit: limit) }

    func pause(at now: Timestamp) async throws(JobQueueError) { try await base.pause(at: now) }
    func resume(at now: Timestamp) async throws(JobQueueError) { try await base.resume(at: now) }

    func overview(at now: Timestamp) async throws(JobQueueError) -> QueueOverview {
        try await base.overview(at: now)
    }

    func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord] { try await base.usage(query) }

    func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError) {
        try await base.heartbeat(report, at: now)
    }

    func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport] {
        try await base.workers(at: now)
    }

    func forget(worker: String) async throws(JobQueueError) { try await base.forget(worker: worker) }
    func close() async throws(JobQueueError) { try await base.close() }
}
