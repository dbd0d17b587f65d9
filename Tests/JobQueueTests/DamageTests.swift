import Foundation
import JobQueue
import Testing

/// Damaged files: whatever is in them, calls answer or throw a `JobQueueError`; nothing traps.
@Suite struct DamageTests {
    /// A queue with requests in every state, as a file.
    private static func file() async throws -> [UInt8] {
        let scratch = try Scratch()
        let queue = try SQLiteQueue(path: scratch.path)
        for priority in 0..<3 {
            let batch = try await queue.submit(
                40, BatchSpecification(priority: priority, completionWindowMs: 10_000, metadata: ["a": "b"]))
            try await queue.append([request(0)], to: batch, from: 0, at: 0)
            let leased = try await queue.lease(max: 20, worker: "w", durationMs: 100, at: 1)
            _ = try await queue.settle(
                leased.prefix(10).map { Settlement(lease: $0.lease, outcome: response("text")) }, at: 2)
            let error = OutcomeError(code: "overloaded", message: "later")
            _ = try await queue.release(
                [leased[10].lease], reason: .failed(error, retryAfterMs: 50), at: 3)
        }
        try await queue.close()
        return try scratch.bytes()
    }

    /// Every kind of call, on every batch that can be read. Returns what was thrown.
    private static func exercise(_ path: String) async throws -> [JobQueueError] {
        var thrown: [JobQueueError] = []
        func attempt(_ body: () async throws -> Void) async throws {
            do {
                try await body()
            } catch let error as JobQueueError {
                thrown.append(error)
            }
        }
        try await attempt {
            let queue = try SQLiteQueue(path: path)
            try await attempt { _ = try await queue.integrityProblems() }
            var batches: [BatchID] = []
            try await attempt { batches = try await queue.list(limit: 10).map(\.id) }
            for batch in batches {
                try await attempt {
                    try await queue.append([request(0), request(1)], to: batch, from: 0, at: 0)
                }
                for order in ResultOrder.allCases {
                    try await attempt {
                        _ = try await queue.results(batch, after: nil, limit: 99, order: order)
                    }
                }
            }
            try await attempt {
                let leased = try await queue.lease(max: 30, worker: "w", durationMs: 100, at: 60)
                _ = try await queue.settle(
                    leased.prefix(5).map { Settlement(lease: $0.lease, outcome: response("text")) }, at: 61)
                _ = try await queue.release(leased.suffix(3).map(\.lease), reason: .handedBack, at: 62)
            }
            try await attempt { _ = try await queue.open(BatchSpecification(idempotencyKey: "new"), at: 63) }
            try await attempt { _ = try await queue.recover(at: 500) }
            for batch in batches.prefix(1) { try await attempt { try await queue.cancel(batch, at: 501) } }
            try await attempt { _ = try await queue.recover(at: 50_000) }
            try await attempt { try await queue.close() }
        }
        return thrown
    }

    @Test func theUndamagedFileWorks() async throws {
        let scratch = try Scratch()
        try scratch.write(try await Self.file())
        #expect(try await Self.exercise(scratch.path) == [])
    }

    @Test func flippedBitsNeverTrap() async throws {
        let good = try await Self.file()
        let scratch = try Scratch()
        var random = Generator(state: 7)
        var unusable = 0
        for round in 0..<60 {
            var bytes = good
            // Some in the header and the schema, where each bit matters.
            let limit = round % 3 == 0 ? 100 : round % 3 == 1 ? 25_000 : bytes.count
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                bytes[Int.random(in: 0..<limit, using: &random)] ^=
                    1 << UInt8.random(in: 0..<8, using: &random)
            }
            try scratch.write(bytes)
            for error in try await Self.exercise(scratch.path) {
                if case .unusableStore(let what) = error {
                    unusable += 1
                    #expect(what.contains(scratch.path))
                }
            }
            for name in scratch.names {
                try FileManager.default.removeItem(at: scratch.folder.appending(path: name))
            }
        }
        #expect(unusable > 10)
    }

    @Test func filesCutShortNeverTrap() async throws {
        let good = try await Self.file()
        let scratch = try Scratch()
        var random = Generator(state: 11)
        for round in 0..<20 {
            let pages = Int.random(in: 0..<good.count / 8192, using: &random)
            let length = round % 2 == 0 ? pages * 8192 : Int.random(in: 1..<good.count, using: &random)
            try scratch.write(Array(good.prefix(length)))
            let thrown = try await Self.exercise(scratch.path)
            // The last pages may be free ones, which nobody misses.
            let isMissed = length > 0 && length < good.count - 4 * 8192
            #expect(!isMissed || !thrown.isEmpty, "cut to \(length) of \(good.count) bytes")
            for name in scratch.names {
                try FileManager.default.removeItem(at: scratch.folder.appending(path: name))
            }
        }
    }

    /// Each harm is done and undone: the check must have seen it.
    @Test func theCheckFindsWhatDoesNotAddUp() async throws {
        let scratch = try Scratch()
        let queue = try SQLiteQueue(path: scratch.path)
        let batch = try await queue.submit(5)
        let leased = try await queue.lease(max: 2, worker: "w", durationMs: 9, at: 0)
        _ = try await queue.settle([Settlement(lease: leased[0].lease, outcome: response("t"))], at: 1)
        #expect(try await queue.integrityProblems() == [])
        let harms = [
            "UPDATE batch SET queued = queued - 1, total = total - 1",
            "UPDATE batch SET prompt_tokens = prompt_tokens + 1",
            "UPDATE batch SET queued = queued + 1, leased = leased - 1",
            "DELETE FROM outcome", "DELETE FROM pending WHERE key & 3 = 2",
        ]
        for harm in harms {
            #expect(try await !queue.problems(after: harm).isEmpty, "\(harm)")
        }
        #expect(try await queue.integrityProblems() == [])
        #expect(try await queue.status(batch).counts.total == 5)
        try await queue.close()
    }

    /// What must always hold is in the tables too: a mistaken statement fails instead of breaking it.
    @Test func theTablesRefuseWhatCannotBe() async throws {
        let scratch = try Scratch()
        let queue = try SQLiteQueue(path: scratch.path)
        let done = try await queue.submit(1)
        let leased = try await queue.lease(max: 1, worker: "w", durationMs: 9, at: 0)
        _ = try await queue.settle([Settlement(lease: leased[0].lease, outcome: response("t"))], at: 1)
        _ = try await queue.submit(5)
        _ = try await queue.lease(max: 2, worker: "w", durationMs: 9, at: 0)
        #expect(try await queue.status(done).state == .completed)
        let refused = [
            "UPDATE pending SET worker = NULL WHERE state = 'leased'",
            "UPDATE pending SET lease_expires = NULL WHERE state = 'leased'",
            "UPDATE pending SET state = 'leased' WHERE state = 'queued'",
            "UPDATE pending SET attempt = -1", "UPDATE pending SET failures = 9",
            "UPDATE pending SET state = 'x'",
            "UPDATE pending SET not_before = 5 WHERE state = 'leased'",
            "UPDATE outcome SET state = 'failed'", "UPDATE outcome SET prompt_tokens = 4",
            "INSERT INTO outcome SELECT * FROM outcome",
            "INSERT INTO pending (key, state, attempt, failures) SELECT key, 'queued', 0, 0 FROM outcome",
            "INSERT INTO pending (key, state, attempt, failures) VALUES (77, 'queued', 0, 0)",
            "UPDATE batch SET total = total + 1 WHERE state = 'in_progress'",
            "UPDATE batch SET state = 'completed' WHERE state = 'in_progress'",
            "UPDATE batch SET state = 'completed', ended_at = 5 WHERE state = 'in_progress'",
            "UPDATE batch SET state = 'in_progress', ended_at = NULL WHERE state = 'completed'",
            "UPDATE batch SET metadata = '{}' WHERE state = 'completed'",
            "UPDATE batch SET queued = 'many'", "UPDATE request SET body = x'00'",
        ]
        for statement in refused {
            let error = try await failure { _ = try await queue.problems(after: statement) }
            guard case .unusableStore = error else { throw error }
        }
        try await queue.close()
    }
}

/// Knuth's MMIX linear congruential generator: reproducible damage.
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}
