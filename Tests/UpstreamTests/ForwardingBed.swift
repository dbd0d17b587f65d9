import Foundation
import JSON
import JobQueue
import Logging
import Scheduler
import Synchronization

@testable import Worker

/// A queue, a fake Groq and what it takes to run an upstream worker between them.
final class ForwardingBed: Sendable {
    let fake: FakeGroq
    let client: Upstream
    let queue: SQLiteQueue
    let clock: WorkClock
    let log = SaidLines()
    private let folder: URL

    /// - Parameter speed: how much faster the worker's clock runs than everybody's.
    init(_ settings: JSON = .object(JSONObject()), speed: Double = 1) async throws {
        fake = try await FakeGroq(settings)
        client = try fake.client()
        folder = FileManager.default.temporaryDirectory.appending(path: "forwarding-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        queue = try SQLiteQueue(path: folder.appending(path: "queue.sqlite").path)
        let start = ContinuousClock.now
        clock = WorkClock(
            now: {
                let (seconds, attoseconds) = start.duration(to: .now).components
                return Timestamp(milliseconds: Int64((Double(seconds) * 1000 + Double(attoseconds) / 1e15) * speed))
            },
            sleep: { try await Task.sleep(for: .nanoseconds(Int64(Double($0) * 1e6 / speed))) })
    }

    deinit {
        client.stop()
        try? FileManager.default.removeItem(at: folder)
    }

    /// Submits a batch of chats, one for each text.
    func submit(_ requests: [Request], maxAttempts: Int = 5) async throws -> BatchID {
        let now = clock.now()
        let batch = try await queue.open(BatchSpecification(maxAttempts: maxAttempts), at: now)
        try await queue.append(requests.map { .accepted($0) }, to: batch, from: 0, at: now)
        try await queue.seal(batch, total: requests.count, at: now)
        return batch
    }

    static func chat(_ text: String, model: String = FakeGroq.model, more: String = "") -> Request {
        let body = """
            {"model":"\(model)","user":"\(text)","messages":[{"role":"user","content":"\(text)"}]\(more)}
            """
        return Request(
            customID: text, endpoint: .chatCompletions, body: Array(body.utf8), model: model)
    }

    func target(_ door: FakeGroq.Door = .http, key: ProviderKey = FakeGroq.key) -> UpstreamTarget {
        var target = UpstreamTarget(name: "groq", dialect: .groq, baseURL: fake.baseURL(door), key: key)
        target.timeouts.connectMs = FakeGroq.patienceMs
        return target
    }

    var settings: UpstreamWorker.Settings {
        var settings = UpstreamWorker.Settings()
        settings.tickMs = 20
        settings.retryFirstMs = 20
        settings.retryParkedMs = nil
        // In the worker's clock, which may be fast.
        settings.leaseMs = 100_000_000
        return settings
    }

    @discardableResult
    func work(
        _ batch: BatchID, _ target: UpstreamTarget? = nil, inbox: UpstreamWorker.Inbox = .init(),
        budgets: (any BudgetStore)? = nil,
        _ change: (inout UpstreamWorker.Settings) -> Void = { _ in }
    ) async throws -> UpstreamWorkFigures {
        var settings = settings
        change(&settings)
        let choice = UpstreamChoice(target: target ?? self.target())
        let lines = log
        let worker = UpstreamWorker(
            settings, inbox: inbox, queue: queue, upstream: client, routing: SingleRoute(choice),
            budgets: budgets, clock: clock, log: Logger(label: "test") { _ in SaidLines.Handler(lines: lines) })
        _ = try await worker.run(.batch(batch))
        return inbox.figures
    }

    func results(_ batch: BatchID) async throws -> [ResultRecord] {
        var all: [ResultRecord] = []
        while true {
            let page = try await queue.results(batch, after: all.last?.cursor, limit: 1000, order: .completion)
            if page.isEmpty { return all }
            all += page
        }
    }

    /// How often the upstream computed each request, by its user.
    func computed() throws -> [String: Int] {
        try fake.witness().filter { $0["computed"]?.bool == true }
            .reduce(into: [:]) { $0[$1["user"]?.string ?? "?", default: 0] += 1 }
    }
}

/// What was logged.
final class SaidLines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }

    struct Handler: LogHandler {
        let lines: SaidLines
        var logLevel = Logger.Level.debug
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        init(lines: SaidLines) { self.lines = lines }

        func log(event: LogEvent) { lines.lines.withLock { $0.append("\(event.level) \(event.message)") } }
    }
}
