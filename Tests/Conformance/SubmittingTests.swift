import JobQueue
import Testing

/// Open, append, seal.
@Suite struct SubmittingTests {
    @Test(arguments: Store.all)
    func openKeepsWhatTheClientSaid(_ store: Store) async throws {
        try await store.test { queue in
            let specification = BatchSpecification(
                tenant: "acme", priority: -7, completionWindowMs: 60_000, idempotencyKey: "k", seed: .max - 1,
                maxAttempts: 5, metadata: ["input": "a\u{0}b \u{1F642}", "": "\"quoted\"\n"])
            let batch = try await queue.open(specification, at: 12)
            let status = try await queue.status(batch)
            #expect(
                status == BatchStatus(
                    id: batch, specification: specification, state: .validating, counts: BatchCounts(),
                    usage: Usage(), createdAt: 12, acceptedAt: nil, endedAt: nil))
        }
    }

    @Test(arguments: Store.all)
    func sameKeyIsTheSameBatchOfATenant(_ store: Store) async throws {
        try await store.test { queue in
            let first = try await queue.open(BatchSpecification(tenant: "a", idempotencyKey: "k", seed: 1), at: 0)
            let again = try await queue.open(BatchSpecification(tenant: "a", idempotencyKey: "k", seed: 2), at: 9)
            let other = try await queue.open(BatchSpecification(tenant: "b", idempotencyKey: "k"), at: 0)
            let unnamed = try await queue.open(BatchSpecification(tenant: "a"), at: 0)
            #expect(again == first)
            #expect(try await queue.status(first).specification.seed == 1)
            #expect(Set([first, other, unnamed]).count == 3)
        }
    }

    @Test(arguments: Store.all)
    func openRefusesWhatNoBatchCanBe(_ store: Store) async throws {
        try await store.test { queue in
            await expectFailure("invalidArgument") {
                _ = try await queue.open(BatchSpecification(maxAttempts: 0), at: 0)
            }
            await expectFailure("invalidArgument") {
                _ = try await queue.open(BatchSpecification(completionWindowMs: 0), at: 0)
            }
        }
    }

    @Test(arguments: Store.all)
    func unknownBatchesAreNamed(_ store: Store) async throws {
        try await store.test { queue in
            let real = try await queue.submit(1)
            for id in [BatchID("batch_none"), BatchID(""), BatchID(real.value + "\u{0}"), BatchID("' OR 1")] {
                await expectFailure("unknownBatch") { _ = try await queue.status(id) }
                await expectFailure("unknownBatch") { try await queue.append([], to: id, from: 0, at: 0) }
                await expectFailure("unknownBatch") { try await queue.seal(id, total: 0, at: 0) }
                await expectFailure("unknownBatch") { try await queue.cancel(id, at: 0) }
                await expectFailure("unknownBatch") { _ = try await queue.all(id) }
                let lost = Lease(key: RequestKey(batch: id, ordinal: 0), attempt: 1)
                #expect(try await queue.renew([lost], durationMs: 1, at: 0) == [.lost])
            }
        }
    }

    @Test(arguments: Store.all)
    func repeatedAppendsChangeNothing(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            let requests: [AppendedRequest] = [
                .request("a", line: 1), .refusal(nil, line: 2), .request("b", line: 3), .request("a", line: 4),
                .refusal("c", line: 5),
            ]
            try await queue.append(Array(requests[..<3]), to: batch, from: 0, at: 1)
            try await queue.append(Array(requests[..<3]), to: batch, from: 0, at: 2)
            try await queue.append(requests, to: batch, from: 0, at: 3)
            try await queue.append(Array(requests[2...]), to: batch, from: 2, at: 4)
            try await queue.append([], to: batch, from: 5, at: 5)
            #expect(try await queue.counts(batch) == BatchCounts(total: 5, queued: 2, failed: 3))
            try await queue.seal(batch, total: 5, at: 6)
            try await queue.append(requests, to: batch, from: 0, at: 7)
            // Worded anew, the same refusal.
            try await queue.append([.refusal(nil, line: 2, code: "other")], to: batch, from: 1, at: 8)
            #expect(try await queue.counts(batch) == BatchCounts(total: 5, queued: 2, failed: 3))
            await expectFailure("wrongState") { try await queue.append([.request("z")], to: batch, from: 5, at: 9) }
        }
    }

    @Test(arguments: Store.all)
    func otherContentAtTheSamePlaceIsAConflict(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            try await queue.append([.request("a", line: 1), .refusal("b", line: 2)], to: batch, from: 0, at: 0)
            let chat = AppendedRequest.accepted(
                Request(customID: "a", endpoint: .chatCompletions, body: Array("{\"prompt\":\"x\"}".utf8), line: 1))
            let others: [(Int, AppendedRequest)] = [
                (0, .request("a", line: 1, text: "y")), (0, .request("A", line: 1)), (0, .request("a", line: 2)),
                (0, chat), (0, .refusal("a", line: 1)), (1, .refusal("b", line: 3)), (1, .refusal(nil, line: 2)),
                (1, .request("b", line: 2)), (3, .request("c")), (-1, .request("c")),
            ]
            for (ordinal, request) in others {
                await expectFailure("conflict") { try await queue.append([request], to: batch, from: ordinal, at: 0) }
            }
            // All or nothing: the new request behind the differing one is not appended.
            await expectFailure("conflict") {
                try await queue.append([.refusal("x", line: 2), .request("new")], to: batch, from: 1, at: 0)
            }
            #expect(try await queue.counts(batch) == BatchCounts(total: 2, queued: 1, failed: 1))
        }
    }

    @Test(arguments: Store.all)
    func customIDsAreComparedByBytes(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            let composed = "caf\u{E9}"
            let decomposed = "cafe\u{301}"
            try await queue.append(
                [
                    .request(composed, line: 11), .request(decomposed, line: 12), .request(composed, line: 13),
                    .request("", line: 14), .request("a\u{0}b", line: 15), .request("a", line: 16),
                    .request("", line: 17), .refusal("a", line: 18), .refusal("r", line: 19), .request("r", line: 20),
                ], to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: 10, at: 0)
            let leased = try await queue.lease(20, at: 0).map { Array($0.request.customID.utf8) }
            #expect(leased == [composed, decomposed, "", "a\u{0}b", "a"].map { Array($0.utf8) })
            for request in leased.indices {
                let at = [0, 1, 3, 4, 5][request]
                let lease = Lease(key: RequestKey(batch: batch, ordinal: at), attempt: 1)
                _ = try await queue.settle([Settlement(lease: lease, outcome: .text("t"))], at: 1)
            }
            let failed = try await queue.all(batch).filter { $0.state == .failed }
            #expect(failed.map(\.line) == [13, 17, 18, 19, 20])
            #expect(failed.map(\.outcome.error?.code)
                == ["duplicate_custom_id", "duplicate_custom_id", "invalid_json", "invalid_json", "duplicate_custom_id"])
            #expect(Array(failed[0].customID.utf8) == Array(composed.utf8))
            #expect(failed[4].customID == "r")
        }
    }

    @Test(arguments: Store.all.filter { $0.testDescription != "model" })
    func duplicatesNameTheFirst(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            try await queue.append([.request("a", line: 3), .request("b")], to: batch, from: 0, at: 0)
            try await queue.append([.request("a", line: 9), .request("b")], to: batch, from: 2, at: 0)
            let failed = try await queue.all(batch, .completion)
            let messages = failed.map { $0.outcome.error?.message ?? "" }
            #expect(messages[0].contains("line 9") && messages[0].contains("line 3") && messages[0].contains("\"a\""))
            #expect(messages[1].contains("request 2"))
            #expect(failed.map(\.outcome.error?.parameter) == ["custom_id", "custom_id"])
        }
    }

    @Test(arguments: Store.all)
    func refusedRequestsEndAsTheyAreAppended(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            let error = OutcomeError(code: "invalid_request", message: "a\u{0}b", parameter: "n", statusCode: 422)
            try await queue.append(
                [.refused(customID: nil, line: 7, .failure(error)), .request("line-7", line: 8)], to: batch, from: 0,
                at: 5)
            let read = try await queue.all(batch)
            #expect(
                read == [
                    ResultRecord(
                        cursor: ResultCursor(0), ordinal: 0, customID: "line-7", line: 7, state: .failed, attempt: 0,
                        settledAt: 5, outcome: .failure(error))
                ])
            // A made-up name takes no client's name away.
            #expect(try await queue.counts(batch) == BatchCounts(total: 2, queued: 1, failed: 1))
            await expectFailure("invalidArgument") {
                try await queue.append([.refused(customID: "x", line: 9, .text("t"))], to: batch, from: 2, at: 0)
            }
        }
    }

    @Test(arguments: Store.all)
    func sealAcceptsExactlyWhatWasAppended(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(completionWindowMs: 100), at: 0)
            try await queue.append([.request("a"), .request("b")], to: batch, from: 0, at: 0)
            await expectFailure("conflict") { try await queue.seal(batch, total: 3, at: 1) }
            await expectFailure("conflict") { try await queue.seal(batch, total: 1, at: 1) }
            try await queue.seal(batch, total: 2, at: 1)
            try await queue.seal(batch, total: 2, at: 50)
            await expectFailure("conflict") { try await queue.seal(batch, total: 1, at: 1) }
            let status = try await queue.status(batch)
            #expect(status.state == .inProgress)
            #expect(status.acceptedAt == 1)
        }
    }

    @Test(arguments: Store.all)
    func nothingToRunCompletesAtTheSeal(_ store: Store) async throws {
        try await store.test { queue in
            let empty = try await queue.submit(0, at: 4)
            let refused = try await queue.open(BatchSpecification(), at: 4)
            try await queue.append([.refusal(nil, line: 1), .refusal("x", line: 2)], to: refused, from: 0, at: 5)
            #expect(try await queue.status(refused).state == .validating)
            try await queue.seal(refused, total: 2, at: 6)
            for (batch, time) in [(empty, Timestamp(4)), (refused, 6)] {
                let status = try await queue.status(batch)
                #expect(status.state == .completed)
                #expect(status.endedAt == time)
            }
            try await queue.seal(empty, total: 0, at: 9)
            #expect(try await queue.status(empty).endedAt == 4)
        }
    }
}
