import JobQueue
import Logging
import Scheduler

/// Batches that cannot be followed to their end.
extension UpstreamBatchWorker {
    /// An upstream may say so for a moment after a batch has ended; what it says again and again is so. Nobody knows
    /// then what was computed: the requests go again, and count as having cost what was set aside for them.
    func miss(_ record: UpstreamBatchRecord, _ refusal: UpstreamBatchClient.Refusal) async throws(JobQueueError) {
        let (name, seen) = (record.id ?? record.token, (record.absences ?? 0) + 1)
        guard seen >= Self.maxAbsences else {
            log.warning("batch \(name): \(refusal); looking again later")
            _ = try await book.update(record) { $0.absences = seen }
            return
        }
        log.error("batch \(name) is given up after \(seen) looks, its requests go again: \(refusal)")
        let error = OutcomeError(
            code: "upstream_batch_gone", message: "its batch \(name) or the results are gone: \(refusal)",
            statusCode: 502)
        try await giveBack(
            record, .failed(error, retryAfterMs: 1000), costs: record.payers?.map(\.reserved))
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
        guard now - since > settings.leaseMs else { return }
        log.error("batch \(name) of \(record.target) is given up; its files stay there")
        try await book.remove(record)
    }

    private static let maxAbsences = 20
}
