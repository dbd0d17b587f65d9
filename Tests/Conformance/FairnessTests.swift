import JobQueue
import Testing

/// Who is served: models, tokens, tenants' shares, pause.
@Suite struct FairnessTests {
    /// A sealed batch of requests of one model and cost.
    private func submit(
        _ queue: any JobQueue, tenant: String, _ count: Int, model: String = "m", cost: Int = 1, priority: Int = 0
    ) async throws -> BatchID {
        let batch = try await queue.open(BatchSpecification(tenant: tenant, priority: priority), at: 0)
        let requests = (0..<count).map { AppendedRequest.request("\(tenant)\($0)", model: model, cost: cost) }
        try await queue.append(requests, to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: count, at: 0)
        return batch
    }

    private func tenants(_ leased: [LeasedRequest]) -> String { leased.map(\.tenant).joined() }

    @Test(arguments: Store.all)
    func tenantsTakeTurnsByTokens(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await submit(queue, tenant: "a", 20, cost: 10)
            _ = try await submit(queue, tenant: "b", 20, cost: 5)
            #expect(tenants(try await queue.lease(9, at: 0)) == "abbabbabb")
            // In calls of one each, the same.
            var seen = ""
            for _ in 0..<6 { seen += tenants(try await queue.lease(1, at: 0)) }
            #expect(seen == "abbabb")
        }
    }

    @Test(arguments: Store.all)
    func whoComesLateClaimsNothingOfThePast(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await submit(queue, tenant: "a", 60)
            #expect(try await queue.lease(20, at: 0).count == 20)
            _ = try await submit(queue, tenant: "b", 6)
            // Not twenty of b's first, nor after all of a's.
            #expect(tenants(try await queue.lease(10, at: 0)) == "ababababab")
            #expect(tenants(try await queue.lease(10, at: 0)) == "abaaaaaaaa")
            // b joins where a is.
            _ = try await submit(queue, tenant: "b", 3)
            #expect(tenants(try await queue.lease(6, at: 0)) == "ababab")
        }
    }

    @Test(arguments: Store.all)
    func comingBackShedsNothing(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await submit(queue, tenant: "a", 10, cost: 1)
            for _ in 0..<3 {
                // One dear request at a time: each has to be paid by the other's turns.
                _ = try await submit(queue, tenant: "B", 1, cost: 3)
                #expect(tenants(try await queue.lease(1, at: 0)) == "B")
                _ = try await submit(queue, tenant: "B", 1, cost: 3)
                #expect(tenants(try await queue.lease(4, at: 0)) == "aaaB")
                _ = try await queue.lease(3, at: 0)
                break
            }
            // The backlog ends; the next one starts even.
            _ = try await queue.lease(99, at: 0)
            _ = try await submit(queue, tenant: "a", 2)
            _ = try await submit(queue, tenant: "B", 2)
            #expect(tenants(try await queue.lease(4, at: 0)) == "BaBa")
        }
    }

    @Test(arguments: Store.all)
    func prioritiesComeBeforeShares(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await submit(queue, tenant: "a", 3, cost: 100, priority: 1)
            _ = try await submit(queue, tenant: "b", 2, priority: 0)
            _ = try await submit(queue, tenant: "a", 2, priority: 0)
            #expect(tenants(try await queue.lease(99, at: 0)) == "aaaabab")
            let ends = [BatchSpecification.priorities.lowerBound, BatchSpecification.priorities.upperBound]
            let batches = [
                try await submit(queue, tenant: "a", 1, priority: ends[0]),
                try await submit(queue, tenant: "a", 1, priority: ends[1]),
            ]
            #expect(try await queue.lease(9, at: 0).map(\.lease.key.batch) == [batches[1], batches[0]])
            for priority in [ends[0] - 1, ends[1] + 1] {
                await expectFailure("invalidArgument") {
                    _ = try await queue.open(BatchSpecification(priority: priority), at: 0)
                }
            }
        }
    }

    @Test(arguments: Store.all)
    func workersGetTheModelsTheyServe(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            let models = ["m", "", "caf\u{E9}", "n", "m", "cafe\u{301}", "", "n", "x\u{0}"]
            try await queue.append(
                models.enumerated().map { .request("r\($0)", model: $1) }, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: models.count, at: 0)
            func lease(_ models: [String]?, _ max: Int = 9) async throws -> [Int] {
                let claim = LeaseClaim(worker: "w", maxRequests: max, models: models, durationMs: 10)
                let leased = try await queue.lease(claim, at: 0)
                #expect(leased.allSatisfy { models?.contains($0.request.model) ?? true || $0.request.model.isEmpty })
                return leased.map(\.lease.key.ordinal)
            }
            #expect(try await lease(["m", "n"], 3) == [0, 1, 3])
            #expect(try await lease(["cafe\u{301}"]) == [5, 6])
            #expect(try await lease([]) == [])
            #expect(try await lease(["unknown"]) == [])
            #expect(try await lease(["n", "m", "n"], 1) == [4])
            #expect(try await lease(nil) == [2, 7, 8])
        }
    }

    @Test(arguments: Store.all)
    func otherModelsRequestsDoNotHideOnesOwn(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await submit(queue, tenant: "a", 200, model: "other", priority: 5)
            _ = try await submit(queue, tenant: "a", 200, model: "other")
            let mine = try await submit(queue, tenant: "a", 70, model: "mine")
            let leased = try await queue.lease(
                LeaseClaim(worker: "w", maxRequests: 500, models: ["mine"], durationMs: 10), at: 0)
            #expect(leased.map(\.lease.key) == (0..<70).map { RequestKey(batch: mine, ordinal: $0) })
        }
    }

    @Test(arguments: Store.all)
    func tokensLimitWhatIsLeased(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            let costs = [50, 10, 20, 31, 5, 200]
            try await queue.append(
                costs.enumerated().map { .request("r\($0)", model: "m", cost: $1) }, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: costs.count, at: 0)
            func lease(_ maxTokens: Int?) async throws -> [Int] {
                let claim = LeaseClaim(worker: "w", maxRequests: 9, maxTokens: maxTokens, durationMs: 10)
                return try await queue.lease(claim, at: 0).map(\.request.cost)
            }
            // One that alone is too much goes alone.
            #expect(try await lease(0) == [50])
            #expect(try await lease(60) == [10, 20])
            #expect(try await lease(36) == [31, 5])
            #expect(try await lease(nil) == [200])
        }
    }

    @Test(arguments: Store.all)
    func costsHaveLimits(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            for cost in [0, -1, Request.maxCost + 1] {
                await expectFailure("invalidArgument") {
                    try await queue.append(
                        [.request("a"), .request("b", model: "", cost: cost)], to: batch, from: 0, at: 0)
                }
            }
            try await queue.append([.request("b", model: "", cost: Request.maxCost)], to: batch, from: 0, at: 0)
            #expect(try await queue.counts(batch).total == 1)
        }
    }

    @Test(arguments: Store.all)
    func nothingIsLeasedOfAPausedQueue(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(3)
            let leased = try await queue.lease(1, at: 0)
            try await queue.pause(at: 1)
            try await queue.pause(at: 2)
            #expect(try await queue.lease(9, at: 3).isEmpty)
            #expect(try await queue.overview(at: 3).isPaused)
            // What is leased goes on, and clients may submit.
            #expect(try await queue.renew(leased.map(\.lease), durationMs: 10, at: 4) == [.done])
            #expect(try await queue.settle(leased[0], .text("t"), at: 5) == .done)
            _ = try await queue.submit(1)
            try await queue.resume(at: 6)
            try await queue.resume(at: 7)
            #expect(try await queue.lease(9, at: 8).count == 3)
            #expect(try await queue.counts(batch) == BatchCounts(total: 3, leased: 2, completed: 1))
        }
    }
}
