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

    /// One that was free a moment ago.
    private static func freePort() -> Int {
        let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listening, $0, length)
                _ = getsockname(listening, $0, &length)
            }
        }
        close(listening)
        return Int(UInt16(bigEndian: address.sin_port))
    }

    /// All keys of a queue are in one slot, those that scripts make up as well.
    @Test func aClusterKeepsAQueueWhole() async throws {
        let server = try RedisServer([
            "--port", "\(Self.freePort())", "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port",
            "\(Self.freePort())",
        ])
        let address = try RedisAddress(endpoint: .unix(path: server.socket))
        let refusal = try await failure { try await RedisQueue.open(address).close() }
        guard case .unavailable(let what) = refusal else { throw refusal }
        #expect(what.contains("cluster is down"))
        let connection = RedisConnection(address, connectTimeoutMs: 5000, callTimeoutMs: 5000)
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
        let port = Self.freePort()
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
