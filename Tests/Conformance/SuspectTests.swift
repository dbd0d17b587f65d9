import JobQueue
import Testing

/// Requests that crashed workers are leased one at a time, to those who ask for that (I7).
@Suite struct SuspectTests {
    private func claim(
        _ suspects: LeaseClaim.Suspects, _ max: Int = 99, models: [String]? = nil, batches: [BatchID]? = nil
    ) -> LeaseClaim {
        LeaseClaim(
            worker: "w", maxRequests: max, maxTokens: nil, models: models, batches: batches, durationMs: 10,
            suspects: suspects)
    }

    /// Leases what is leasable `times` times with workers that die, but for what is not of `ordinals`.
    private func crash(
        _ queue: any JobQueue, _ ordinals: Set<Int>, times: Int = 2, at start: Timestamp = 0
    ) async throws {
        for round in 0..<times {
            let now = start + Int64(round) * 10
            let leased = try await queue.lease(claim(.mixed, 9_999), at: now)
            let others = leased.map(\.lease).filter { !ordinals.contains($0.key.ordinal) }
            _ = try await queue.release(others, reason: .handedBack, at: now)
            #expect(try await queue.recover(at: now + 10) == leased.count - others.count)
        }
    }

    private func ordinals(_ leased: [LeasedRequest]) -> [Int] { leased.map(\.lease.key.ordinal) }

    @Test(arguments: Store.all)
    func areLeasedAloneAndOnlyWhenAskedFor(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(6, BatchSpecification(maxAttempts: 9))
            #expect(try await queue.lease(claim(.one), at: 0).isEmpty)
            #expect(try await !queue.hasWork(for: claim(.one), at: 0))
            try await crash(queue, [0, 2, 5], times: 1)
            // Once may be a coincidence.
            #expect(try await !queue.hasWork(for: claim(.one), at: 20))
            try await crash(queue, [0, 2], times: 1, at: 20)
            #expect(try await queue.hasWork(for: claim(.one), at: 40))
            #expect(try await !queue.hasWork(for: claim(.one, 0), at: 40))
            // Looking takes nothing.
            #expect(try await queue.counts(batch) == BatchCounts(total: 6, queued: 6))
            let others = try await queue.lease(claim(.none), at: 40)
            #expect(ordinals(others) == [1, 3, 4, 5])
            #expect(try await !queue.hasWork(for: claim(.none), at: 40))
            for ordinal in [0, 2] {
                let alone = try await queue.lease(claim(.one), at: 40)
                #expect(ordinals(alone) == [ordinal])
                #expect(alone[0].crashes == 2)
                #expect(try await queue.settle(alone[0], .text("innocent"), at: 41) == .done)
            }
            #expect(try await !queue.hasWork(for: claim(.one), at: 42))
            #expect(try await queue.lease(claim(.one), at: 42).isEmpty)
            for one in others { _ = try await queue.settle(one, .text("t"), at: 43) }
            #expect(try await queue.status(batch).state == .completed)
        }
    }

    @Test(arguments: Store.all)
    func areLikeOthersForWorkersThatDoNotCare(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await queue.submit(5, BatchSpecification(maxAttempts: 9))
            try await crash(queue, [0, 3])
            #expect(try await queue.hasWork(for: claim(.mixed), at: 40))
            #expect(ordinals(try await queue.lease(claim(.mixed), at: 40)) == [0, 1, 2, 3, 4])
        }
    }

    @Test(arguments: Store.all)
    func staySuspectsWhenHandedBackOrDelayed(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await queue.submit(2, BatchSpecification(maxAttempts: 9))
            try await crash(queue, [0])
            let first = try await queue.lease(claim(.one), at: 40)
            _ = try await queue.release(first.map(\.lease), reason: .handedBack, at: 41)
            let second = try await queue.lease(claim(.one), at: 42)
            #expect(ordinals(second) == [0])
            let error = OutcomeError(code: "c", message: "m")
            _ = try await queue.release(second.map(\.lease), reason: .failed(error, retryAfterMs: 100), at: 43)
            #expect(try await !queue.hasWork(for: claim(.one), at: 142))
            #expect(ordinals(try await queue.lease(claim(.none), at: 143)) == [1])
            #expect(ordinals(try await queue.lease(claim(.one), at: 143)) == [0])
        }
    }

    /// Priority, tenants' shares, age: as for all others.
    @Test(arguments: Store.all)
    func haveAnOrder(_ store: Store) async throws {
        try await store.test { queue in
            var batches: [BatchID] = []
            for (tenant, priority) in [("a", 0), ("b", 0), ("a", 0), ("c", 1), ("b", 0)] {
                let specification = BatchSpecification(tenant: tenant, priority: priority, maxAttempts: 9)
                batches.append(try await queue.submit(3, specification))
            }
            try await crash(queue, [1, 2])
            // What is innocent counts for its tenant, too; everyone is charged alike here.
            var order: [(Int, Int)] = []
            while let one = try await queue.lease(claim(.one), at: 40).first {
                order.append((batches.firstIndex(of: one.lease.key.batch) ?? -1, one.lease.key.ordinal))
            }
            #expect(order.prefix(2).elementsEqual([(3, 1), (3, 2)], by: ==))
            #expect(
                order.dropFirst(2).elementsEqual(
                    [(0, 1), (1, 1), (0, 2), (1, 2), (2, 1), (4, 1), (2, 2), (4, 2)], by: ==), "\(order)")
        }
    }

    @Test(arguments: Store.all)
    func arePickedByModelAndBatch(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(maxAttempts: 9), at: 0)
            let models = ["m", "n", "", "n"]
            try await queue.append(
                models.enumerated().map { .request("r\($0)", model: $1) }, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: models.count, at: 0)
            let other = try await queue.submit(1, BatchSpecification(maxAttempts: 9))
            try await crash(queue, [0, 1, 2, 3])
            #expect(try await !queue.hasWork(for: claim(.one, batches: []), at: 40))
            let ofOther = try await queue.lease(claim(.one, batches: [other]), at: 40)
            #expect(ofOther.map(\.lease.key.batch) == [other])
            #expect(ordinals(try await queue.lease(claim(.one, models: ["n"]), at: 40)) == [1])
            #expect(ordinals(try await queue.lease(claim(.one, models: ["n"]), at: 40)) == [2])
            #expect(ordinals(try await queue.lease(claim(.one, models: ["x"]), at: 40)) == [])
            #expect(ordinals(try await queue.lease(claim(.one), at: 40)) == [0])
        }
    }

    @Test(arguments: Store.all)
    func waitWhileTheirBatchOrQueueDoes(_ store: Store) async throws {
        try await store.test { queue in
            let paused = try await queue.submit(2, BatchSpecification(maxAttempts: 9))
            let late = try await queue.submit(2, BatchSpecification(completionWindowMs: 50, maxAttempts: 9))
            let cancelled = try await queue.submit(2, BatchSpecification(maxAttempts: 9))
            let open = try await queue.submit(2, BatchSpecification(maxAttempts: 9))
            try await crash(queue, [0])
            try await queue.cancel(cancelled, at: 40)
            try await queue.pause(at: 40)
            #expect(try await !queue.hasWork(for: claim(.one), at: 40))
            #expect(try await queue.lease(claim(.one), at: 40).isEmpty)
            try await queue.resume(at: 40)
            try await queue.pause(paused, reason: "a test", at: 40)
            #expect(try await queue.lease(claim(.one), at: 50).map(\.lease.key.batch) == [open])
            #expect(try await !queue.hasWork(for: claim(.one), at: 50))
            try await queue.resume(paused, at: 51)
            #expect(try await queue.lease(claim(.one), at: 51).map(\.lease.key.batch) == [paused])
            #expect(try await queue.recover(at: 52) == 2)
            #expect(try await queue.status(late).state == .expired)
        }
    }

    /// What runs with others is counted with them, so it is tried alone before its attempts are used up.
    @Test(arguments: Store.all)
    func theLastAttemptIsAlone(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(20)
            try await crash(queue, Set(0..<20))
            #expect(try await queue.lease(claim(.none), at: 40).isEmpty)
            var now: Timestamp = 40
            for ordinal in 0..<20 {
                let alone = try await queue.lease(claim(.one), at: now)
                #expect(ordinals(alone) == [ordinal])
                if ordinal == 7 {
                    now = now + 10
                    #expect(try await queue.recover(at: now) == 1)
                } else {
                    #expect(try await queue.settle(alone[0], .text("t"), at: now) == .done)
                }
            }
            #expect(try await queue.counts(batch) == BatchCounts(total: 20, completed: 19, failed: 1))
            #expect(try await queue.deadLetters(batch, after: nil, limit: 9).map(\.ordinal) == [7])
        }
    }
}
