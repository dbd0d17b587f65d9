import JobQueue
import Testing

/// Cancel, status, list, results; and that ended batches stay as they are.
@Suite struct FollowingTests {
    @Test(arguments: Store.all)
    func nothingStartsAfterCancel(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.submit(4)
            let leased = try await queue.lease(2, at: 0)
            #expect(try await queue.settle(leased[1], .text("t"), at: 1) == .done)
            try await queue.cancel(batch, at: 2)
            try await queue.cancel(batch, at: 3)
            #expect(try await queue.lease(9, at: 4).isEmpty)
            #expect(try await queue.renew([leased[0].lease], durationMs: 9, at: 4) == [.lost])
            #expect(try await queue.settle(leased[0], .text("late"), at: 4) == .lost)
            let status = try await queue.status(batch)
            #expect(status.state == .cancelled)
            #expect(status.endedAt == 2)
            #expect(status.counts == BatchCounts(total: 4, completed: 1, cancelled: 3))
            #expect(status.usage == Usage(promptTokens: 3, completionTokens: 2))
            let read = try await queue.all(batch)
            #expect(read.map(\.state) == [.cancelled, .completed, .cancelled, .cancelled])
            #expect(read.map(\.attempt) == [1, 1, 0, 0])
            #expect(read[0].outcome.error?.code == "cancelled")
            #expect(read[0].settledAt == 2)
            #expect(try await queue.all(batch, .completion).map(\.ordinal) == [1, 0, 2, 3])
        }
    }

    @Test(arguments: Store.all)
    func anOpenBatchCanBeCancelled(_ store: Store) async throws {
        try await store.test { queue in
            let batch = try await queue.open(BatchSpecification(), at: 0)
            try await queue.append([.request("a"), .refusal(nil, line: 2)], to: batch, from: 0, at: 0)
            try await queue.cancel(batch, at: 1)
            #expect(try await queue.counts(batch) == BatchCounts(total: 2, failed: 1, cancelled: 1))
            await expectFailure("wrongState") { try await queue.seal(batch, total: 2, at: 2) }
            await expectFailure("wrongState") { try await queue.append([.request("b")], to: batch, from: 2, at: 2) }
            try await queue.append([.request("a")], to: batch, from: 0, at: 2)
            #expect(try await queue.lease(9, at: 4).isEmpty)
        }
    }

    @Test(arguments: Store.all)
    func terminalIsTerminal(_ store: Store) async throws {
        try await store.test { queue in
            let specification = BatchSpecification(completionWindowMs: 100)
            var ended: [(BatchID, LeasedRequest, String)] = []
            for (how, time) in [("completed", Timestamp(0)), ("cancelled", 1), ("expired", 2)] {
                let batch = try await queue.submit(2, specification, at: time)
                let leased = try await queue.lease(2, at: time)
                switch how {
                case "completed": for request in leased { _ = try await queue.settle(request, .text("t"), at: 3) }
                case "cancelled": try await queue.cancel(batch, at: 3)
                default: #expect(try await queue.recover(at: 102) == 2)
                }
                ended.append((batch, leased[0], how))
            }
            for (batch, leased, how) in ended {
                let before = try await queue.status(batch)
                let outcomes = try await queue.all(batch, .completion)
                #expect(before.state.rawValue == how)
                #expect(before.counts.settled == 2)
                if how == "cancelled" {
                    try await queue.cancel(batch, at: 500)
                } else {
                    await expectFailure("wrongState") { try await queue.cancel(batch, at: 500) }
                }
                try await queue.seal(batch, total: 2, at: 500)
                await expectFailure("wrongState") {
                    try await queue.append([.request("new")], to: batch, from: 2, at: 500)
                }
                #expect(try await queue.settle(leased, .text("late"), at: 500) == .lost)
                #expect(try await queue.release([leased.lease], reason: .handedBack, at: 500) == [.lost])
                #expect(try await queue.lease(9, at: 500).isEmpty)
                #expect(try await queue.recover(at: 9_999) == 0)
                #expect(try await queue.status(batch) == before)
                #expect(try await queue.all(batch, .completion) == outcomes)
            }
        }
    }

    @Test(arguments: Store.all)
    func resultsCanBePagedInBothOrders(_ store: Store) async throws {
        try await store.test { queue in
            let other = try await queue.submit(3)
            let batch = try await queue.submit(7, BatchSpecification(priority: 1))
            let leased = try await queue.lease(7, at: 0)
            for ordinal in [3, 0, 6, 1, 4] { _ = try await queue.settle(leased[ordinal], .text("\(ordinal)"), at: 1) }
            #expect(try await queue.all(batch, .completion).map(\.ordinal) == [3, 0, 6, 1, 4])
            // In input order only as far as there is no gap.
            #expect(try await queue.all(batch, .input).map(\.ordinal) == [0, 1])
            #expect(try await queue.all(other, .input).isEmpty)

            var seen: [Int] = []
            var cursor: ResultCursor?
            while let page = try await queue.results(batch, after: cursor, limit: 2, order: .completion).last {
                let all = try await queue.results(batch, after: cursor, limit: 2, order: .completion)
                #expect(all.count <= 2)
                seen += all.map(\.ordinal)
                cursor = page.cursor
            }
            #expect(seen == [3, 0, 6, 1, 4])
            let last = try #require(cursor)
            // New ones come behind the cursor.
            _ = try await queue.settle(leased[2], .text("2"), at: 2)
            #expect(
                try await queue.results(batch, after: last, limit: 9, order: .completion).map(\.ordinal) == [2])
            let second = try await queue.all(batch, .input)[1].cursor
            #expect(
                try await queue.results(batch, after: second, limit: 9, order: .input).map(\.ordinal) == [2, 3, 4])
            #expect(
                try await queue.results(batch, after: second, limit: 2, order: .input).map(\.ordinal) == [2, 3])
            for order in ResultOrder.allCases {
                #expect(try await queue.results(batch, after: nil, limit: 0, order: order).isEmpty)
                #expect(try await queue.results(batch, after: nil, limit: -5, order: order).isEmpty)
                let past = ResultCursor(.max)
                #expect(try await queue.results(batch, after: past, limit: 9, order: order).isEmpty)
            }
        }
    }

    @Test(arguments: Store.all)
    func theListBeginsWithTheNewest(_ store: Store) async throws {
        try await store.test { queue in
            #expect(try await queue.list(limit: 9).isEmpty)
            let first = try await queue.submit(1, at: 100)
            let second = try await queue.submit(0, at: 50)
            let third = try await queue.open(BatchSpecification(), at: 75)
            #expect(try await queue.list(limit: 9).map(\.id) == [third, second, first])
            #expect(try await queue.list(limit: 2).map(\.id) == [third, second])
            #expect(try await queue.list(limit: 0).isEmpty)
            #expect(try await queue.list(limit: 9).last == queue.status(first))
        }
    }
}
