import JobQueue
import Testing

/// Release, recover, expiry, dead letters.
@Suite struct RetryingTests {
    private let overloaded = OutcomeError(code: "overloaded", message: "try later", parameter: "p", statusCode: 503)

    @Test(arguments: Store.all)
    func handedBackRequestsAreNotCounted(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(2, BatchSpecification(maxAttempts: 1))
            for attempt in 1...5 {
                let leased = try await queue.lease(1, at: 0)
                #expect(leased.map(\.lease) == [Lease(key: RequestKey(batch: batch, ordinal: 0), attempt: attempt)])
                #expect(try await queue.release(leased.map(\.lease), reason: .handedBack, at: 0) == [.done])
                #expect(try await queue.counts(batch) == BatchCounts(total: 2, queued: 2))
            }
        }
    }

    @Test(arguments: Store.all)
    func aFailedAttemptWaits(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(3)
            let leased = try await queue.lease(3, at: 0)
            let delays: [Int64] = [500, 0, .max]
            for (request, delay) in zip(leased, delays) {
                let reason = ReleaseReason.failed(overloaded, retryAfterMs: delay)
                #expect(try await queue.release([request.lease], reason: reason, at: 1000) == [.done])
            }
            #expect(try await queue.counts(batch) == BatchCounts(total: 3, queued: 3))
            #expect(try await queue.lease(9, at: 1499).map(\.lease.key.ordinal) == [1])
            let due = try await queue.lease(9, at: 1500)
            #expect(due.map(\.lease) == [Lease(key: RequestKey(batch: batch, ordinal: 0), attempt: 2)])
            #expect(try await queue.lease(9, at: 9_000_000_000_000).isEmpty)
        }
    }

    @Test(arguments: Store.all)
    func failuresUseUpTheAttempts(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(2, BatchSpecification(maxAttempts: 3))
            // Of one request: an error, a hand-back, a lost lease, an error.
            for time in [Timestamp(0), 10, 20, 30] {
                let leased = try await queue.lease(1, at: time, forMs: 5)
                #expect(leased[0].lease.key.ordinal == 0)
                switch time {
                case 10: _ = try await queue.release([leased[0].lease], reason: .handedBack, at: time)
                case 20: #expect(try await queue.recover(at: 25) == 1)
                default:
                    let reason = ReleaseReason.failed(overloaded, retryAfterMs: 0)
                    _ = try await queue.release([leased[0].lease], reason: reason, at: time)
                }
            }
            let dead = try await queue.all(batch)
            #expect(dead.map(\.ordinal) == [0])
            #expect(dead[0].attempt == 4)
            #expect(dead[0].state == .failed)
            let error = try #require(dead[0].outcome.error)
            #expect(error.code == "attempts_exhausted")
            #expect(error.message.contains("overloaded: try later"))
            #expect(error.statusCode == 503)
            #expect(error.parameter == "p")
            // The neighbour is not touched, and the batch ends with it.
            let other = try await queue.lease(5, at: 40)
            #expect(other.map(\.lease.key.ordinal) == [1])
            #expect(try await queue.settle(other[0], .text("t"), at: 41) == .done)
            #expect(try await queue.status(batch).state == .completed)
        }
    }

    @Test(arguments: Store.all)
    func requestsThatKillWorkersAreDeadLettered(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(2, BatchSpecification(maxAttempts: 2))
            #expect(try await queue.lease(2, at: 0, forMs: 10).count == 2)
            #expect(try await queue.recover(at: 9) == 0)
            #expect(try await queue.recover(at: 10) == 2)
            #expect(try await queue.recover(at: 10) == 0)
            #expect(try await queue.lease(2, at: 10, forMs: 10).map(\.lease.attempt) == [2, 2])
            #expect(try await queue.recover(at: 1000) == 2)
            let status = try await queue.status(batch)
            #expect(status.state == .completed)
            #expect(status.counts == BatchCounts(total: 2, failed: 2))
            #expect(status.endedAt == 1000)
            #expect(try await queue.all(batch).allSatisfy { $0.outcome.error?.code == "attempts_exhausted" })
        }
    }

    @Test(arguments: Store.all)
    func batchesExpireAfterTheirWindow(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(4, BatchSpecification(completionWindowMs: 100), at: 0)
            let endless = try await queue.submit(1)
            let leased = try await queue.lease(2, at: 50, forMs: 1000)
            #expect(try await queue.settle(leased[0], .text("t"), at: 60) == .done)
            #expect(try await queue.recover(at: 99) == 0)
            #expect(try await queue.lease(1, at: 99, forMs: 1000).map(\.lease.key.batch) == [batch])
            // Past its window nothing of it starts, recovered or not.
            #expect(try await queue.lease(9, at: 100, forMs: 1000).map(\.lease.key.batch) == [endless])
            #expect(try await queue.recover(at: 100) == 3)
            let status = try await queue.status(batch)
            #expect(status.state == .expired)
            #expect(status.counts == BatchCounts(total: 4, completed: 1, expired: 3))
            #expect(status.endedAt == 100)
            #expect(try await queue.settle(leased[1], .text("late"), at: 101) == .lost)
            let read = try await queue.all(batch)
            #expect(read.map(\.state) == [.completed, .expired, .expired, .expired])
            #expect(read.map(\.attempt) == [1, 1, 1, 0])
            #expect(read[1...].allSatisfy { $0.outcome.error?.code == "expired" })
            #expect(try await queue.recover(at: 9_000) == 1)
        }
    }

    @Test(arguments: Store.all)
    func aBatchThatIsDoneInTimeNeverExpires(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(1, BatchSpecification(completionWindowMs: 10), at: 0)
            let open = try await queue.open(BatchSpecification(completionWindowMs: 10), at: 0)
            let leased = try await queue.lease(1, at: 0)
            // Past the window, but nobody had expired it.
            #expect(try await queue.settle(leased[0], .text("t"), at: 20) == .done)
            #expect(try await queue.recover(at: 30) == 0)
            #expect(try await queue.status(batch).state == .completed)
            // The window begins with the acceptance.
            #expect(try await queue.status(open).state == .validating)
        }
    }

    @Test(arguments: Store.all)
    func hugeDurationsAreAsGoodAsForever(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(1, BatchSpecification(completionWindowMs: .max), at: 5)
            let leased = try await queue.lease(1, at: 5, forMs: .max)
            #expect(try await queue.renew(leased.map(\.lease), durationMs: .max, at: 9) == [.done])
            #expect(try await queue.recover(at: 9_000_000_000_000) == 0)
            #expect(try await queue.counts(batch).leased == 1)
        }
    }
}
