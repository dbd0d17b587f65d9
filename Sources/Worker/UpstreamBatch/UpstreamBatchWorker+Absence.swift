import JobQueue
import Logging
import Scheduler

/// Batches that cannot be followed to their end.
extension UpstreamBatchWorker {
    /// An upstream may say for a moment that it has not what it has; what it says all the time is so. Nobody knows then
    /// what was computed: the requests go again, and count as having cost what was set aside for them.
    func miss(_ record: UpstreamBatchRecord, _ refusal: UpstreamBatchClient.Refusal) async throws(JobQueueError) {
        guard try await isGone(record, refusal) else { return }
        let name = record.id ?? record.token
        log.error("batch \(name) is given up, its requests go again: \(refusal)")
        let error = OutcomeError(
            code: "upstream_batch_gone", message: "its batch \(name) is gone: \(refusal)", statusCode: 502)
        try await giveBack(record, .failed(error, retryAfterMs: 1000), costs: record.payers?.map(\.reserved))
    }

    /// Notes that the upstream says so. True: it has for long enough, and the record is still ours.
    func isGone(
        _ record: UpstreamBatchRecord, _ refusal: UpstreamBatchClient.Refusal
    ) async throws(JobQueueError) -> Bool {
        let now = clock.now().milliseconds
        let since = record.absentSince ?? now
        let isOurs = try await book.update(record) { $0.absentSince = since }
        if isOurs, now - since >= settings.absentMs { return true }
        log.warning("batch \(record.id ?? record.token): \(refusal); looking again later")
        return false
    }

    /// Its upstream cannot be asked. The leases are not renewed meanwhile: when they have lapsed, the requests are
    /// others' and the record is of no use. What is set aside lapses, too, and counts as spent.
    func leave(_ record: UpstreamBatchRecord) async throws(JobQueueError) {
        let (name, now) = (record.id ?? record.token, clock.now().milliseconds)
        guard let since = record.orphanedAt else {
            log.error("""
                batch \(name): there is no backend \(record.target) any more, or no key for it; bring it back within \
                \(settings.leaseMs / 60_000) minutes to have its results, or its requests go again
                """)
            _ = try await book.update(record) { $0.orphanedAt = now }
            return
        }
        guard now - since > settings.leaseMs, try await book.forget(record, orphanedSince: since) else { return }
        log.error("batch \(name) of \(record.target) is given up; its files stay there")
    }
}
