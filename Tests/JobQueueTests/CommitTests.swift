import Foundation
import JobQueue
import Synchronization
import Testing

/// Calls that share a commit, calls whose task is cancelled, and what statements cost.
@Suite struct CommitTests {
    @Test func callsThatWaitTogetherShareACommit() async throws {
        let queue = try SQLiteQueue.temporary()
        let statements = Collected()
        try await queue.traceStatements { statements.append($0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for i in 0..<400 {
                group.addTask { _ = try await queue.open(BatchSpecification(tenant: "t\(i)"), at: 0) }
            }
            try await group.waitForAll()
        }
        let commits = statements.all.count { $0.hasPrefix("COMMIT") }
        #expect(commits < 400)
        #expect(commits >= 400 / 64)
        #expect(try await queue.list(limit: 999).count == 400)
        try await queue.close()
    }

    @Test func aCallThatFailsUndoesNothingOfItsNeighbours() async throws {
        let queue = try SQLiteQueue.temporary()
        let batch = try await queue.open(BatchSpecification(), at: 0)
        try await queue.append((0..<3).map { request($0) }, to: batch, from: 0, at: 0)
        let outcomes = try await withThrowingTaskGroup(of: String.self) { group in
            for i in 0..<200 {
                group.addTask {
                    if i % 2 == 0 {
                        return try await queue.open(BatchSpecification(tenant: "t\(i)"), at: 0).value
                    }
                    do {
                        // Its first request is new, its second differs: undone as a whole.
                        try await queue.append(
                            [request(2), request(7), request(8)], to: batch, from: 2, at: 0)
                        try await queue.append([request(99)], to: batch, from: 0, at: 0)
                        return "accepted"
                    } catch let error as JobQueueError {
                        guard case .conflict = error else { throw error }
                        return "conflict"
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.count { $0 == "conflict" } == 100)
        #expect(outcomes.count { $0.hasPrefix("batch_") } == 100)
        #expect(try await queue.list(limit: 999).count == 101)
        #expect(try await queue.status(batch).counts.total == 5)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    @Test func aCancelledTaskStillSettles() async throws {
        let queue = try SQLiteQueue.temporary()
        let batch = try await queue.submit(1)
        let leased = try await queue.lease(max: 1, worker: "w", durationMs: 9, at: 0)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await queue.settle([Settlement(lease: leased[0].lease, outcome: response("t"))], at: 1)
        }
        #expect(try await task.value == [.done])
        #expect(try await queue.status(batch).state == .completed)
        try await queue.close()
    }

    /// No call walks a table: each finds what it moves by an index, and needs no sorting, however many rows
    /// there are.
    @Test func everyStatementIsIndexed() async throws {
        let queue = try SQLiteQueue.temporary()
        let statements = Collected()
        try await queue.traceStatements { statements.append($0) }
        let error = OutcomeError(code: "overloaded", message: "m")
        for round in 0..<2 {
            let batch = try await queue.open(
                BatchSpecification(
                    completionWindowMs: 1000, idempotencyKey: "\(round)", maxAttempts: 2, retentionMs: 50),
                at: 0)
            let refused = AppendedRequest.refused(customID: "x", line: 5, .failure(error))
            let requests = (0..<8).map { request($0) } + [request(1), refused]
            try await queue.append(requests, to: batch, from: 0, at: 0)
            try await queue.append(requests, to: batch, from: 0, at: 0)
            try await queue.seal(batch, total: 10, at: 0)
            var leased = try await queue.lease(max: 5, worker: "w", durationMs: 10, at: 0)
            _ = try await queue.renew([leased[0].lease], durationMs: 10, at: 0)
            _ = try await queue.settle([Settlement(lease: leased[0].lease, outcome: response("t"))], at: 0)
            _ = try await queue.release([leased[1].lease], reason: .handedBack, at: 0)
            _ = try await queue.release([leased[2].lease], reason: .failed(error, retryAfterMs: 5), at: 0)
            _ = try await queue.recover(at: 20)
            leased = try await queue.lease(max: 5, worker: "w", durationMs: 10, at: 30)
            _ = try await queue.recover(at: 50)
            for order in ResultOrder.allCases {
                _ = try await queue.results(batch, after: ResultCursor(0), limit: 9, order: order)
            }
            _ = try await queue.status(batch)
            _ = try await queue.list(limit: 5)
            _ = try await queue.list(tenant: "default", limit: 5)
            _ = try await queue.deadLetters(batch, after: 0, limit: 5)
            _ = try await queue.workers(at: 0)
            if round == 0 {
                try await queue.cancel(batch, at: 60)
            } else {
                _ = try await queue.recover(at: 2000)
            }
            _ = try await queue.recover(at: 3000)
        }
        let distinct = Set(statements.all).filter { sql in
            ["SELECT", "INSERT", "UPDATE", "DELETE"].contains { sql.hasPrefix($0) }
        }
        #expect(distinct.count > 20)
        for sql in distinct.sorted() {
            for step in try await queue.inspect("EXPLAIN QUERY PLAN \(sql)").map({ $0.last ?? "" }) {
                // By number the newest batch is first; the window over a batch's rows is read from their own
                // key.
                let bounded =
                    step.contains("SCAN batch USING INDEX batch_leasable") || step == "SCAN (subquery-2)"
                    || step == "SCAN CONSTANT ROW" || step.hasPrefix("SCAN worker")
                    || (step == "SCAN batch" && sql.contains("ORDER BY seq DESC LIMIT"))
                #expect(bounded || !step.hasPrefix("SCAN"), "\(step): \(sql)")
                // What recover and a batch's end move they sort, to be fair and reproducible.
                let sorts = step.hasPrefix("USE TEMP B-TREE")
                #expect(
                    !sorts || sql.contains("lease_expires <= ") || sql.contains("deadline <= ")
                        || sql.contains("FROM pending WHERE key BETWEEN ? AND ? GROUP BY model"),
                    "\(step): \(sql)")
            }
        }
        try await queue.close()
    }
}

/// Strings gathered from another thread.
final class Collected: Sendable {
    private let strings = Mutex<[String]>([])

    func append(_ string: String) { strings.withLock { $0.append(string) } }
    var all: [String] { strings.withLock { $0 } }
}
