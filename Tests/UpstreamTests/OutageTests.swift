import Foundation
import JSON
import JobQueue
import Logging
import Synchronization
import Testing

@testable import Worker

/// The store is away for a while: what upstreams answered meanwhile is kept, and settled once.
@Suite struct OutageTests {
    /// A queue whose calls fail while it is out.
    final class FlakyQueue: JobQueue {
        private let inner: SQLiteQueue
        private let state = Mutex((isOut: false, failed: 0))

        init(_ inner: SQLiteQueue) { self.inner = inner }

        var isOut: Bool {
            get { state.withLock { $0.isOut } }
            set { state.withLock { $0.isOut = newValue } }
        }

        var failedCalls: Int { state.withLock { $0.failed } }

        private func pass() throws(JobQueueError) {
            let isOut = state.withLock { state in
                if state.isOut { state.failed += 1 }
                return state.isOut
            }
            if isOut { throw .unavailable("a test has pulled the plug") }
        }

        func open(_ specification: BatchSpecification, at now: Timestamp) async throws(JobQueueError) -> BatchID {
            try await inner.open(specification, at: now)
        }
        func append(
            _ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp
        ) async throws(JobQueueError) { try await inner.append(requests, to: batch, from: ordinal, at: now) }
        func seal(_ batch: BatchID, total: Int, at now: Timestamp) async throws(JobQueueError) {
            try await inner.seal(batch, total: total, at: now)
        }
        func lease(_ claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> [LeasedRequest] {
            try pass()
            return try await inner.lease(claim, at: now)
        }
        func hasWork(for claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> Bool {
            try pass()
            return try await inner.hasWork(for: claim, at: now)
        }
        func renew(
            _ leases: [Lease], durationMs: Int64, at now: Timestamp
        ) async throws(JobQueueError) -> [FencedResult] {
            try pass()
            return try await inner.renew(leases, durationMs: durationMs, at: now)
        }
        func settle(_ settlements: [Settlement], at now: Timestamp) async throws(JobQueueError) -> [FencedResult] {
            try pass()
            return try await inner.settle(settlements, at: now)
        }
        func release(
            _ leases: [Lease], reason: ReleaseReason, at now: Timestamp
        ) async throws(JobQueueError) -> [FencedResult] {
            try pass()
            return try await inner.release(leases, reason: reason, at: now)
        }
        func recover(at now: Timestamp) async throws(JobQueueError) -> Int {
            try pass()
            return try await inner.recover(at: now)
        }
        func cancel(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
            try await inner.cancel(batch, at: now)
        }
        func status(_ batch: BatchID) async throws(JobQueueError) -> BatchStatus { try await inner.status(batch) }
        func list(tenant: String?, limit: Int) async throws(JobQueueError) -> [BatchStatus] {
            try await inner.list(tenant: tenant, limit: limit)
        }
        func results(
            _ batch: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder
        ) async throws(JobQueueError) -> [ResultRecord] {
            try await inner.results(batch, after: cursor, limit: limit, order: order)
        }
        func overview(at now: Timestamp) async throws(JobQueueError) -> QueueOverview {
            try pass()
            return try await inner.overview(at: now)
        }
        func deadLetters(
            _ batch: BatchID, after ordinal: Int?, limit: Int
        ) async throws(JobQueueError) -> [DeadLetter] {
            try await inner.deadLetters(batch, after: ordinal, limit: limit)
        }
        func pause(at now: Timestamp) async throws(JobQueueError) { try await inner.pause(at: now) }
        func resume(at now: Timestamp) async throws(JobQueueError) { try await inner.resume(at: now) }
        func pause(_ batch: BatchID, reason: String, at now: Timestamp) async throws(JobQueueError) {
            try await inner.pause(batch, reason: reason, at: now)
        }
        func resume(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
            try await inner.resume(batch, at: now)
        }
        func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord] { try await inner.usage(query) }
        func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError) {
            try pass()
            try await inner.heartbeat(report, at: now)
        }
        func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport] {
            try await inner.workers(at: now)
        }
        func forget(worker: String) async throws(JobQueueError) { try await inner.forget(worker: worker) }
        func close() async throws(JobQueueError) { try await inner.close() }
    }

    private func worker(
        _ bed: ForwardingBed, _ queue: FlakyQueue, _ inbox: UpstreamWorker.Inbox, outlasts: Bool
    ) -> UpstreamWorker {
        var settings = bed.settings
        settings.outlastsOutages = outlasts
        let lines = bed.log
        return UpstreamWorker(
            settings, inbox: inbox, queue: queue, upstream: bed.client,
            routing: SingleRoute(UpstreamChoice(target: bed.target())), clock: bed.clock,
            log: Logger(label: "test") { _ in SaidLines.Handler(lines: lines) })
    }

    @Test func answersOutlastTheStore() async throws {
        // Everything that was leased is answered while the store is out.
        let bed = try await ForwardingBed(["rules": [["do": "status", "status": 503, "every": 7, "times": 3]]])
        let batch = try await bed.submit(ForwardingTests.chats(150))
        let queue = FlakyQueue(bed.queue)
        let inbox = UpstreamWorker.Inbox()
        let worker = worker(bed, queue, inbox, outlasts: true)
        async let work = worker.run(.batch(batch))
        while inbox.figures.answered < 20 { await Task.yield() }
        queue.isOut = true
        while queue.failedCalls < 10 { await Task.yield() }
        queue.isOut = false
        #expect(try await work == .reachedGoal)
        let results = try await bed.results(batch)
        #expect(results.count == 150)
        #expect(results.allSatisfy { $0.state == .completed })
        // Nothing that was answered was asked again.
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
        #expect(bed.log.all.filter { $0.contains("does not answer") }.count >= 1)
    }

    @Test func aRunEndsWithItsStore() async throws {
        let bed = try await ForwardingBed()
        let batch = try await bed.submit(ForwardingTests.chats(10))
        let queue = FlakyQueue(bed.queue)
        queue.isOut = true
        await #expect(throws: JobQueueError.self) {
            try await worker(bed, queue, .init(), outlasts: false).run(.batch(batch))
        }
    }
}
