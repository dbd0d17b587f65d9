import Foundation
import RedisServer
import Testing

@testable import JobQueue

/// Batches handed in with plain Redis commands.
@Suite struct RedisInboxTests {
    private func open(_ server: RedisServer) async throws -> RedisQueue {
        var options = RedisOptions()
        options.clock = .caller
        return try await RedisQueue.open(
            RedisAddress(endpoint: .unix(path: server.socket)), options: options)
    }

    private func push(_ queue: RedisQueue, _ document: String) async throws {
        _ = try await queue.call(["RPUSH", RedisArgument(queue.keys.inbox), RedisArgument(document)])
    }

    @Test func documentsBecomeBatches() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let first = #"""
            {"batch":"batch_1","tenant":"acme","priority":2,"window_ms":100,"retention_ms":5000,"max_attempts":7,
             "seed":9,"metadata":{"a":"b"},
             "requests":[{"custom_id":"x","url":"/v1/completions","body":{"prompt":"p","model":"m","max_tokens":3}},
                         {"custom_id":"y","url":"/v1/images","body":{}}, 5]}
            """#
        let second = #"{"batch":"batch_1","from":3,"total":3}"#
        // Sent twice, as a client does that got no answer.
        for document in [first, first, second, second] { try await push(queue, document) }
        let leased = try await queue.lease(max: 9, worker: "w", durationMs: 10, at: 5)
        #expect(leased.map(\.request.customID) == ["x"])
        #expect(leased[0].request.model == "m" && leased[0].request.cost == 4 && leased[0].deadline == 105)
        let status = try await queue.status(BatchID("batch_1"))
        #expect(
            status.specification
                == BatchSpecification(
                    tenant: "acme", priority: 2, completionWindowMs: 100, seed: 9, maxAttempts: 7,
                    metadata: ["a": "b"], retentionMs: 5000))
        #expect(status.counts == BatchCounts(total: 3, leased: 1, failed: 2))
        let failed = try await queue.results(status.id, after: nil, limit: 9, order: .completion)
        #expect(failed.map(\.customID) == ["y", "line-3"])
        #expect(failed.map { $0.outcome.error?.parameter } == ["url", nil])
        #expect(try await queue.call(["LLEN", RedisArgument(queue.keys.inbox)]).int == 0)
        try await push(queue, #"{"batch":"batch_1","cancel":true}"#)
        #expect(try await queue.recover(at: 6) == 0)
        #expect(try await queue.status(status.id).state == .cancelled)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    @Test func whatIsNoBatchIsRefusedByName() async throws {
        let server = try RedisServer()
        let queue = try await open(server)
        let documents = [
            ("?", "no JSON", "not a JSON object"), ("?", "[]", "not a JSON object"),
            ("?", #"{"batch":"a:b"}"#, "'batch'"), ("a1", #"{"batch":"a1","requests":7}"#, "array"),
            ("a2", #"{"batch":"a2","colour":1}"#, "colour"), ("a3", #"{"batch":"a3","priority":"x"}"#, "priority"),
            ("a4", #"{"batch":"a4","total":7}"#, "sealed with 7"), ("a5", #"{"batch":"a5","from":7}"#, "gap"),
            ("a6", #"{"batch":"a6","max_attempts":0}"#, "maxAttempts"),
            ("a7", #"{"batch":"a7","cancel":true}"#, "no batch"),
            ("a8", #"{"batch":"a8","tenant":5}"#, "tenant"), ("a9", #"{"batch":"a9","metadata":{"a":1}}"#, "strings"),
        ]
        for (batch, document, word) in documents {
            try await push(queue, document)
            _ = try await queue.recover(at: 0)
            let what = try await queue.call(["HGET", RedisArgument(queue.keys.refused), RedisArgument(batch)]).text
            #expect(what?.contains(word) == true, "\(document): \(what ?? "taken")")
        }
        #expect(try await queue.call(["LLEN", RedisArgument(queue.keys.inbox)]).int == 0)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }

    /// jobs/redis_client.py, with a worker that answers.
    @Test func theExampleGetsItsResults() async throws {
        let server = try RedisServer()
        let queue = try await RedisQueue.open(RedisAddress(endpoint: .unix(path: server.socket)))
        let scratch = try Scratch()
        let lines = (0..<7).map {
            #"{"custom_id":"r\#($0)","method":"POST","url":"/v1/completions","body":{"prompt":"\#($0)"}}"#
        }
        try scratch.write(Array(lines.joined(separator: "\n").utf8), to: "in.jsonl")
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let client = Process()
        // The system's, which has redis-py by scripts/setup.
        client.executableURL = URL(filePath: "/usr/bin/python3")
        client.arguments = [
            root.appending(path: "jobs/redis_client.py").path, "--url", "unix://\(server.socket)",
            scratch.folder.appending(path: "in.jsonl").path,
        ]
        let output = Pipe()
        client.standardOutput = output
        client.standardError = FileHandle.nullDevice
        try client.run()
        var answered = 0
        while answered < 7 && client.isRunning {
            let leased = try await queue.lease(max: 3, worker: "w", durationMs: 60_000, at: 0)
            let settlements = leased.map { request in
                let text = String(decoding: request.request.body, as: UTF8.self)
                return Settlement(
                    lease: request.lease,
                    outcome: request.lease.key.ordinal == 4
                        ? .failure(OutcomeError(code: "c", message: "no", statusCode: 418)) : response(text))
            }
            answered += try await queue.settle(settlements, at: 0).count
        }
        let printed = try output.fileHandleForReading.readToEnd() ?? Data()
        client.waitUntilExit()
        #expect(client.terminationStatus == 0)
        let results = String(decoding: printed, as: UTF8.self).split(separator: "\n").sorted()
        #expect(results.count == 7)
        #expect(results.first == #"{"custom_id": "r0", "status": 200, "response": {"prompt": "0"}}"#)
        #expect(results[4].contains(#""custom_id": "r4", "status": 418, "error": {"code": "c""#))
        try await queue.close()
    }
}
