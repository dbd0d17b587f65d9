import Foundation
import JSON
import JobQueue
import Logging
import Worker

/// Sends a batch to a fake Groq whose minutes are short, and says how near it came to what the limits allow: whether it
/// took at most 5% longer, whether under 1% of the requests were refused after the first minute, and whether each
/// request was computed and settled once. `run` beside this file starts the fake.
@main struct LimitBench {
    /// What is measured; names are those in JSON.
    struct Case: Decodable {
        var speed: Double
        var requests: Int
        /// What the limits allow.
        var leastMs: Double
        /// One for each forwarder; they share a queue.
        var keys: [String]
        /// What the forwarders are told of the limits.
        var requestsPerMinute: Int?
        var tokensPerMinute: Int?
        /// A Redis server's address; without one the queue is an SQLite file.
        var queue: String?
        var door: String?
    }

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            print("usage: LimitBench READY_FILE CASE")
            exit(64)
        }
        let given = try JSONDecoder().decode(Case.self, from: Data(arguments[2].utf8))
        let ready = try JSON(parsing: Array(try Data(contentsOf: URL(filePath: arguments[1]))))
        let folder = FileManager.default.temporaryDirectory.appending(path: "limit-bench-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let address = try QueueAddress(given.queue ?? folder.appending(path: "queue.sqlite").path)
        let clock = clock(given.speed)
        let queue = try await address.open()
        let batch = try await submit(given.requests, queue, at: clock.now())
        try await withThrowingTaskGroup { group in
            for key in given.keys {
                group.addTask { try await forward(given, key, ready, address, batch, clock) }
            }
            try await group.waitForAll()
        }
        let settled = try await settled(batch, queue)
        try await queue.close()
        let seen = try Witness(ready["witness"]?.string ?? "", minute: 60 / given.speed)
        report(given, seen, settled)
    }

    static func report(_ given: Case, _ seen: Witness, _ settled: [String]) {
        let tookMs = seen.seconds * given.speed * 1000
        let verdicts = [
            ("in time", tookMs <= 1.05 * given.leastMs), ("few refusals", seen.laterRefusals * 100 < given.requests),
            ("each settled once", settled.count == given.requests && Set(settled).count == given.requests),
            ("each computed once", seen.computed == given.requests && seen.twice == 0),
        ]
        print(String(
            format: "%.1f s, and the limits allow %.1f s (%+.1f%%); %d refusals in the first minute, %d later; "
                + "%d settled, %d computed twice: ",
            tookMs / 1000, given.leastMs / 1000, 100 * (tookMs / given.leastMs - 1),
            seen.refusals - seen.laterRefusals, seen.laterRefusals, settled.count, seen.twice)
            + (verdicts.allSatisfy(\.1) ? "pass" : "FAIL: not " + verdicts.filter { !$0.1 }.map(\.0)
                .joined(separator: ", not ")))
        exit(verdicts.allSatisfy(\.1) ? 0 : 1)
    }

    static func forward(
        _ given: Case, _ key: String, _ ready: JSON, _ address: QueueAddress, _ batch: BatchID, _ clock: WorkClock
    ) async throws {
        let door = given.door ?? "http"
        var target = UpstreamTarget(
            name: "groq", dialect: .groq,
            baseURL: "\(door == "http" ? "http" : "https")://localhost:\(ready[door]?.int ?? 0)/openai/v1",
            key: try ProviderKey(Array(key.utf8), origin: "the command line"))
        target.timeouts.connectMs = 60_000
        target.limits.requestsPerMinute = given.requestsPerMinute
        target.limits.tokensPerMinute = given.tokensPerMinute
        var settings = UpstreamWorker.Settings()
        // In the fast clock.
        settings.leaseMs = 100_000_000
        var transfers = Upstream.Settings(environment: [:])
        transfers.caFile = ready["ca"]?.string
        let upstream = try Upstream(transfers)
        let queue = try await address.open()
        let worker = UpstreamWorker(
            settings, inbox: UpstreamWorker.Inbox(), queue: queue, upstream: upstream,
            routing: SingleRoute(UpstreamChoice(target: target)),
            budgets: given.keys.count > 1 ? (queue as? any RecordStore).map { RecordBudgetStore($0) } : nil,
            clock: clock, log: Logger(label: "bench"))
        _ = try await worker.run(NativeWorker.Goal.batch(batch))
        upstream.stop()
        try await queue.close()
    }

    static func clock(_ speed: Double) -> WorkClock {
        let start = ContinuousClock.now
        return WorkClock(
            now: {
                let (seconds, attoseconds) = start.duration(to: .now).components
                return Timestamp(milliseconds: Int64((Double(seconds) * 1000 + Double(attoseconds) / 1e15) * speed))
            },
            sleep: { try await Task.sleep(for: .nanoseconds(Int64(Double($0) * 1e6 / speed))) })
    }

    static func submit(_ count: Int, _ queue: any JobQueue, at now: Timestamp) async throws -> BatchID {
        let batch = try await queue.open(BatchSpecification(), at: now)
        let requests = (0..<count).map { number in
            let name = "r\(100_000 + number)"
            let body = """
                {"model":"llama-3.1-8b-instant","user":"\(name)","max_tokens":8,\
                "messages":[{"role":"user","content":"\(name)"}]}
                """
            return AppendedRequest.accepted(
                Request(
                    customID: name, endpoint: .chatCompletions, body: Array(body.utf8),
                    model: "llama-3.1-8b-instant"))
        }
        for from in stride(from: 0, to: count, by: 500) {
            try await queue.append(Array(requests[from..<min(count, from + 500)]), to: batch, from: from, at: now)
        }
        try await queue.seal(batch, total: count, at: now)
        return batch
    }

    static func settled(_ batch: BatchID, _ queue: any JobQueue) async throws -> [String] {
        var found: [ResultRecord] = []
        while true {
            let page = try await queue.results(batch, after: found.last?.cursor, limit: 1000, order: .completion)
            if page.isEmpty { return found.filter { $0.state == .completed }.map(\.customID) }
            found += page
        }
    }
}

/// What the fake wrote down.
struct Witness {
    /// From the first request that was let through to the last answer.
    var seconds = 0.0
    var refusals = 0
    var laterRefusals = 0
    var computed = 0
    var twice = 0

    init(_ path: String, minute: Double) throws {
        let lines = try Data(contentsOf: URL(filePath: path)).split(separator: UInt8(ascii: "\n"))
            .map { try JSON(parsing: Array($0)) }
        let times = lines.compactMap { $0["t"]?.double }
        let start = times.min() ?? 0
        seconds = (times.max() ?? 0) - start
        var users: Set<String> = []
        for line in lines where line["event"]?.string == "end" {
            if line["status"]?.int == 429 {
                refusals += 1
                if line["t"]?.double ?? 0 > start + minute { laterRefusals += 1 }
            }
            guard line["computed"]?.bool == true else { continue }
            computed += 1
            if !users.insert(line["user"]?.string ?? "").inserted { twice += 1 }
        }
    }
}
