import JobQueue
import Synchronization

/// A real queue that can go away, and that remembers what was asked of it.
final class ShakyQueue: JobQueue {
    struct State {
        var outage: JobQueueError?
        var claims: [LeaseClaim] = []
        var reports: [WorkerReport] = []
        var forgotten: [String] = []
        /// Most requests that were leased at one time.
        var mostLeased = 0
        var leasedNow: Set<RequestKey> = []
        /// Leases of `custom_id`s, with how many others were leased then.
        var companyOf: [String: [Int]] = [:]
        var settledGroups: [Int] = []
        /// Settlements of these ordinals cannot be stored.
        var indigestible: Set<Int> = []
        var failures = 0
    }

    let base: SQLiteQueue
    private let shared = Mutex(State())

    init() throws { base = try SQLiteQueue.temporary() }

    var state: State { shared.withLock { $0 } }
    func change(_ body: (inout State) -> Void) { shared.withLock { body(&$0) } }
    func goAway() { change { $0.outage = .unavailable("the store is away") } }
    func comeBack() { change { $0.outage = nil } }

    private func check() throws(JobQueueError) {
        let outage = shared.withLock { state in
            if state.outage != nil { state.failures += 1 }
            return state.outage
        }
        if let outage { throw outage }
    }

    func lease(_ claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> [LeasedRequest] {
        try check()
        let leased = try await base.lease(claim, at: now)
        shared.withLock { state in
            state.claims.append(claim)
            for one in leased { state.leasedNow.insert(one.lease.key) }
            state.mostLeased = max(state.mostLeased, state.leasedNow.count)
        }
        return leased
    }

    func hasWork(for claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> Bool {
        try check()
        return try await base.hasWork(for: claim, at: now)
    }

    func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    {
        try check()
        return try await base.renew(leases, durationMs: durationMs, at: now)
    }

    func settle(_ settlements: [Settlement], at now: Timestamp) async throws(JobQueueError) -> [FencedResult] {
        try check()
        let bad = state.indigestible
        if settlements.contains(where: { $0.outcome.error == nil && bad.contains($0.lease.key.ordinal) }) {
            throw .invalidArgument("too much of a good thing")
        }
        let results = try await base.settle(settlements, at: now)
        change { state in
            state.settledGroups.append(settlements.count)
            for settlement in settlements { state.leasedNow.remove(settlement.lease.key) }
        }
        return results
    }

    func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    {
        try check()
        let results = try await base.release(leases, reason: reason, at: now)
        change { state in for lease in leases { state.leasedNow.remove(lease.key) } }
        return results
    }

    func recover(at now: Timestamp) async throws(JobQueueError) -> Int {
        try check()
        return try await base.recover(at: now)
    }

    func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError) {
        try check()
        change { $0.reports.append(report) }
    }

    func forget(worker: String) async throws(JobQueueError) {
        try check()
        change { $0.forgotten.append(worker) }
    }

    func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport] {
        try check()
        return state.reports.last.map { [$0] } ?? []
    }

    func status(_ batch: BatchID) async throws(JobQueueError) -> BatchStatus {
        try check()
        return try await base.status(batch)
    }

    func open(_ specification: BatchSpecification, at now: Timestamp) async throws(JobQueueError) -> BatchID {
        try await base.open(specification, at: now)
    }

    func append(_ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp)
        async throws(JobQueueError)
    { try await base.append(requests, to: batch, from: ordinal, at: now) }

    func seal(_ batch: BatchID, total: Int, at now: Timestamp) async throws(JobQueueError) {
        try await base.seal(batch, total: total, at: now)
    }

    func cancel(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        try await base.cancel(batch, at: now)
    }

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
        try check()
        return try await base.overview(at: now)
    }

    func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord] { try await base.usage(query) }
    func close() async throws(JobQueueError) { try await base.close() }
}
