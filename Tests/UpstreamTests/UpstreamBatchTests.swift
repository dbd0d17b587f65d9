import Foundation
import JSON
import JobQueue
import Logging
import Testing

@testable import Worker

/// Requests that go through an upstream's batch API.
@Suite struct UpstreamBatchTests {
    /// Runs a worker until the batch has ended.
    private func work(
        _ bed: ForwardingBed, _ batch: BatchID,
        until isDone: @escaping @Sendable (BatchStatus) -> Bool = { $0.state.isTerminal },
        change: (inout UpstreamBatchWorker.Settings) -> Void = { _ in }
    ) async throws {
        var settings = UpstreamBatchWorker.Settings()
        settings.pollMs = 10
        change(&settings)
        let lines = bed.log
        let worker = UpstreamBatchWorker(
            settings, queue: bed.queue, records: bed.queue, upstream: bed.client,
            routing: SingleRoute(UpstreamChoice(target: bed.target())), clock: bed.clock,
            log: Logger(label: "test") { _ in SaidLines.Handler(lines: lines) })
        let task = Task { try await worker.run() }
        while try await !isDone(bed.queue.status(batch)) {
            try await Task.sleep(for: .milliseconds(5))
            _ = try await bed.queue.recover(at: bed.clock.now())
        }
        task.cancel()
        try await task.value
    }

    private func batches(_ bed: ForwardingBed) async throws -> Int { try await bed.fake.counts()["batches"]?.int ?? 0 }

    @Test func everyLineIsSettled() async throws {
        let bed = try await ForwardingBed(["rules": [["do": "status", "status": 400, "contains": "r7;"]]])
        var requests = ForwardingTests.chats(30)
        // Refused before anything is sent.
        requests.append(ForwardingBed.chat("two", more: #","n":2"#))
        requests.append(
            Request(
                customID: "old", endpoint: .completions,
                body: Array(#"{"model":"\#(FakeGroq.model)","user":"old","prompt":"Once"}"#.utf8),
                model: FakeGroq.model))
        let batch = try await bed.submit(requests)
        try await work(bed, batch)
        let results = try await bed.results(batch)
        #expect(results.count == 32)
        let failed = results.filter { $0.state == .failed }
        #expect(Set(failed.map(\.customID)) == ["r7;", "two"])
        #expect(results.filter { $0.state == .completed }.allSatisfy {
            $0.outcome.backend == "groq" && $0.outcome.usage.completionTokens > 0
        })
        #expect(try await batches(bed) == 1)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
        let mapped = try #require(results.first { $0.customID == "old" })
        guard case .response(200, let body) = mapped.outcome.result else {
            Issue.record("\(mapped.outcome)")
            return
        }
        #expect(try JSON(parsing: body)["object"]?.string == "text_completion")
        #expect(try await bed.queue.recordNames(prefix: UpstreamBatchRecord.prefix) == [])
    }

    @Test func filesAreBounded() async throws {
        let bed = try await ForwardingBed()
        let batch = try await bed.submit(ForwardingTests.chats(25))
        try await work(bed, batch, change: { $0.maxLines = 10 })
        #expect(try await bed.queue.status(batch).counts.completed == 25)
        #expect(try await batches(bed) == 3)
    }

    /// What an expired or failed batch left over goes into another.
    @Test(arguments: ["expired", "failed"]) func whatHasNoResultGoesAgain(_ end: String) async throws {
        let bed = try await ForwardingBed(["batch_end": .string(end)], speed: 50)
        let batch = try await bed.submit(ForwardingTests.chats(20))
        try await work(bed, batch, until: { $0.counts.leased + $0.counts.queued <= (end == "failed" ? 20 : 10) }) {
            $0.pollMs = 500
        }
        while bed.log.all.allSatisfy({ !$0.contains("is \(end)") }) {
            try await work(bed, batch, until: { _ in bed.log.all.contains { $0.contains("is \(end)") } })
        }
        try await bed.fake.control(["batch_end": "completed"])
        try await work(bed, batch)
        let status = try await bed.queue.status(batch)
        #expect(status.counts.completed == 20, "\(status.counts)")
        #expect(try await batches(bed) >= 2)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    @Test func attemptsRunOut() async throws {
        let bed = try await ForwardingBed(["batch_end": "failed"], speed: 50)
        let batch = try await bed.submit(ForwardingTests.chats(2), maxAttempts: 2)
        try await work(bed, batch, change: { $0.pollMs = 100 })
        let errors = try await bed.results(batch).compactMap(\.outcome.error)
        #expect(errors.count == 2)
        #expect(errors.allSatisfy { $0.code == "attempts_exhausted" && $0.message.contains("Told to fail.") })
    }

    @Test func cancellingOursCancelsTheirs() async throws {
        let bed = try await ForwardingBed(["batch_ms": 3_600_000])
        let batch = try await bed.submit(ForwardingTests.chats(5))
        let said = { @Sendable in bed.log.all.contains { $0.contains("is cancelled") } }
        let log = bed.log
        async let working: Void = work(bed, batch, until: { _ in said() })
        while log.all.allSatisfy({ !$0.contains("go to groq as its batch") }) {
            try await Task.sleep(for: .milliseconds(5))
        }
        try await bed.queue.cancel(batch, at: bed.clock.now())
        try await working
        #expect(try bed.computed().isEmpty)
        #expect(try bed.fake.witness().contains { $0["path"]?.string?.hasSuffix("/cancel") == true })
        #expect(try await bed.queue.recordNames(prefix: UpstreamBatchRecord.prefix) == [])
    }

    @Test func whatCannotBeReadOfAFileIsLeftOut() {
        let file = Array("""
            {"custom_id":"1","response":{"status_code":200,"body":{"a":1}},"error":null}
            {"custom_id":"9","response":{"status_code":200,"body":{}}}
            not JSON
            {"custom_id":"0","response":null,"error":{"code":"x","message":"no"}}

            """.utf8)
        let lines = UpstreamBatchFile.lines(file, count: 2)
        #expect(lines.map(\.number) == [1, 0])
        #expect(lines.map(\.status) == [200, 500])
        #expect(String(decoding: lines[0].body, as: UTF8.self) == #"{"a":1}"#)
        #expect(String(decoding: lines[1].body, as: UTF8.self).contains("\"no\""))
    }

    /// Killed at each place where a batch could be lost or submitted twice, and begun again.
    @Test(arguments: ["batch.written", "batch.uploaded", "batch.created", "batch.settling", "batch.settled"])
    func theForwarderSurvivesDyingAt(_ failpoint: String) async throws {
        let scene = try await ProcessTests.Scene(.object(JSONObject()))
        let routes = ProcessTests.routes(scene).replacing("kind = \"groq\"", with: "kind = \"groq\"\nmode = \"batch\"")
        try scene.write("routes.toml", routes)
        let path = scene.folder.appending(path: "queue.sqlite").path
        let queue = try SQLiteQueue(path: path)
        let now = WorkClock.system.now()
        let batch = try await queue.open(BatchSpecification(), at: now)
        let requests = (0..<40).map { ForwardingBed.chat("r\($0);", model: "alias-1") }
        try await queue.append(requests.map { .accepted($0) }, to: batch, from: 0, at: now)
        try await queue.seal(batch, total: 40, at: now)
        let arguments = [
            "forwarder", "--queue", path, "--config", "routes.toml", "--name", "f", "--batch-poll", "0.05",
        ]
        let killed = try scene.run(arguments, failpoint: failpoint)
        #expect(killed.terminationStatus == Failpoint.exitCode, "\(failpoint) was never passed")
        let process = try scene.start(arguments)
        // Settled, and nothing on record any more.
        while process.isRunning {
            let names = try await queue.recordNames(prefix: UpstreamBatchRecord.prefix)
            if names.isEmpty, try await queue.status(batch).state == .completed { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        process.terminate()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(scene.text("said.err"))")
        #expect(try await queue.status(batch).counts.completed == 40)
        // A batch is computed when it is asked for: once, and no other beside it.
        #expect(try await scene.fake.counts()["batches"]?.int == 1)
        #expect(try scene.computedAgain() == 0)
        try await queue.close()
        #expect(try scene.leaks() == [])
    }
}
