import JobQueue
import Logging
import Models
import Scheduler
import Synchronization
import Testing
import Worker

/// Real workers with real engines on a model that echoes, on a store that can go away, in a time that the test makes.
final class WorkerTestBed: Sendable {
    let queue: ShakyQueue
    private let time = Mutex(Int64(1_000_000))

    init() throws { queue = try ShakyQueue() }

    var now: Timestamp { Timestamp(milliseconds: time.withLock { $0 }) }
    func pass(_ ms: Int64) { time.withLock { $0 += ms } }

    static let settings: WorkerSettings = {
        var settings = WorkerSettings.shared
        settings.tickMs = 2
        settings.leaseMs = 60_000
        return settings
    }()

    /// One request for each letter of `letters`: a prompt of it that generates `maxTokens` more of it. `custom_id`s
    /// are the letter and a number.
    func submit(
        _ letters: String, maxTokens: Int = 4, maxAttempts: Int = 3
    ) async throws -> BatchID {
        let batch = try await queue.open(BatchSpecification(maxAttempts: maxAttempts), at: now)
        let requests = letters.enumerated().map { index, letter in
            AppendedRequest.accepted(
                Request(
                    customID: "\(letter)\(index)", endpoint: .completions,
                    body: Array(
                        """
                        {"prompt": "\(letter)\(letter)", "max_tokens": \(maxTokens), "temperature": 0}
                        """.utf8), cost: 2 + maxTokens))
        }
        try await queue.append(requests, to: batch, from: 0, at: now)
        try await queue.seal(batch, total: requests.count, at: now)
        return batch
    }

    /// A worker at work. `end` waits for it.
    struct Running: Sendable {
        var inbox: NativeWorker.Inbox
        var engine: Engine
        var task: Task<NativeWorker.End, any Error>

        func end() async throws -> NativeWorker.End {
            defer { engine.stop() }
            return try await task.value
        }
    }

    func start(
        _ settings: WorkerSettings = WorkerTestBed.settings, name: String = "w",
        goal: NativeWorker.Goal = .untilStopped,
        maxSequences: Int = 8, blockCount: Int = 256, onStep: @escaping @Sendable ([Int32]) throws -> Void = { _ in }
    ) async throws -> Running {
        let inbox = NativeWorker.Inbox()
        let (engine, intake) = try await makeEngine(
            onEvent: inbox.receive, maxSequences: maxSequences, blockCount: blockCount, onStep: onStep)
        var log = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        log.logLevel = .critical
        let worker = NativeWorker(
            settings, identity: WorkerIdentity(name: name, backend: "test", startedAt: now), inbox: inbox,
            queue: queue, engine: engine, intake: intake, now: { self.now }, log: log)
        return Running(inbox: inbox, engine: engine, task: Task { try await worker.run(goal) })
    }

    func makeEngine(
        onEvent: @escaping @Sendable (EngineEvent) -> Void, maxSequences: Int = 8, blockCount: Int = 256,
        onStep: @escaping @Sendable ([Int32]) throws -> Void
    ) async throws -> (engine: Engine, intake: Intake) {
        let engine = Engine()
        let tokenizer = ToyTokenizer.bytesAndWords
        let shape = try await engine.start(
            Engine.Settings(maxSequences: maxSequences), tokenizer: tokenizer,
            load: { EchoRunner(vocabulary: tokenizer.vocabularySize, blockCount: blockCount, onStep: onStep) },
            onEvent: onEvent)
        let model = ServedModel(
            name: "echo", tokenizer: tokenizer, chat: nil, contextLength: shape.contextLength,
            vocabulary: shape.vocabulary)
        return (engine, Intake(model: model))
    }

    func counts(_ batch: BatchID) async throws -> BatchCounts { try await queue.base.status(batch).counts }

    func records(_ batch: BatchID) async throws -> [ResultRecord] {
        try await queue.base.results(batch, after: nil, limit: 1000, order: .input)
    }

    /// Waits until something is so; the test's time limit is the patience.
    /// - Parameter passing: milliseconds of the workers' time that go by at each look.
    func until(passing: Int64 = 0, _ isSo: () async throws -> Bool) async throws {
        while try await !isSo() {
            try Task.checkCancellation()
            pass(passing)
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    func untilOver(_ batch: BatchID, passing: Int64 = 0) async throws {
        try await until(passing: passing) { try await self.queue.base.status(batch).state.isTerminal }
    }
}
