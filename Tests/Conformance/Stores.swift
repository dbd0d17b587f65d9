import Foundation
import JobQueue
import RedisServer
import Testing

/// A kind of store that is held to the contract. A new store joins by one more entry in `all`.
struct Store: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Runs a test on an empty queue, and cleans up behind it.
    var with: @Sendable (_ test: @Sendable (any JobQueue) async throws -> Void) async throws -> Void
    /// Whether looking for problems takes long.
    var isSlowToCheck = false
    /// What a store finds wrong with itself.
    var problems: @Sendable (any JobQueue) async throws -> [String]

    static let all = [model, sqliteInMemory, sqliteFile, redis]

    /// The yardstick itself.
    static let model = Store(
        testDescription: "model", with: { try await $0(ModelQueue()) }, problems: { _ in [] })

    static let sqliteInMemory = Store(
        testDescription: "SQLite in memory",
        with: { test in
            let queue = try SQLiteQueue.temporary()
            try await test(queue)
            try await queue.close()
        },
        problems: sqliteProblems)

    static let sqliteFile = Store(
        testDescription: "SQLite file",
        with: { test in
            let folder = FileManager.default.temporaryDirectory.appending(
                path: "conformance-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let queue = try SQLiteQueue(path: folder.appending(path: "queue.sqlite").path, exclusive: true)
            try await test(queue)
            try await queue.close()
        },
        problems: sqliteProblems)

    /// One server for all tests; each has a queue of its own there.
    static let redis = Store(
        testDescription: "Redis",
        with: { test in
            let server = try server.get()
            var options = RedisOptions()
            options.clock = .caller
            let address = try RedisAddress(
                endpoint: .unix(path: server.socket), queue: "test-\(UUID().uuidString)")
            let queue = try await RedisQueue.open(address, options: options)
            try await test(queue)
            try await queue.close()
        },
        isSlowToCheck: true, problems: { try await ($0 as? RedisQueue)?.integrityProblems() ?? ["not a Redis queue"] })

    private static let server = Result { try RedisServer() }

    private static let sqliteProblems: @Sendable (any JobQueue) async throws -> [String] = { queue in
        try await (queue as? SQLiteQueue)?.integrityProblems() ?? ["not an SQLite queue"]
    }

    /// An empty queue, checked by the store itself afterwards.
    func test(_ body: @Sendable (any JobQueue) async throws -> Void) async throws {
        try await with { queue in
            try await body(queue)
            #expect(try await problems(queue) == [])
        }
    }
}

extension Timestamp: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int64) { self.init(milliseconds: value) }
}

extension AppendedRequest {
    /// A completion request whose body names `text`.
    static func request(
        _ customID: String, line: Int = 0, text: String = "x", model: String = "", cost: Int = 1
    ) -> AppendedRequest {
        .accepted(
            Request(
                customID: customID, endpoint: .completions, body: Array("{\"prompt\":\"\(text)\"}".utf8),
                line: line, model: model, cost: cost))
    }

    static func refusal(_ customID: String?, line: Int, code: String = "invalid_json") -> AppendedRequest {
        .refused(
            customID: customID, line: line,
            .failure(OutcomeError(code: code, message: "line \(line) is not JSON")))
    }
}

extension Outcome {
    /// A response of `completion` generated tokens.
    static func text(
        _ text: String, prompt: Int = 3, completion: Int = 2, cached: Int = 0, cost: Int = 0
    ) -> Outcome {
        Outcome(
            result: .response(statusCode: 200, body: Array("{\"text\":\"\(text)\"}".utf8)),
            usage: Usage(
                promptTokens: prompt, completionTokens: completion, cachedTokens: cached, costNanodollars: cost),
            backend: "cpu",
            timings: Timings(queuedMs: 1, prefillMs: 2, decodeMs: 3))
    }
}

extension JobQueue {
    /// A sealed batch of `count` requests named r0, r1 ...
    func submit(
        _ count: Int, _ specification: BatchSpecification = BatchSpecification(), at now: Timestamp = 0
    )
        async throws -> BatchID
    {
        let batch = try await open(specification, at: now)
        let requests = (0..<count).map { AppendedRequest.request("r\($0)", line: $0 + 1, text: "\($0)") }
        try await append(requests, to: batch, from: 0, at: now)
        try await seal(batch, total: count, at: now)
        return batch
    }

    func lease(_ max: Int, at now: Timestamp, forMs durationMs: Int64 = 1000) async throws -> [LeasedRequest]
    {
        try await lease(max: max, worker: "w", durationMs: durationMs, at: now)
    }

    func settle(_ leased: LeasedRequest, _ outcome: Outcome, at now: Timestamp) async throws -> FencedResult?
    {
        try await settle([Settlement(lease: leased.lease, outcome: outcome)], at: now).first
    }

    func counts(_ batch: BatchID) async throws -> BatchCounts { try await status(batch).counts }

    func all(_ batch: BatchID, _ order: ResultOrder = .input) async throws -> [ResultRecord] {
        try await results(batch, after: nil, limit: .max, order: order)
    }
}

/// Which case an error is; what it says beside that is the store's own.
func kind(_ error: JobQueueError) -> String {
    switch error {
    case .unknownBatch: "unknownBatch"
    case .wrongState: "wrongState"
    case .conflict: "conflict"
    case .invalidArgument: "invalidArgument"
    case .unusableStore: "unusableStore"
    case .unavailable: "unavailable"
    }
}

/// Expects `body` to throw an error of this kind.
func expectFailure(
    _ expected: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async {
    do {
        try await body()
        Issue.record("no error, expected \(expected)", sourceLocation: sourceLocation)
    } catch let error as JobQueueError {
        #expect(kind(error) == expected, "\(error)", sourceLocation: sourceLocation)
    } catch {
        Issue.record("\(error)", sourceLocation: sourceLocation)
    }
}
