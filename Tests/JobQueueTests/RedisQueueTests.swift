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
