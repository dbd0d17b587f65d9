/// Shorter ways to say the calls that most say.
extension JobQueue {
    package func lease(max: Int, worker: String, durationMs: Int64, at now: Timestamp)
        async throws(JobQueueError) -> [LeasedRequest]
    { try await lease(LeaseClaim(worker: worker, maxRequests: max, durationMs: durationMs), at: now) }

    package func pause(_ batch: BatchID, reason: String, at now: Timestamp) async throws(JobQueueError) {
        throw .invalidArgument("this store cannot pause a single batch")
    }

    package func resume(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        throw .invalidArgument("this store cannot pause a single batch")
    }

    package func backlog(_ batch: BatchID) async throws(JobQueueError) -> [String: Int] {
        throw .invalidArgument("this store does not know a batch's models")
    }

    package func list(limit: Int) async throws(JobQueueError) -> [BatchStatus] {
        try await list(tenant: nil, limit: limit)
    }
}
