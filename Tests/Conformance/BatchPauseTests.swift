import JobQueue
import Testing

/// Pausing one batch, and leasing only from some.
@Suite struct BatchPauseTests {
    @Test(arguments: Store.all) func nothingOfAPausedBatchIsLeased(_ store: Store) async throws {
        try await store.test { queue in
            let paused = try await queue.submit(3)
            let other = try await queue.submit(2)
            let held = try await queue.lease(1, at: 1)
            #expect(held.first?.lease.key.batch == paused)
            try await queue.pause(paused, reason: "its cap is reached", at: 2)
            try await queue.pause(paused, reason: "its cap of $5 is reached", at: 2)
            #expect(try await queue.status(paused).pausedFor == "its cap of $5 is reached")
            #expect(try await queue.lease(9, at: 3).map(\.lease.key.batch) == [other, other])
            #expect(try await queue.settle(held[0], .text("a"), at: 4) == .done, "what is leased goes on")
            try await queue.resume(paused, at: 5)
            try await queue.resume(paused, at: 5)
            #expect(try await queue.status(paused).pausedFor == nil)
            #expect(try await queue.lease(9, at: 6).map(\.lease.key.ordinal) == [1, 2])
        }
    }

    @Test(arguments: Store.all) func aPausedBatchStillEnds(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(2, BatchSpecification(completionWindowMs: 100))
            try await queue.pause(batch, reason: "waits", at: 1)
            _ = try await queue.recover(at: 100)
            let status = try await queue.status(batch)
            #expect(status.state == .expired)
            #expect(status.pausedFor == nil)
            await expectFailure("wrongState") { try await queue.pause(batch, reason: "late", at: 101) }
            await expectFailure("unknownBatch") { try await queue.pause(BatchID("b"), reason: "none", at: 101) }
            await expectFailure("unknownBatch") { try await queue.resume(BatchID("b"), at: 101) }
        }
    }

    @Test(arguments: Store.all) func aClaimNamesItsBatches(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await queue.submit(100)
            let second = try await queue.submit(3)
            let third = try await queue.submit(3, BatchSpecification(tenant: "other"))
            func claim(_ batches: [BatchID], max: Int) -> LeaseClaim {
                LeaseClaim(worker: "w", maxRequests: max, batches: batches, durationMs: 1000)
            }
            #expect(try await queue.lease(claim([], max: 9), at: 1).isEmpty)
            #expect(try await queue.lease(claim([BatchID("none")], max: 9), at: 1).isEmpty)
            let one = try await queue.lease(claim([second], max: 2), at: 1)
            #expect(one.map(\.lease.key) == [0, 1].map { RequestKey(batch: second, ordinal: $0) })
            let both = try await queue.lease(claim([third, second], max: 9), at: 1)
            #expect(Set(both.map(\.lease.key.batch)) == [second, third])
            #expect(both.count == 4)
        }
    }
}
