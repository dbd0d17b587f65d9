/// Stands in for what a store does not do yet.
extension JobQueue {
    package func lease(max: Int, worker: String, durationMs: Int64, at now: Timestamp)
        async throws(JobQueueError) -> [LeasedRequest]
    { try await lease(LeaseClaim(worker: worker, maxRequests: max, durationMs: durationMs), at: now) }

    package func list(limit: Int) async throws(JobQueueError) -> [BatchStatus] {
        try await list(tenant: nil, limit: limit)
    }

    package func deadLetters(_ batch: BatchID, after ordinal: Int?, limit: Int)
        async throws(JobQueueError) -> [DeadLetter]
    { throw .invalidArgument("this store keeps no dead letters") }

    package func pause(at now: Timestamp) async throws(JobQueueError) {
        throw .invalidArgument("this store cannot be paused")
    }

    package func resume(at now: Timestamp) async throws(JobQueueError) {
        throw .invalidArgument("this store cannot be paused")
    }

    package func overview(at now: Timestamp) async throws(JobQueueError) -> QueueOverview {
        throw .invalidArgument("this store gives no overview")
    }

    package func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord] {
        throw .invalidArgument("this store keeps no ledger")
    }

    package func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError) {}
    package func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport] { [] }
    package func forget(worker: String) async throws(JobQueueError) {}
}
