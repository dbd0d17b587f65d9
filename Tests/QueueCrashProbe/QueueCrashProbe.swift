import Foundation
import JobQueue

/// Works on a queue file and says on standard output, one line a call, what the queue has acknowledged. Tests
/// kill it at random moments and then hold the file to what it said.
///
///     QueueCrashProbe FILE LIFE TOTAL
///
/// LIFE numbers the runs on one file: it seeds the choices and moves the clock, so that leases of earlier
/// lives are over. Lines: `appended COUNT` (so many from the first), `sealed`, `settled ORDINAL ATTEMPT`,
/// `done`.
@main struct QueueCrashProbe {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let life = Int64(arguments[2]), let total = Int(arguments[3]) else {
            FileHandle.standardError.write(Data("usage: QueueCrashProbe FILE LIFE TOTAL\n".utf8))
            exit(64)
        }
        let queue = try SQLiteQueue(path: arguments[1], exclusive: true)
        say("opened")
        let now = Timestamp(milliseconds: life * 1_000_000)
        _ = try await queue.recover(at: now)
        let batch = try await queue.open(
            BatchSpecification(idempotencyKey: "probe", maxAttempts: 1_000), at: now)
        var random = Xorshift(state: UInt64(life) &* 0x9E37_79B9_7F4A_7C15 | 1)
        if try await queue.status(batch).acceptedAt == nil {
            var from = 0
            while from < total {
                let count = min(total - from, Int.random(in: 1...40, using: &random))
                try await queue.append((from..<from + count).map(request), to: batch, from: from, at: now)
                from += count
                say("appended \(from)")
            }
            try await queue.seal(batch, total: total, at: now)
            say("sealed")
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<3 {
                let seed = random.next()
                group.addTask {
                    try await work(queue, worker: worker, random: Xorshift(state: seed | 1), at: now)
                }
            }
            try await group.waitForAll()
        }
        try await queue.close()
        say("done")
    }

    /// Leases, and settles most, hands some back and fails some, until nothing is left.
    private static func work(
        _ queue: SQLiteQueue, worker: Int, random: Xorshift, at now: Timestamp
    ) async throws {
        var random = random
        let error = OutcomeError(code: "probe", message: "tried in vain")
        while true {
            let leased = try await queue.lease(
                max: Int.random(in: 1...16, using: &random), worker: "w\(worker)", durationMs: 1000, at: now)
            if leased.isEmpty { return }
            var settlements: [Settlement] = []
            for request in leased {
                switch Int.random(in: 0..<10, using: &random) {
                case 0: _ = try await queue.release([request.lease], reason: .handedBack, at: now)
                case 1:
                    _ = try await queue.release(
                        [request.lease], reason: .failed(error, retryAfterMs: 0), at: now)
                default: settlements.append(Settlement(lease: request.lease, outcome: outcome(request.lease)))
                }
            }
            let results = try await queue.settle(settlements, at: now)
            for (settlement, result) in zip(settlements, results) where result == .done {
                say("settled \(settlement.lease.key.ordinal) \(settlement.lease.attempt)")
            }
        }
    }

    private static func request(_ ordinal: Int) -> AppendedRequest {
        .accepted(
            Request(
                customID: "r\(ordinal)", endpoint: .completions,
                body: Array(
                    "{\"prompt\":\"\(ordinal) \(String(repeating: "x", count: ordinal % 900))\"}".utf8),
                line: ordinal + 1))
    }

    private static func outcome(_ lease: Lease) -> Outcome {
        Outcome(
            result: .response(
                statusCode: 200, body: Array("{\"of\":\"\(lease.key.ordinal) \(lease.attempt)\"}".utf8)),
            usage: Usage(
                promptTokens: lease.key.ordinal % 100, completionTokens: 1, costNanodollars: lease.key.ordinal),
            backend: "probe")
    }

    /// One write a line, so that a kill leaves no acknowledged line behind in a buffer.
    private static func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
}

/// Marsaglia's xorshift64 (https://doi.org/10.18637/jss.v008.i14).
struct Xorshift: RandomNumberGenerator, Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
