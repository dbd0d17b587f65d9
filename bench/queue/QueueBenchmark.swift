import Foundation
import JobQueue

/// How many requests a queue file takes and gives in a second.
///
///     swift run -c release QueueBenchmark FOLDER [REQUESTS] [BODY-BYTES]
///
/// Times appends in chunks of 500 (custom_ids in order, then at random), lease and settle in groups of 64 by
/// one worker and by four, results in both orders, cancelling, and a lease among all. Prints rate, processor
/// time each, and sizes.
@main struct QueueBenchmark {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 2 else {
            print("usage: QueueBenchmark FOLDER [REQUESTS] [BODY-BYTES]")
            exit(64)
        }
        let path = URL(filePath: arguments[1]).appending(path: "benchmark.sqlite").path
        let benchmark = QueueBenchmark(
            path: path, count: arguments.count > 2 ? Int(arguments[2]) ?? 200_000 : 200_000,
            bodyBytes: arguments.count > 3 ? Int(arguments[3]) ?? 1024 : 1024)
        for name in [path, path + "-wal", path + "-shm"] { try? FileManager.default.removeItem(atPath: name) }
        try await benchmark.run()
    }

    let path: String
    let count: Int
    let bodyBytes: Int
    private static let now = Timestamp(milliseconds: 1_700_000_000_000)

    private func run() async throws {
        let queue = try SQLiteQueue(path: path, exclusive: true)
        print("\(count) requests of \(bodyBytes) bytes; \(path)")
        let ordered = try await queue.open(BatchSpecification(priority: 1), at: Self.now)
        try await timed("append, custom_ids in order", count) {
            try await append(queue, ordered) { "request-\($0)" }
        }
        let shuffled = try await queue.open(BatchSpecification(), at: Self.now)
        try await timed("append, custom_ids at random", count) {
            try await append(queue, shuffled) { String(UInt64($0) &* 0x9E37_79B9_7F4A_7C15, radix: 36) }
        }
        try await queue.seal(ordered, total: count, at: Self.now)
        try await queue.seal(shuffled, total: count, at: Self.now)
        try await timed("lease and hand back one among \(2 * count), 1000 times", 1000) {
            for _ in 0..<1000 {
                let leased = try await queue.lease(max: 1, worker: "w", durationMs: 1000, at: Self.now)
                _ = try await queue.release(leased.map(\.lease), reason: .handedBack, at: Self.now)
                _ = try await queue.recover(at: Self.now)
            }
        }
        try await timed("lease and settle by 64, one worker", count / 2) {
            try await work(queue, requests: count / 2)
        }
        try await timed("lease and settle by 64, four workers", count / 2) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { try await work(queue, requests: count / 8) } }
                try await group.waitForAll()
            }
        }
        for order in ResultOrder.allCases {
            try await timed("results by 500 in \(order.rawValue) order", count) {
                var cursor: ResultCursor?
                while let last = try await queue.results(ordered, after: cursor, limit: 500, order: order)
                    .last
                {
                    cursor = last.cursor
                }
            }
        }
        try await timed("cancel", count) { try await queue.cancel(shuffled, at: Self.now) }
        try await timed("check integrity", 2 * count) {
            let problems = try await queue.integrityProblems()
            if !problems.isEmpty { print(problems) }
        }
        try await queue.close()
        report("closed", 0, 0, cpuUs: 0)
    }

    private func append(_ queue: SQLiteQueue, _ batch: BatchID, _ name: (Int) -> String) async throws {
        let filler = String(repeating: "x", count: max(0, bodyBytes - 30))
        for from in stride(from: 0, to: count, by: 500) {
            let requests = (from..<min(count, from + 500)).map { ordinal in
                AppendedRequest.accepted(
                    Request(
                        customID: name(ordinal), endpoint: .completions,
                        body: Array("{\"prompt\":\"\(ordinal) \(filler)\"}".utf8), line: ordinal + 1))
            }
            try await queue.append(requests, to: batch, from: from, at: Self.now)
        }
    }

    private func work(_ queue: SQLiteQueue, requests: Int) async throws {
        let body = Array("{\"text\":\"\(String(repeating: "y", count: max(0, bodyBytes - 30)))\"}".utf8)
        let outcome = Outcome(
            result: .response(statusCode: 200, body: body),
            usage: Usage(promptTokens: 72, completionTokens: 64),
            backend: "cpu", timings: Timings(queuedMs: 10, prefillMs: 100, decodeMs: 1000))
        var left = requests
        while left > 0 {
            let leased = try await queue.lease(
                max: min(64, left), worker: "w", durationMs: 60_000, at: Self.now)
            if leased.isEmpty { return }
            left -= leased.count
            _ = try await queue.settle(
                leased.map { Settlement(lease: $0.lease, outcome: outcome) }, at: Self.now)
        }
    }

    private func timed(_ what: String, _ items: Int, _ body: () async throws -> Void) async throws {
        let start = ContinuousClock.now
        let startCPU = clock()
        try await body()
        report(what, items, start.duration(to: .now) / .seconds(1), cpuUs: Double(clock() - startCPU))
    }

    /// The processor's time beside the wall's: it says the same on a busy machine.
    private func report(_ what: String, _ items: Int, _ seconds: Double, cpuUs: Double) {
        let bytes = [path, path + "-wal"].map {
            (try? FileManager.default.attributesOfItem(atPath: $0)[.size] as? Int) ?? 0
        }
        let rate = items > 0 ? "\(Int(Double(items) / seconds))/s" : ""
        let cpu = items > 0 ? String(format: "%.1f us", cpuUs / Double(items)) : ""
        let sizes = "file \(bytes[0] >> 20) MiB, log \(bytes[1] >> 20) MiB"
        let columns =
            [what.padding(toLength: 52, withPad: " ", startingAt: 0)]
            + [rate, cpu].map { $0.padding(toLength: 12, withPad: " ", startingAt: 0) }
        print(columns.joined() + sizes)
    }
}
