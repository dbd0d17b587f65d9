import JobQueue
import Testing

/// Overview, ledger, workers' reports, dead letters, retention.
@Suite struct OperatingTests {
    private static let dayMs: Int64 = 86_400_000

    @Test(arguments: Store.all)
    func theOverviewCountsWhatHasNotEnded(_ store: Store) async throws {
        try await store.test { queue in
            #expect(
                try await queue.overview(at: 0)
                    == QueueOverview(isPaused: false, openBatches: 0, depths: [], oldestQueuedAt: nil))
            let unsealed = try await queue.open(BatchSpecification(tenant: "z"), at: 1)
            try await queue.append([.request("a", model: "m", cost: 7)], to: unsealed, from: 0, at: 1)
            let batch = try await queue.open(BatchSpecification(tenant: "b", priority: 2), at: 2)
            try await queue.append(
                [
                    .request("a", model: "m", cost: 5), .request("b", model: "m", cost: 6), .request("c", cost: 7),
                    .refusal("d", line: 4),
                ], to: batch, from: 0, at: 3)
            try await queue.seal(batch, total: 4, at: 40)
            _ = try await queue.submit(2, BatchSpecification(tenant: "a", priority: -1), at: 30)
            typealias Depth = QueueOverview.Depth
            let low = Depth(tenant: "a", priority: -1, model: "", queued: 2, queuedTokens: 2)
            #expect(
                try await queue.overview(at: 50)
                    == QueueOverview(
                        isPaused: false, openBatches: 3,
                        depths: [
                            Depth(tenant: "b", priority: 2, model: "", queued: 1, queuedTokens: 7),
                            Depth(tenant: "b", priority: 2, model: "m", queued: 2, queuedTokens: 11), low,
                        ], oldestQueuedAt: 30))
            let leased = try await queue.lease(2, at: 50)
            let error = OutcomeError(code: "overloaded", message: "later")
            _ = try await queue.release([leased[1].lease], reason: .failed(error, retryAfterMs: 100), at: 60)
            let depths = try await queue.overview(at: 159).depths
            #expect(
                depths == [
                    Depth(tenant: "b", priority: 2, model: "", queued: 1, queuedTokens: 7),
                    Depth(tenant: "b", priority: 2, model: "m", queued: 1, delayed: 1, leased: 1, queuedTokens: 6),
                    low,
                ])
            #expect(try await queue.overview(at: 160).depths[1].delayed == 0)
            for request in try await queue.lease(9, at: 200) { _ = try await queue.settle(request, .text("t"), at: 9) }
            #expect(try await queue.settle(leased[0], .text("t"), at: 9) == .done)
            #expect(
                try await queue.overview(at: 300)
                    == QueueOverview(isPaused: false, openBatches: 1, depths: [], oldestQueuedAt: nil))
            try await queue.cancel(unsealed, at: 301)
            #expect(try await queue.overview(at: 300).openBatches == 0)
        }
    }

    @Test(arguments: Store.all)
    func theLedgerSumsOutcomes(_ store: Store) async throws {
        try await store.test { queue in
            let first = try await queue.open(BatchSpecification(tenant: "a"), at: 0)
            try await queue.append(
                [
                    .request("1", model: "m"), .request("2", model: "m"), .request("3", model: "n"),
                    .refusal("4", line: 4),
                ], to: first, from: 0, at: Timestamp(milliseconds: Self.dayMs - 1))
            try await queue.seal(first, total: 4, at: 0)
            let leased = try await queue.lease(2, at: 0)
            let next = Timestamp(milliseconds: Self.dayMs)
            _ = try await queue.settle(leased[0], .text("t", prompt: 10, completion: 5, cached: 4, cost: 250), at: next)
            var failed = Outcome.failure(OutcomeError(code: "c", message: "m"))
            failed.usage = Usage(promptTokens: 3, costNanodollars: 9)
            failed.backend = "groq"
            _ = try await queue.settle(leased[1], failed, at: next)
            try await queue.cancel(first, at: next + Self.dayMs)
            let second = try await queue.submit(1, BatchSpecification(tenant: "b"), at: next)
            _ = try await queue.settle(try await queue.lease(1, at: next)[0], .text("t"), at: -1)
            #expect(try await queue.status(second).state == .completed)

            let records = [
                UsageRecord(
                    day: Day(number: -1), tenant: "b", model: "", backend: "cpu", completed: 1,
                    usage: Usage(promptTokens: 3, completionTokens: 2)),
                UsageRecord(day: Day(number: 0), tenant: "a", model: "", backend: "", unsuccessful: 1),
                UsageRecord(
                    day: Day(number: 1), tenant: "a", model: "m", backend: "cpu", completed: 1,
                    usage: Usage(promptTokens: 10, completionTokens: 5, cachedTokens: 4, costNanodollars: 250)),
                UsageRecord(
                    day: Day(number: 1), tenant: "a", model: "m", backend: "groq", unsuccessful: 1,
                    usage: Usage(promptTokens: 3, costNanodollars: 9)),
                UsageRecord(day: Day(number: 2), tenant: "a", model: "n", backend: "", unsuccessful: 1),
            ]
            #expect(try await queue.usage(UsageQuery()) == records)
            #expect(try await queue.usage(UsageQuery(tenant: "b")) == [records[0]])
            #expect(try await queue.usage(UsageQuery(tenant: "c")).isEmpty)
            #expect(try await queue.usage(UsageQuery(tenant: "a", model: "m")) == Array(records[2...3]))
            #expect(
                try await queue.usage(UsageQuery(first: Day(number: 0), last: Day(number: 1)))
                    == Array(records[1...3]))
            #expect(try await queue.usage(UsageQuery(first: Day(number: 2))) == [records[4]])
            #expect(try await queue.usage(UsageQuery(last: Day(number: -1))) == [records[0]])
            #expect(try await queue.usage(UsageQuery(first: Day(number: 1), last: Day(number: 0))).isEmpty)
        }
    }

    /// Money adds up exactly, also beyond what a double counts.
    @Test(arguments: Store.all)
    func costsAreExact(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(1200)
            let leased = try await queue.lease(1200, at: 0)
            let settlements = leased.map { request in
                let cost = Outcome.maxCostNanodollars - request.lease.key.ordinal % 2
                return Settlement(lease: request.lease, outcome: .text("t", cost: cost))
            }
            #expect(try await queue.settle(settlements, at: 1).allSatisfy { $0 == .done })
            let sum = 1200 * Outcome.maxCostNanodollars - 600
            #expect(sum > 1 << 53)
            #expect(try await queue.status(batch).usage.costNanodollars == sum)
            #expect(try await queue.usage(UsageQuery()).map(\.usage.costNanodollars) == [sum])
        }
    }

    @Test(arguments: Store.all)
    func batchesAreForgottenAfterTheirRetention(_ store: Store) async throws {
        try await store.test { queue in
            let kept = try await queue.submit(1, at: 0)
            let batch = try await queue.submit(
                2, BatchSpecification(tenant: "a", priority: 1, idempotencyKey: "k", retentionMs: 100), at: 0)
            let open = try await queue.open(BatchSpecification(retentionMs: 1), at: 0)
            let leased = try await queue.lease(2, at: 1)
            for request in leased { _ = try await queue.settle(request, .text("t"), at: 50) }
            let usage = try await queue.usage(UsageQuery())
            #expect(try await queue.recover(at: 149) == 0)
            #expect(try await queue.status(batch).state == .completed)
            #expect(try await queue.recover(at: 150) == 0)
            await expectFailure("unknownBatch") { _ = try await queue.status(batch) }
            await expectFailure("unknownBatch") { _ = try await queue.all(batch) }
            await expectFailure("unknownBatch") { try await queue.append([], to: batch, from: 0, at: 151) }
            #expect(try await queue.settle(leased[0], .text("late"), at: 151) == .lost)
            #expect(try await queue.list(limit: 9).map(\.id) == [open, kept])
            #expect(try await queue.list(tenant: "a", limit: 9).isEmpty)
            // The ledger remembers, and the key is free.
            #expect(try await queue.usage(UsageQuery()) == usage)
            let again = try await queue.open(BatchSpecification(tenant: "a", idempotencyKey: "k"), at: 200)
            #expect(again != batch)
            #expect(try await queue.list(limit: 9).map(\.id) == [again, open, kept])
            await expectFailure("invalidArgument") {
                _ = try await queue.open(BatchSpecification(retentionMs: 0), at: 0)
            }
            #expect(try await queue.recover(at: 1_000_000) == 0)
            #expect(try await queue.list(limit: 9).count == 3)
        }
    }

    @Test(arguments: Store.all)
    func deadLettersAreWhole(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(maxAttempts: 2), at: 0)
            let body = Array("{\"messages\":[\"\u{1F600}\"]}".utf8)
            let requests = (0..<5).map {
                Request(
                    customID: "r\($0)", endpoint: .chatCompletions, body: body, line: $0 + 1, model: "m", cost: 9)
            }
            try await queue.append(
                requests.map(AppendedRequest.accepted) + [.refusal("x", line: 9, code: "attempts_exhausted")],
                to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: 6, at: 0)
            #expect(try await queue.deadLetters(batch, after: nil, limit: 9).isEmpty)
            let error = OutcomeError(code: "overloaded", message: "no", parameter: "p", statusCode: 503)
            for time in [Timestamp(1), 2] {
                let leased = try await queue.lease(5, at: time)
                #expect(leased.map(\.crashes) == Array(repeating: 0, count: leased.count))
                for request in leased {
                    if request.lease.key.ordinal == 2 {
                        _ = try await queue.settle(request, .failure(error), at: time)
                    } else {
                        _ = try await queue.release(
                            [request.lease], reason: .failed(error, retryAfterMs: 0), at: time)
                    }
                }
            }
            let letters = try await queue.deadLetters(batch, after: nil, limit: 9)
            #expect(letters.map(\.ordinal) == [0, 1, 3, 4])
            #expect(letters.map(\.request) == [0, 1, 3, 4].map { requests[$0] })
            #expect(letters.allSatisfy { $0.attempt == 2 && $0.settledAt == 2 })
            #expect(letters.allSatisfy { $0.error.code == "attempts_exhausted" && $0.error.statusCode == 503 })
            #expect(try await queue.deadLetters(batch, after: 0, limit: 2).map(\.ordinal) == [1, 3])
            #expect(try await queue.deadLetters(batch, after: 4, limit: 2).isEmpty)
            #expect(try await queue.deadLetters(batch, after: .max, limit: 2).isEmpty)
            #expect(try await queue.deadLetters(batch, after: -7, limit: -1).isEmpty)
            await expectFailure("unknownBatch") {
                _ = try await queue.deadLetters(BatchID("batch_none"), after: nil, limit: 1)
            }
        }
    }

    @Test(arguments: Store.all)
    func crashesAreCounted(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await queue.submit(2, BatchSpecification(maxAttempts: 9))
            let error = OutcomeError(code: "c", message: "m")
            var seen: [Int] = []
            for round in 0..<4 {
                let time = Timestamp(milliseconds: Int64(round) * 100)
                let leased = try await queue.lease(1, at: time, forMs: 10)
                seen.append(leased[0].crashes)
                if round == 1 {
                    _ = try await queue.release(
                        leased.map(\.lease), reason: .failed(error, retryAfterMs: 0), at: time)
                } else {
                    #expect(try await queue.recover(at: time + 10) == 1)
                }
            }
            #expect(seen == [0, 1, 1, 2])
            #expect(try await queue.lease(2, at: 500).map(\.crashes) == [3, 0])
        }
    }

    @Test(arguments: Store.all)
    func aBatchsBacklogIsCountedByModel(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(maxAttempts: 9), at: 0)
            let models = ["m", "n", "", "m", "m"]
            try await queue.append(
                models.enumerated().map { .request("r\($0)", model: $1) }, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: models.count, at: 0)
            _ = try await queue.submit(3)
            #expect(try await queue.backlog(batch) == ["m": 3, "n": 1, "": 1])
            let leased = try await queue.lease(2, at: 0, forMs: 10)
            #expect(leased.map(\.request.model) == ["m", "n"])
            #expect(try await queue.backlog(batch) == ["m": 2, "": 1])
            #expect(try await queue.recover(at: 10) == 2)
            #expect(try await queue.backlog(batch) == ["m": 3, "n": 1, "": 1])
            try await queue.cancel(batch, at: 11)
            #expect(try await queue.backlog(batch) == [:])
            await expectFailure("unknownBatch") { _ = try await queue.backlog(BatchID("batch_none")) }
        }
    }

    @Test(arguments: Store.all)
    func aWindowIsALeasesDeadline(_ store: Store) async throws {
        try await store.test { queue in
            _ = try await queue.submit(1, BatchSpecification(completionWindowMs: 100), at: 7)
            _ = try await queue.submit(1, at: 7)
            #expect(try await queue.lease(2, at: 8).map(\.deadline) == [107, nil])
        }
    }

    @Test(arguments: Store.all)
    func workersReport(_ store: Store) async throws {
        try await store.test { queue in
            #expect(try await queue.workers(at: 0).isEmpty)
            var one = WorkerReport(
                name: "host-1-m", host: "h\u{0}\"", processID: 77, models: ["m", "caf\u{E9}"], backend: "cuda:0",
                phase: .running, startedAt: 5, reportedAt: 10, lifetimeMs: 100, leasedRequests: 3,
                runningSequences: 4, stepMs: 1.25, promptTokensPerSecond: 1e9, generatedTokensPerSecond: 0.1,
                cacheUse: 0.5)
            let two = WorkerReport(
                name: "a", host: "", processID: 1, models: [], backend: "", phase: .draining, startedAt: 0,
                reportedAt: 50)
            try await queue.heartbeat(one, at: 10)
            try await queue.heartbeat(two, at: 50)
            #expect(try await queue.workers(at: 51) == [two, one])
            one.phase = .draining
            one.reportedAt = 60
            try await queue.heartbeat(one, at: 60)
            #expect(try await queue.workers(at: 159) == [two, one])
            #expect(try await queue.workers(at: 160) == [two])
            try await queue.forget(worker: "a")
            try await queue.forget(worker: "none")
            #expect(try await queue.workers(at: 159) == [one])
            #expect(try await queue.recover(at: 500) == 0)
            #expect(try await queue.workers(at: 159).isEmpty)
            one.name = ""
            await expectFailure("invalidArgument") { try await queue.heartbeat(one, at: 0) }
            one.name = "n"
            one.stepMs = .nan
            await expectFailure("invalidArgument") { try await queue.heartbeat(one, at: 0) }
        }
    }

    @Test(arguments: Store.all)
    func aTenantsBatchesAreListed(_ store: Store) async throws {
        try await store.test { queue in
            let a = try await queue.submit(1, BatchSpecification(tenant: "a"))
            let b = try await queue.submit(1, BatchSpecification(tenant: "b"))
            let again = try await queue.submit(1, BatchSpecification(tenant: "a"))
            #expect(try await queue.list(tenant: "a", limit: 9).map(\.id) == [again, a])
            #expect(try await queue.list(tenant: "a", limit: 1).map(\.id) == [again])
            #expect(try await queue.list(tenant: "b", limit: 9).map(\.id) == [b])
            for nobody in ["", "A", "a\u{0}", "a*"] {
                #expect(try await queue.list(tenant: nobody, limit: 9).isEmpty)
            }
        }
    }
}
