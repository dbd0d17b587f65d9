import Foundation
import JSON
import JobQueue
import Testing

@testable import Worker

/// One batch on two kinds of backend: a worker with a tiny model, and what it need not do at a fake Groq.
@Suite struct SpillTests {
    private static let model = MillraceFixtures.tinyLlama
    private static let count = 40

    private static func routes(_ scene: ProcessTests.Scene, _ rule: String) -> String {
        """
        [backend.local]
        kind = "local"
        [backend.groq]
        kind = "groq"
        url = "\(scene.fake.baseURL(.http))"
        key = "file:\(scene.folder.path)/groq.key"
        [[route]]
        models = ["tiny"]
        to = "local"
        spill = { to = { backend = "groq", model = "\(FakeGroq.model)" }, \(rule) }
        [[price]]
        backend = "groq"
        models = ["*"]
        input = 0.05
        output = 0.08
        """
    }

    /// What there are more than 600 tokens of; what a worker of five tokens a second would not do within two minutes.
    @Test(arguments: ["deadline = false, backlog_tokens = 600", "deadline = true"])
    func oneBatchIsComputedInTwoPlaces(_ rule: String) async throws {
        let scene = try await ProcessTests.Scene(.object(JSONObject()))
        try scene.write("routes.toml", Self.routes(scene, rule))
        try scene.write("groq.key", FakeGroq.keyText)
        chmod(scene.folder.appending(path: "groq.key").path, 0o600)
        defer { try? FileManager.default.removeItem(at: scene.folder.appending(path: "groq.key")) }
        try scene.write(
            "in.jsonl",
            (0..<Self.count).map {
                #"{"custom_id":"r\#($0)","model":"tiny","prompt":"some words and \#($0)","max_tokens":20}"# + "\n"
            }.joined())
        let submitted = try scene.run(["submit", "in.jsonl", "--queue", "q.sqlite", "--quiet", "--window", "2m"])
        #expect(submitted.terminationStatus == 0, "\(scene.text("said.err"))")
        let batch = scene.text("said.out").trimmingCharacters(in: .whitespacesAndNewlines)
        let queue = try SQLiteQueue(path: scene.folder.appending(path: "q.sqlite").path)
        let now = WorkClock.system.now()
        try await queue.heartbeat(
            WorkerReport(
                name: "slow", host: "here", processID: 1, models: ["tiny"], backend: "cpu", phase: .running,
                startedAt: now, reportedAt: now, lifetimeMs: 600_000, leasedRequests: 0, runningSequences: 0,
                promptTokensPerSecond: 0, generatedTokensPerSecond: 5), at: now)
        // The forwarder alone first: it takes what is above the backlog, and leaves the rest.
        let forwarder = try scene.start(["forwarder", "--queue", "q.sqlite", "--config", "routes.toml"])
        while forwarder.isRunning {
            let counts = try await queue.status(BatchID(batch)).counts
            if counts.completed > 0, counts.leased == 0 { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        let spilled = try await queue.status(BatchID(batch)).counts
        #expect(spilled.completed > 0 && spilled.queued > 0, "\(spilled) \(scene.text("said.err"))")
        let worker = try scene.start([
            "worker", "--model", Self.model, "--served-model-name", "tiny", "--queue", "q.sqlite",
        ])
        let results = try scene.run([
            "results", batch, "--queue", "q.sqlite", "-o", "out.jsonl", "--order", "input", "--follow", "--quiet",
        ])
        #expect(results.terminationStatus == 0, "\(scene.text("said.err"))")
        for process in [forwarder, worker] {
            process.terminate()
            process.waitUntilExit()
        }
        let lines = try scene.lines("out.jsonl")
        #expect(lines.compactMap { $0["custom_id"]?.string } == (0..<Self.count).map { "r\($0)" })
        var backends: [String: Int] = [:]
        for line in lines {
            let backend = line["backend"]?.string ?? "?"
            backends[backend, default: 0] += 1
            let usage = line["response"]?["body"]?["usage"]
            let names = ["prompt_tokens", "completion_tokens", "total_tokens"]
            for name in names { #expect(usage?[name]?.int ?? 0 > 0, "\(backend): \(name)") }
            #expect((usage?["cost_usd"] != nil) == (backend == "groq"))
            #expect(line["response"]?["body"]?["object"]?.string == "text_completion", "\(line.text)")
        }
        #expect(Set(backends.keys) == ["cpu", "groq"], "\(backends)")
        // In time: else it would be expired.
        #expect(try await queue.status(BatchID(batch)).state == .completed)
        let usage = try await queue.usage(UsageQuery())
        #expect(usage.reduce(0) { $0 + $1.completed } == Self.count)
        #expect(Set(usage.map(\.backend)) == ["cpu", "groq"])
        try await queue.close()
        // What is in its own file, and nowhere else.
        #expect(try scene.leaks() == ["groq.key"])
    }
}

enum MillraceFixtures {
    static let tinyLlama = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/tiny_gguf/llama-rope3-a.f32.gguf").path
}
