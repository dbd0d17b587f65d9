import JobQueue
import Testing

/// Lease, renew, settle.
@Suite struct WorkingTests {
    @Test(arguments: Store.all)
    func nothingIsLeasedBeforeTheSeal(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            try await queue.append([.request("a")], to: batch, from: 0, at: 0)
            #expect(try await queue.lease(9, at: 0).isEmpty)
            try await queue.seal(batch, total: 1, at: 0)
            #expect(try await queue.lease(0, at: 0).isEmpty)
            #expect(try await queue.lease(-1, at: 0).isEmpty)
            #expect(try await queue.lease(9, at: 0).count == 1)
            #expect(try await queue.lease(9, at: 0).isEmpty)
            #expect(try await queue.counts(batch) == BatchCounts(total: 1, leased: 1))
        }
    }

    @Test(arguments: Store.all)
    func leaseGoesByPriorityThenAge(_ store: Store) async throws {
        try await store.test { queue in
            let low = try await queue.submit(3, BatchSpecification(priority: -1), at: 0)
            let old = try await queue.submit(2, at: 1)
            let new = try await queue.submit(2, at: 2)
            let high = try await queue.submit(2, BatchSpecification(priority: 5), at: 3)
            var seen: [RequestKey] = []
            for max in [3, 1, 10] { seen += try await queue.lease(max, at: 4).map(\.lease.key) }
            let order = [(high, 2), (old, 2), (new, 2), (low, 3)]
            #expect(
                seen == order.flatMap { batch, n in (0..<n).map { RequestKey(batch: batch, ordinal: $0) } })
        }
    }

    @Test(arguments: Store.all)
    func aLeaseCarriesAllThatAWorkerNeeds(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(
                BatchSpecification(tenant: "acme", priority: 3, seed: .max), at: 0)
            let request = Request(
                customID: "one", endpoint: .chatCompletions, body: Array("{\"messages\":[]}".utf8), line: 4)
            try await queue.append([.accepted(request)], to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: 1, at: 0)
            let leased = try await queue.lease(max: 5, worker: "w", durationMs: 30, at: 100)
            #expect(
                leased == [
                    LeasedRequest(
                        lease: Lease(key: RequestKey(batch: batch, ordinal: 0), attempt: 1), request: request,
                        tenant: "acme", priority: 3, batchSeed: .max, expiresAt: 130)
                ])
            await expectFailure("invalidArgument") {
                _ = try await queue.lease(max: 1, worker: "w", durationMs: 0, at: 0)
            }
        }
    }

    @Test(arguments: Store.all)
    func settlingCompletesAndSumsUp(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(3)
            let leased = try await queue.lease(3, at: 1)
            let error = OutcomeError(
                code: "context_length_exceeded", message: "too long", parameter: "prompt")
            let outcomes: [Outcome] = [
                .text("b", prompt: 10, completion: 4, cached: 8, cost: 1_234_567),
                Outcome(result: .error(error), usage: Usage(promptTokens: 5, costNanodollars: 1), backend: "cpu"),
            ]
            let results = try await queue.settle(
                [
                    Settlement(lease: leased[2].lease, outcome: outcomes[0]),
                    Settlement(lease: leased[0].lease, outcome: outcomes[1]),
                ], at: 7)
            #expect(results == [.done, .done])
            var status = try await queue.status(batch)
            #expect(status.state == .inProgress)
            #expect(status.counts == BatchCounts(total: 3, leased: 1, completed: 1, failed: 1))
            #expect(
                status.usage
                    == Usage(promptTokens: 15, completionTokens: 4, cachedTokens: 8, costNanodollars: 1_234_568))
            let read = try await queue.all(batch, .completion)
            #expect(read.map(\.ordinal) == [2, 0])
            #expect(read.map(\.outcome) == outcomes)
            #expect(read.map(\.state) == [.completed, .failed])
            #expect(read.allSatisfy { $0.attempt == 1 && $0.settledAt == 7 })

            #expect(try await queue.settle(leased[1], .text("c"), at: 9) == .done)
            status = try await queue.status(batch)
            #expect(status.state == .completed)
            #expect(status.endedAt == 9)
            #expect(status.counts == BatchCounts(total: 3, completed: 2, failed: 1))
        }
    }

    @Test(arguments: Store.all)
    func aLostLeaseChangesNothing(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(1)
            let first = try await queue.lease(1, at: 0, forMs: 10)[0]
            #expect(try await queue.recover(at: 10) == 1)
            let second = try await queue.lease(1, at: 10)[0]
            #expect(second.lease.attempt == 2)
            let stale = [first.lease]
            #expect(try await queue.settle(first, .text("late"), at: 11) == .lost)
            #expect(try await queue.renew(stale, durationMs: 99, at: 11) == [.lost])
            #expect(try await queue.release(stale, reason: .handedBack, at: 11) == [.lost])
            let error = OutcomeError(code: "x", message: "y")
            #expect(
                try await queue.release(stale, reason: .failed(error, retryAfterMs: 1), at: 11) == [.lost])
            #expect(try await queue.counts(batch) == BatchCounts(total: 1, leased: 1))
            let never = [(0, 0), (0, -1), (0, 3), (1, 2), (-1, 2), (Int.max, 2), (Int.min, 2), (0, Int.max)]
            for (ordinal, attempt) in never {
                let lease = Lease(key: RequestKey(batch: batch, ordinal: ordinal), attempt: attempt)
                #expect(try await queue.renew([lease], durationMs: 9, at: 11) == [.lost])
                #expect(
                    try await queue.settle([Settlement(lease: lease, outcome: .text("t"))], at: 11) == [.lost]
                )
            }
            // The same lease twice in one call: once is all it is good for.
            let settlement = Settlement(lease: second.lease, outcome: .text("t", cost: 7))
            #expect(try await queue.settle([settlement, settlement], at: 12) == [.done, .lost])
            #expect(try await queue.settle(second, .text("again", cost: 7), at: 13) == .lost)
            #expect(try await queue.all(batch).map(\.outcome) == [.text("t", cost: 7)])
            let usage = Usage(promptTokens: 3, completionTokens: 2, costNanodollars: 7)
            #expect(try await queue.status(batch).usage == usage)
            #expect(try await queue.usage(UsageQuery()).map(\.usage) == [usage])
        }
    }

    @Test(arguments: Store.all)
    func aLeasePastItsTimeIsItsWorkersUntilTakenBack(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await queue.submit(2)
            let leased = try await queue.lease(2, at: 0, forMs: 10)
            #expect(try await queue.lease(2, at: 50).isEmpty)
            #expect(try await queue.settle(leased[0], .text("t"), at: 50) == .done)
            #expect(try await queue.renew([leased[1].lease], durationMs: 10, at: 50) == [.done])
            #expect(try await queue.recover(at: 59) == 0)
            #expect(try await queue.recover(at: 60) == 1)
        }
    }

    @Test(arguments: Store.all)
    func settlingAcrossBatchesIsOneStep(_ store: Store) async throws {
        try await store.test { queue in
            let batches = [try await queue.submit(2), try await queue.submit(1)]
            let leased = try await queue.lease(3, at: 0)
            let bad = Outcome(
                result: .response(statusCode: 200, body: []),
                usage: Usage(promptTokens: 1, completionTokens: -1))
            await expectFailure("invalidArgument") {
                _ = try await queue.settle(
                    [
                        Settlement(lease: leased[0].lease, outcome: .text("t")),
                        Settlement(lease: leased[1].lease, outcome: bad),
                    ], at: 1)
            }
            let cached = Outcome(
                result: .error(OutcomeError(code: "c", message: "m")), usage: Usage(cachedTokens: 1))
            await expectFailure("invalidArgument") { _ = try await queue.settle(leased[0], cached, at: 1) }
            for cost in [-1, Outcome.maxCostNanodollars + 1, .min, .max] {
                await expectFailure("invalidArgument") {
                    _ = try await queue.settle(leased[0], .text("t", cost: cost), at: 1)
                }
            }
            #expect(try await queue.counts(batches[0]) == BatchCounts(total: 2, leased: 2))
            let results = try await queue.settle(
                leased.map { Settlement(lease: $0.lease, outcome: .text("t")) }, at: 2)
            #expect(results == [.done, .done, .done])
            for batch in batches { #expect(try await queue.status(batch).state == .completed) }
        }
    }

    @Test(arguments: Store.all)
    func anyTextAndBodySurvives(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(3)
            let leased = try await queue.lease(3, at: 0)
            let outcomes = [
                Outcome(result: .response(statusCode: 200, body: [])),
                Outcome(result: .response(statusCode: 200, body: [0, 255, 0, 10])),
                Outcome.failure(
                    OutcomeError(
                        code: "a\u{0}", message: "\u{1F600}\u{0}\"\\\n\u{7F}", parameter: "",
                        statusCode: -1)),
            ]
            for (request, outcome) in zip(leased, outcomes) {
                _ = try await queue.settle(request, outcome, at: 1)
            }
            #expect(try await queue.all(batch).map(\.outcome) == outcomes)
        }
    }

    @Test(arguments: Store.all)
    func requestsLeasedAtTheSameTimeAreLeasedOnce(_ store: Store) async throws {
        try await store.test { queue in
            let batches = [try await queue.submit(150), try await queue.submit(150)]
            try await withThrowingTaskGroup(of: [RequestKey].self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        var seen: [RequestKey] = []
                        while true {
                            let leased = try await queue.lease(
                                max: 1 + worker, worker: "w\(worker)", durationMs: 1000, at: 0)
                            if leased.isEmpty { return seen }
                            let outcome = Outcome.text("t", prompt: 5, completion: 1)
                            let results = try await queue.settle(
                                leased.map { Settlement(lease: $0.lease, outcome: outcome) }, at: 1)
                            #expect(results.allSatisfy { $0 == .done })
                            seen += leased.map(\.lease.key)
                            // I4: whenever anyone looks.
                            let status = try await queue.status(leased[0].lease.key.batch)
                            #expect(status.usage.promptTokens == 5 * status.counts.completed)
                            #expect(
                                status.counts.total
                                    == status.counts.settled + status.counts.queued + status.counts.leased)
                        }
                    }
                }
                let seen = try await group.reduce(into: []) { $0 += $1 }
                #expect(seen.count == 300)
                #expect(Set(seen).count == 300)
            }
            for batch in batches { #expect(try await queue.status(batch).state == .completed) }
        }
    }
}
