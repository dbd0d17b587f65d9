import Foundation
import RedisServer
import Testing

@testable import JobQueue

/// What only a store on a server can meet; the contract itself is Conformance's.
@Suite struct RedisQueueTests {
    private func open(
        _ server: RedisServer, clock: RedisOptions.Clock = .caller, callTimeoutMs: Int = 15_000
    ) async throws -> RedisQueue {
        var options = RedisOptions()
        options.clock = clock
        options.callTimeoutMs = callTimeoutMs
        return try await RedisQueue.open(RedisAddress(endpoint: .unix(path: server.socket)), options: options)
    }

    @Test func largeBatchesGoInSteps() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let count = 1_700
        let requests = (0..<count).map { request($0, bytes: 20_000) }
        let batch = try await queue.open(BatchSpecification(maxAttempts: 9), at: 0)
        try await queue.append(requests, to: batch, from: 0, at: 0)
        try await queue.append(requests, to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: count, at: 0)
        let leased = try await queue.lease(max: 1_000, worker: "w", durationMs: 10, at: 0)
        #expect(leased.map(\.lease.key.ordinal) == Array(0..<1_000))
        let claim = LeaseClaim(worker: "w", maxRequests: 1_000, maxTokens: 600, durationMs: 10)
        #expect(try await queue.lease(claim, at: 0).map(\.lease.key.ordinal) == Array(1_000..<1_600))
        #expect(try await queue.recover(at: 10) == 1_600)
        let again = try await queue.lease(max: 600, worker: "w", durationMs: 10, at: 10)
        #expect(again.map(\.lease.key.ordinal) == Array(0..<600))
        #expect(again.allSatisfy { $0.lease.attempt == 2 && $0.crashes == 1 })
        let settlements = again.map {
            Settlement(lease: $0.lease, outcome: response(String(repeating: "x", count: 20_000)))
        }
        #expect(try await queue.settle(settlements, at: 11).allSatisfy { $0 == .done })
        #expect(try await queue.results(batch, after: nil, limit: .max, order: .input).map(\.ordinal) == Array(0..<600))
        #expect(try await queue.results(batch, after: nil, limit: .max, order: .completion).count == 600)
        try await queue.cancel(batch, at: 12)
        #expect(try await queue.status(batch).counts == BatchCounts(total: count, completed: 600, cancelled: 1_100))
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    @Test func aCancelCutOffHalfwayIsFinishedByRecover() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let batch = try await queue.open(BatchSpecification(), at: 0)
        try await queue.append((0..<1_200).map { request($0) }, to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: 1_200, at: 0)
        let leased = try await queue.lease(max: 2, worker: "w", durationMs: 10, at: 0)
        // The first step of `cancel`, and no more.
        _ = try await queue.run(.cancel, at: 5, [queue.argument(batch)])
        #expect(try await queue.status(batch).state == .cancelling)
        #expect(try await queue.lease(max: 9, worker: "w", durationMs: 10, at: 6).isEmpty)
        #expect(try await queue.renew(leased.map(\.lease), durationMs: 9, at: 6) == [.lost, .lost])
        #expect(try await queue.overview(at: 6).depths.isEmpty)
        _ = try await queue.run(.goOn, at: 7, ["500", queue.argument(batch)])
        let status = try await queue.status(batch)
        #expect(status.counts == BatchCounts(total: 1_200, queued: 700, cancelled: 500))
        #expect(try await queue.integrityProblems() == [])
        #expect(try await queue.recover(at: 9) == 700)
        #expect(try await queue.status(batch).state == .cancelled)
        #expect(try await queue.status(batch).endedAt == 5)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    @Test func manyWorkersGetEachRequestOnce() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let other = try await open(server)
        let batch = try await queue.open(BatchSpecification(), at: 0)
        try await queue.append((0..<800).map { request($0) }, to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: 800, at: 0)
        let seen = try await withThrowingTaskGroup(of: [Int].self) { group in
            for worker in 0..<12 {
                group.addTask {
                    let mine = worker % 2 == 0 ? queue : other
                    var seen: [Int] = []
                    while true {
                        let leased = try await mine.lease(
                            max: 1 + worker, worker: "w\(worker)", durationMs: 1000, at: 0)
                        if leased.isEmpty { return seen }
                        let done = try await mine.settle(
                            leased.map { Settlement(lease: $0.lease, outcome: response("t")) }, at: 1)
                        #expect(done.allSatisfy { $0 == .done })
                        seen += leased.map(\.lease.key.ordinal)
                    }
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(seen.sorted() == Array(0..<800))
        #expect(try await queue.status(batch).state == .completed)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
        try await other.close()
    }

    /// Workers whose clocks are wrong by decades neither take leases early nor keep them long.
    @Test func theServersClockDecides() async throws {
        let server = try RedisServer()
        let queue = try await open(server, clock: .server)
        let batch = try await queue.open(BatchSpecification(), at: 0)
        try await queue.append([request(0), request(1)], to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: 2, at: 0)
        let future = Timestamp(milliseconds: 9_000_000_000_000)
        #expect(try await queue.lease(max: 1, worker: "w", durationMs: 3_600_000, at: 5)[0].expiresAt == 3_600_005)
        #expect(try await queue.lease(max: 1, worker: "w", durationMs: 1, at: future).count == 1)
        var moved = 0
        while moved == 0 { moved = try await queue.recover(at: future) }
        #expect(moved == 1)
        #expect(try await queue.status(batch).counts == BatchCounts(total: 2, queued: 1, leased: 1))
        #expect(try await queue.status(batch).createdAt.milliseconds > 1_600_000_000_000)
        let report = WorkerReport(
            name: "w", host: "h", processID: 1, models: [], backend: "", phase: .running, startedAt: 0, reportedAt: 7)
        try await queue.heartbeat(report, at: 7)
        #expect(try await queue.workers(at: future).map(\.name) == ["w"])
        try await queue.close()
    }

    @Test func acceptedMeansKept() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let batch = try await queue.open(BatchSpecification(idempotencyKey: "k"), at: 0)
        try await queue.append((0..<50).map { request($0) }, to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: 50, at: 0)
        let leased = try await queue.lease(max: 10, worker: "w", durationMs: 10, at: 0)
        _ = try await queue.settle([Settlement(lease: leased[0].lease, outcome: response("t"))], at: 1)
        server.kill()
        for _ in 0..<3 {
            let error = try await failure { _ = try await queue.status(batch) }
            guard case .unavailable = error else { throw error }
        }
        try server.start()
        // The same connection finds back, and scripts that the server has forgotten are loaded again.
        #expect(try await queue.status(batch).counts == BatchCounts(total: 50, queued: 40, leased: 9, completed: 1))
        #expect(
            try await queue.settle([Settlement(lease: leased[1].lease, outcome: response("t"))], at: 2) == [.done])
        #expect(try await queue.open(BatchSpecification(idempotencyKey: "k"), at: 0) == batch)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    @Test func aServerThatHangsIsTakenForLost() async throws {
        let server = try RedisServer()
        let queue = try await open(server, callTimeoutMs: 2_000)
        let batch = try await queue.open(BatchSpecification(), at: 0)
        server.signal(SIGSTOP)
        let error = try await failure { _ = try await queue.status(batch) }
        guard case .unavailable(let what) = error else { throw error }
        #expect(what.contains("no answer in 2000 ms"))
        server.signal(SIGCONT)
        while (try? await queue.status(batch)) == nil {}
        try await queue.close()
    }

    /// Tenants are read in pages, opened in turn.
    @Test func hundredsOfTenantsTakeTurns() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let names = (0..<200).map { "t\($0)" }
        for name in names {
            let batch = try await queue.open(BatchSpecification(tenant: name), at: 0)
            try await queue.append((0..<3).map { request($0) }, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: 3, at: 0)
        }
        let sorted = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        for _ in 0..<2 {
            let leased = try await queue.lease(max: 200, worker: "w", durationMs: 9_000, at: 0)
            #expect(leased.map(\.tenant) == sorted)
        }
        let claim = LeaseClaim(worker: "w", maxRequests: 150, durationMs: 9_000)
        #expect(try await queue.lease(claim, at: 0).map(\.tenant) == Array(sorted[..<150]))
        #expect(try await queue.lease(claim, at: 0).map(\.tenant) == Array(sorted[150...]))
        #expect(try await queue.lease(claim, at: 0).isEmpty)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    /// When batches are forgotten, so is all that was kept for them.
    @Test func nothingIsLeftOfForgottenBatches() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        func keys() async throws -> [String] {
            (try await queue.call(["KEYS", "*"]).array ?? []).compactMap(\.text).map {
                String($0.dropFirst(queue.keys.prefix.count))
            }.sorted()
        }
        // Two tenants share no line, two batches of one do; some have dead letters, one is cancelled.
        var batches: [BatchID] = []
        for (number, tenant) in ["a", "a", "b", "a", "b"].enumerated() {
            let specification = BatchSpecification(
                tenant: tenant, priority: number / 3, idempotencyKey: "k\(number)", maxAttempts: 1, retentionMs: 1000)
            let batch = try await queue.open(specification, at: 0)
            let requests = (0..<4).map {
                AppendedRequest.accepted(
                    Request(
                        customID: "r\($0)", endpoint: .completions, body: [UInt8(ascii: "{"), UInt8(ascii: "}")],
                        model: "m\($0 % 2)"))
            }
            try await queue.append(requests, to: batch, from: 0, at: 0)
            try await queue.append(requests, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: 4, at: 0)
            batches.append(batch)
        }
        #expect(try await queue.call(["HLEN", RedisArgument(queue.keys.prefix + "lines")]).int == 8)
        let leased = try await queue.lease(max: 99, worker: "w", durationMs: 10, at: 0)
        #expect(leased.count == 20)
        try await queue.cancel(batches[3], at: 1)
        let quick = leased.filter { $0.lease.key.batch == batches[0] }
        _ = try await queue.settle(quick.map { Settlement(lease: $0.lease, outcome: response("t")) }, at: 2)
        #expect(try await queue.recover(at: 10) == 12)
        #expect(try await queue.deadLetters(batches[1], after: nil, limit: 9).count == 4)
        #expect(try await queue.integrityProblems() == [])
        _ = try await queue.recover(at: 1_002)
        // Lines that other batches have had requests of stay.
        #expect(try await queue.call(["HLEN", RedisArgument(queue.keys.prefix + "lines")]).int == 6)
        #expect(try await queue.deadLetters(batches[1], after: nil, limit: 9).map(\.request.model).contains("m1"))
        #expect(try await queue.integrityProblems() == [])
        _ = try await queue.recover(at: 9_000)
        #expect(try await keys() == ["days", "meta", "usage:0"])
        // Names are given out again.
        let again = try await queue.open(BatchSpecification(tenant: "a", idempotencyKey: "k0", retentionMs: 1), at: 0)
        #expect(!batches.contains(again))
        try await queue.append([request(0)], to: again, from: 0, at: 0)
        try await queue.cancel(again, at: 0)
        _ = try await queue.recover(at: 9_000)
        #expect(try await keys() == ["days", "meta", "usage:0"])
        try await queue.close()
    }

    /// A queue that an older version wrote has no costs; one that a later version writes may have more.
    @Test func whatOtherVersionsCountIsNoProblem() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let batch = try await queue.open(BatchSpecification(), at: 0)
        try await queue.append((0..<2).map { request($0) }, to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: 2, at: 0)
        _ = try await queue.call(["HDEL", RedisArgument(queue.keys.batch(batch)), "cost_nanodollars"])
        let leased = try await queue.lease(max: 2, worker: "w", durationMs: 10, at: 0)
        var outcome = response("t")
        _ = try await queue.settle([Settlement(lease: leased[0].lease, outcome: outcome)], at: 1)
        #expect(try await queue.status(batch).usage.costNanodollars == 0)
        outcome.usage.costNanodollars = 12
        _ = try await queue.settle([Settlement(lease: leased[1].lease, outcome: outcome)], at: 1)
        #expect(try await queue.status(batch).usage.costNanodollars == 12)
        _ = try await queue.call([
            "HSET", RedisArgument(queue.keys.usage(day: "0")), #"["default","","cpu","watts"]"#, "9",
        ])
        #expect(try await queue.usage(UsageQuery()).map(\.usage.costNanodollars) == [12])
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    /// Suspects at the head of a queue are not looked at by those who want others.
    @Test(arguments: [1, 400]) func suspectsAreNotInTheWay(_ count: Int) async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        for _ in 0..<3 {
            let batch = try await queue.open(BatchSpecification(maxAttempts: 9), at: 0)
            try await queue.append((0..<count).map { request($0) }, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: count, at: 0)
        }
        for round in 0..<2 {
            let now = Timestamp(milliseconds: Int64(round) * 10)
            _ = try await queue.lease(max: 9_999, worker: "w", durationMs: 10, at: now)
            #expect(try await queue.recover(at: now + 10) == 3 * count)
        }
        let innocent = try await queue.open(BatchSpecification(), at: 20)
        try await queue.append([request(0)], to: innocent, from: 0, at: 20)
        try await queue.seal(innocent, total: 1, at: 20)
        func commands(_ suspects: LeaseClaim.Suspects, _ found: Int) async throws -> Int {
            _ = try await queue.call(["CONFIG", "RESETSTAT"])
            let claim = LeaseClaim(worker: "w", maxRequests: 64, durationMs: 10, suspects: suspects)
            #expect(try await queue.lease(claim, at: 20).count == found)
            let statistics = try await queue.call(["INFO", "commandstats"]).text ?? ""
            return statistics.split(separator: "\n").compactMap { line in
                line.split(separator: "calls=").last.flatMap { Int($0.prefix { $0.isNumber }) }
            }.reduce(0, +)
        }
        #expect(try await commands(.none, 1) < 45)
        #expect(try await commands(.none, 0) < 45)
        #expect(try await commands(.one, 1) < 45)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    /// All keys of a queue are in one slot, those that scripts make up as well.
    @Test func aClusterKeepsAQueueWhole() async throws {
        let server = try RedisServer([
            "--port", "\(RedisServer.freePort())", "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port",
            "\(RedisServer.freePort())",
        ])
        let address = try RedisAddress(endpoint: .unix(path: server.socket))
        let refusal = try await failure { try await RedisQueue.open(address).close() }
        guard case .unavailable(let what) = refusal else { throw refusal }
        #expect(what.contains("cluster is down"))
        let connection = RedisConnection(address, RedisOptions())
        _ = try await connection.call(RedisCommand(["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]))
        var queue: RedisQueue?
        while queue == nil { queue = try? await open(server) }
        let there = try #require(queue)
        let batch = try await there.open(BatchSpecification(idempotencyKey: "k"), at: 0)
        try await there.append((0..<9).map { request($0) }, to: batch, from: 0, at: 0)
        try await there.seal(batch, total: 9, at: 0)
        let leased = try await there.lease(max: 5, worker: "w", durationMs: 10, at: 0)
        _ = try await there.settle([Settlement(lease: leased[0].lease, outcome: response("t"))], at: 1)
        #expect(try await there.recover(at: 10) == 4)
        try await there.cancel(batch, at: 11)
        #expect(try await there.integrityProblems() == [])
        try await there.close()
        await connection.close()
    }

    @Test func usersAndDatabasesAreReachedOverTCP() async throws {
        let port = RedisServer.freePort()
        let server = try RedisServer([
            "--port", "\(port)", "--bind", "127.0.0.1", "--user", "worker", "on", ">p@ss", "~millrace:*", "&*",
            "+@all",
        ])
        let url = "redis://worker:p%40ss@127.0.0.1:\(port)/3?queue=q"
        let queue = try await QueueAddress(url).open()
        let batch = try await queue.open(BatchSpecification(), at: 0)
        try await queue.append([request(0)], to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: 1, at: 0)
        #expect(try await queue.lease(max: 1, worker: "w", durationMs: 9_000, at: 0).count == 1)
        try await queue.close()
        // Elsewhere there is nothing of it.
        let other = try await open(server)
        #expect(try await other.call(["DBSIZE"]).int == 1)
        _ = try await other.call(["SELECT", "3"])
        #expect(try await other.call(["DBSIZE"]).int ?? 0 > 5)
        try await other.close()
    }

    @Test func aClosedQueueAnswersNothing() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let batch = try await queue.open(BatchSpecification(), at: 0)
        try await queue.close()
        try await queue.close()
        let error = try await failure { _ = try await queue.status(batch) }
        #expect(error == .unavailable("the queue has been closed"))
    }
}
