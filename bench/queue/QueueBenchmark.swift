import Foundation
import JobQueue

/// How many requests a queue takes and gives in a second.
///
///     swift run -c release QueueBenchmark FOLDER-OR-URL [REQUESTS] [BODY-BYTES] [--only PART]
///
/// Of a folder, the queue is a file in it; a URL (redis://, unix://) names a Redis server that has nothing else to do.
/// Parts: `queue` times appends in chunks of 500 (custom_ids in order, then at random), lease and settle in groups of
/// 64 by one worker and by four, results in both orders, cancelling, and a lease among all; `fairness` who waits for
/// whom when a large batch is there before a small one; `memory` (Redis) what a queued and a settled request take.
/// Prints rate, processor time each of this process, and sizes.
@main struct QueueBenchmark {
    static func main() async throws {
        var arguments = Array(CommandLine.arguments.dropFirst())
        var only: String?
        if let at = arguments.firstIndex(of: "--only"), at + 1 < arguments.count {
            only = arguments[at + 1]
            arguments.removeSubrange(at...at + 1)
        }
        guard let place = arguments.first else {
            print("usage: QueueBenchmark FOLDER-OR-URL [REQUESTS] [BODY-BYTES] [--only queue|fairness|memory]")
            exit(64)
        }
        let count = arguments.count > 1 ? Int(arguments[1]) ?? 200_000 : 200_000
        let bodyBytes = arguments.count > 2 ? Int(arguments[2]) ?? 1024 : 1024
        for part in ["queue", "fairness", "memory"] where only == nil || only == part {
            var address = try QueueAddress(place)
            switch address {
            case .file(let folder):
                if part == "memory" { continue }
                let path = URL(filePath: folder).appending(path: "benchmark.sqlite").path
                for name in [path, path + "-wal", path + "-shm"] { try? FileManager.default.removeItem(atPath: name) }
                address = .file(path: path)
            case .redis(var redis):
                redis.queue = "benchmark-\(UUID().uuidString)"
                address = .redis(redis)
            }
            let queue = try await address.open(exclusive: true)
            let benchmark = QueueBenchmark(address: address, queue: queue, count: count, bodyBytes: bodyBytes)
            print("\(part): \(count) requests of \(bodyBytes) bytes; \(address)")
            switch part {
            case "queue": try await benchmark.run()
            case "fairness": try await benchmark.fairness()
            default: try await benchmark.memory()
            }
            try await queue.close()
            benchmark.report("closed", 0, 0, cpuUs: 0)
        }
    }

    let address: QueueAddress
    let queue: any JobQueue
    let count: Int
    let bodyBytes: Int
    private static let now = Timestamp(milliseconds: 1_700_000_000_000)

    private func run() async throws {
        let ordered = try await queue.open(BatchSpecification(priority: 1), at: Self.now)
        try await timed("append, custom_ids in order", count) { try await append(ordered) { "request-\($0)" } }
        let shuffled = try await queue.open(BatchSpecification(), at: Self.now)
        try await timed("append, custom_ids at random", count) {
            try await append(shuffled) { String(UInt64($0) &* 0x9E37_79B9_7F4A_7C15, radix: 36) }
        }
        try await queue.seal(ordered, total: count, at: Self.now)
        try await queue.seal(shuffled, total: count, at: Self.now)
        try await timed("lease and hand back one among \(2 * count), 1000 times", 1000) {
            for _ in 0..<1000 {
                let leased = try await queue.lease(max: 1, worker: "w", durationMs: 60_000, at: Self.now)
                _ = try await queue.release(leased.map(\.lease), reason: .handedBack, at: Self.now)
                _ = try await queue.recover(at: Self.now)
            }
        }
        try await timed("lease and settle by 64, one worker", count / 2) { try await work(count / 2) }
        try await timed("lease and settle by 64, four workers", count / 2) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { try await work(count / 8) } }
                try await group.waitForAll()
            }
        }
        for order in ResultOrder.allCases {
            try await timed("results by 500 in \(order.rawValue) order", count) {
                var cursor: ResultCursor?
                while let last = try await queue.results(ordered, after: cursor, limit: 500, order: order).last {
                    cursor = last.cursor
                }
            }
        }
        try await timed("cancel", count) { try await queue.cancel(shuffled, at: Self.now) }
        if count > 500_000 { return }
        try await timed("check integrity", 2 * count) {
            let problems =
                switch queue {
                case let queue as SQLiteQueue: try await queue.integrityProblems()
                case let queue as RedisQueue: try await queue.integrityProblems()
                default: []
                }
            if !problems.isEmpty { print(problems) }
        }
    }

    /// Tenant a has `count` requests queued before b's 100 come; how many of a's are leased before b's last.
    private func fairness() async throws {
        func submit(_ tenant: String, _ count: Int) async throws {
            let batch = try await queue.open(BatchSpecification(tenant: tenant), at: Self.now)
            try await append(batch, count: count) { "\(tenant)\($0)" }
            try await queue.seal(batch, total: count, at: Self.now)
        }
        try await submit("a", count)
        try await work(1000)
        try await submit("b", 100)
        var (ofA, ofB) = (0, 0)
        while ofB < 100 {
            let leased = try await queue.lease(max: 32, worker: "w", durationMs: 60_000, at: Self.now)
            for request in leased {
                if request.tenant == "b" { ofB += 1 } else if ofB < 100 { ofA += 1 }
            }
            _ = try await queue.settle(
                leased.map { Settlement(lease: $0.lease, outcome: outcome) }, at: Self.now)
            if leased.isEmpty { break }
        }
        print("  b's 100 requests were all leased after \(ofA) of a's; \(count - 1000 - ofA) of a's still wait")
    }

    /// What the server's memory grows by.
    private func memory() async throws {
        guard let queue = queue as? RedisQueue else { return }
        let empty = try await queue.usedMemoryBytes()
        let batch = try await queue.open(BatchSpecification(), at: Self.now)
        try await timed("append", count) { try await append(batch) { "request-\($0)" } }
        try await queue.seal(batch, total: count, at: Self.now)
        let queued = try await queue.usedMemoryBytes()
        try await timed("lease and settle by 64", count) { try await work(count) }
        let settled = try await queue.usedMemoryBytes()
        for (what, bytes) in [("queued", queued), ("settled", settled)] {
            let each = Double(bytes - empty) / Double(count)
            let all = String(format: "%.2f GB", Double(bytes - empty) / 1e9)
            print("  \(what): \(Int(each)) bytes each, \(all) together")
        }
    }

    private func append(_ batch: BatchID, count: Int? = nil, _ name: (Int) -> String) async throws {
        let count = count ?? self.count
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

    private var outcome: Outcome {
        let body = Array("{\"text\":\"\(String(repeating: "y", count: max(0, bodyBytes - 30)))\"}".utf8)
        return Outcome(
            result: .response(statusCode: 200, body: body), usage: Usage(promptTokens: 72, completionTokens: 64),
            backend: "cpu", timings: Timings(queuedMs: 10, prefillMs: 100, decodeMs: 1000))
    }

    private func work(_ requests: Int) async throws {
        let outcome = outcome
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
        var sizes = ""
        if case .file(let path) = address {
            let bytes = [path, path + "-wal"].map {
                (try? FileManager.default.attributesOfItem(atPath: $0)[.size] as? Int) ?? 0
            }
            sizes = "file \(bytes[0] >> 20) MiB, log \(bytes[1] >> 20) MiB"
        }
        let rate = items > 0 ? "\(Int(Double(items) / seconds))/s" : ""
        let cpu = items > 0 ? String(format: "%.1f us", cpuUs / Double(items)) : ""
        let columns =
            [what.padding(toLength: 52, withPad: " ", startingAt: 0)]
            + [rate, cpu].map { $0.padding(toLength: 12, withPad: " ", startingAt: 0) }
        print(columns.joined() + sizes)
    }
}
