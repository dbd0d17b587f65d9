import EchoRun
import Foundation
import JSON
import JobQueue
import Synchronization
import Testing

@testable import Submitter

@Suite struct RunSessionTests {
    @Test(arguments: ResultOrder.allCases)
    func completesABatch(_ order: ResultOrder) async throws {
        var run = try TestRun(TestRun.prompts(50))
        run.configuration.order = order
        let summary = try await run()
        #expect(summary.allCompleted)
        #expect(!summary.wasComplete)
        #expect(summary.counts == BatchCounts(total: 50, completed: 50))
        #expect(summary.usage.completionTokens == 100)
        #expect(summary.thisRun.requests == 50)
        #expect(try run.customIDs() == (1...50).map { "line-\($0)" })
        #expect(try run.lines().first?["response"]?["body"]?["body"]?["model"]?.string == "echo")
        #expect(run.folder.names == ["in.jsonl", "out.jsonl", "out.jsonl.millrace"])
    }

    @Test func anEmptyInputIsComplete() async throws {
        let run = try TestRun("\n")
        #expect(try await run().allCompleted)
        #expect(try run.folder.bytes("out.jsonl").isEmpty)
    }

    @Test func theSameCommandAgainHasNothingToDo() async throws {
        var run = try TestRun(TestRun.prompts(10))
        try await run()
        let before = try run.folder.bytes("out.jsonl")
        run.worker.onRequest = { Issue.record("recomputed \($0.customID)") }
        for damage in 0..<3 {
            switch damage {
            case 0: break
            case 1: try run.folder.remove("out.jsonl")
            default: try run.folder.write("out.jsonl", "edited\n" + TestRun.prompts(3))
            }
            let summary = try await run()
            #expect(summary.wasComplete && summary.allCompleted)
            #expect(summary.thisRun.requests == 0)
            #expect(try run.folder.bytes("out.jsonl") == before)
        }
    }

    @Test func aStoppedRunGoesOn() async throws {
        var run = try TestRun(TestRun.prompts(40))
        run.worker.stopsAfter = 12
        let stopped = try await run()
        #expect(!stopped.isFinished && !stopped.allCompleted)
        #expect(stopped.unfinished == 28)
        #expect(try run.lines().count == 12)
        run.worker.stopsAfter = .max
        let begun = Mutex<[String]>([])
        run.worker.onRequest = { request in begun.withLock { $0.append(request.customID) } }
        let summary = try await run()
        #expect(summary.allCompleted)
        #expect(summary.thisRun.requests == 28)
        #expect(begun.withLock { $0 } == (13...40).map { "line-\($0)" })
        #expect(try Set(run.customIDs()).count == 40)
        #expect(try run.lines().count == 40)
    }

    /// Leases of a worker that died are taken back at once, not when they would expire.
    @Test func aWorkersDeathLosesNothing() async throws {
        var run = try TestRun(TestRun.prompts(40))
        for deaths in 1...9 {
            run.worker.failsAfter = 4
            guard case .worker = await run.failure() else { throw Unexpected("no failure") }
            #expect(try run.lines().count == 4 * deaths)
        }
        run.worker.failsAfter = .max
        #expect(try await run().allCompleted)
        #expect(try Set(run.customIDs()).count == 40)
        #expect(try run.lines().count == 40)
    }

    @Test func changesAreRefusedAndNamed() async throws {
        let run = try TestRun(TestRun.prompts(3))
        try await run()
        let before = try run.folder.bytes("out.jsonl")
        let changes: [(String, (inout RunConfiguration) -> Void)] = [
            ("--temperature: 0.5, was not given", { $0.defaults = $0.defaults.with("temperature", 0.5) }),
            ("--dtype: bfloat16, was float32", { $0.model.settings["dtype"] = "bfloat16" }),
            ("the model: other, was echo", { $0.model = ModelIdentity(
                name: "other", fingerprint: "f2", settings: $0.model.settings) }),
            ("the model echo has other contents", { $0.model.fingerprint = "f2" }),
            ("format: text, was jsonl", { $0.format = .text }),
        ]
        for (says, change) in changes {
            let failure = await run.failure(change: change)
            guard case .changed = failure, let text = failure?.description else { throw Unexpected(says) }
            #expect(text.contains(says), "\(text)")
            #expect(text.contains("--restart"))
        }
        try run.folder.write("in.jsonl", TestRun.prompts(4))
        let failure = await run.failure()
        #expect(failure?.description.contains("other contents: 4 lines") == true)
        #expect(try run.folder.bytes("out.jsonl") == before)

        let summary = try await run { $0.restarts = true }
        #expect(summary.thisRun.requests == 4)
        #expect(try run.lines().count == 4)
    }

    @Test func whatChangesNoResultMayChange() async throws {
        let run = try TestRun(TestRun.prompts(30) + "{\n")
        try await run()
        let renamed = run.folder("renamed.jsonl")
        try FileManager.default.moveItem(atPath: run.configuration.input, toPath: renamed)
        let errors = try run.folder.bytes("out.errors.jsonl")
        let summary = try await run {
            $0.input = renamed
            $0.order = .input
            $0.model.name = "another name for it"
        }
        #expect(summary.wasComplete)
        #expect(try run.customIDs() == (1...30).map { "line-\($0)" })
        #expect(try run.folder.bytes("out.errors.jsonl") == errors)
    }

    @Test func restartingForgetsErrorsToo() async throws {
        let run = try TestRun("{\n{\"prompt\":\"x\"}\n")
        #expect(try await run().counts.failed == 1)
        #expect(run.folder.has("out.errors.jsonl"))
        try run.folder.write("in.jsonl", TestRun.prompts(2))
        #expect(try await run { $0.restarts = true }.allCompleted)
        #expect(!run.folder.has("out.errors.jsonl"))
    }

    @Test(arguments: ["out.jsonl", "out.errors.jsonl"])
    func nobodysFileIsOverwritten(_ name: String) async throws {
        let run = try TestRun(TestRun.prompts(2))
        try run.folder.write(name, "precious\n")
        let failure = await run.failure()
        guard case .foreignOutput = failure else { throw Unexpected(failure as Any) }
        #expect(try run.folder.bytes(name) == Array("precious\n".utf8))
        #expect(!run.folder.has("out.jsonl.millrace"))
        #expect(try await run { $0.restarts = true }.allCompleted)
    }

    @Test func aStateOfItsOwnServesSeveralOutputs() async throws {
        var run = try TestRun(TestRun.prompts(5))
        run.configuration.stateFolder = run.folder("state")
        try await run()
        let other = ResultPlaces(output: run.folder("copy.jsonl"))
        #expect(try await run { $0.places = other }.wasComplete)
        #expect(try run.folder.bytes("copy.jsonl") == run.folder.bytes("out.jsonl"))
        // Its own results it may mend, wherever they are.
        try run.folder.write("copy.jsonl", Array(try run.folder.bytes("out.jsonl").dropLast(20)))
        try await run { $0.places = other }
        #expect(try run.folder.bytes("copy.jsonl") == run.folder.bytes("out.jsonl"))
        try run.folder.write("copy.jsonl", "precious\n")
        guard case .foreignOutput = await run.failure(change: { $0.places = other }) else { throw Unexpected("none") }
    }

    @Test func theInputIsNeverTheOutput() async throws {
        let run = try TestRun(TestRun.prompts(2))
        let failure = await run.failure {
            $0.places = ResultPlaces(output: run.configuration.input)
            $0.restarts = true
        }
        guard case .output = failure else { throw Unexpected(failure as Any) }
        let link = run.folder("link.jsonl")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: run.configuration.input)
        let linked = await run.failure {
            $0.places = ResultPlaces(output: run.folder("out.jsonl"), errors: link)
            $0.restarts = true
        }
        guard case .output = linked else { throw Unexpected(linked as Any) }
        #expect(try run.folder.bytes("in.jsonl") == Array(TestRun.prompts(2).utf8))
    }

    @Test func faultsAreFoundBeforeAnythingIsMade() async throws {
        let run = try TestRun(TestRun.prompts(2))
        let missing = await run.failure { $0.input = run.folder("none.jsonl") }
        guard case .input = missing else { throw Unexpected(missing as Any) }
        let nowhere = await run.failure { $0.places = ResultPlaces(output: run.folder("no/out.jsonl")) }
        guard case .output = nowhere else { throw Unexpected(nowhere as Any) }
        let isFolder = await run.failure { $0.places = ResultPlaces(output: run.folder.path) }
        guard case .output = isFolder else { throw Unexpected(isFolder as Any) }
        #expect(run.folder.names == ["in.jsonl"])
    }

    @Test func oneRunAtATime() async throws {
        let run = try TestRun(TestRun.prompts(2))
        let state = try RunState(folder: RunState.folder(for: run.folder("out.jsonl")))
        guard case .busy = await run.failure() else { throw Unexpected("ran beside another") }
        withExtendedLifetime(state) {}
    }

    /// An output that fails midway ends the run, hands the worker a cancellation and loses nothing.
    @Test func anUnwritableOutputLosesNothing() async throws {
        var run = try TestRun(TestRun.prompts(20))
        run.configuration.stateFolder = run.folder("state")
        let failure = await run.failure { $0.places = ResultPlaces(output: "/dev/full", errors: run.folder("e")) }
        guard case .output(let text) = failure else { throw Unexpected(failure as Any) }
        #expect(text.contains("/dev/full"))
        #expect(try await run().allCompleted)
        #expect(try Set(run.customIDs()).count == 20)
    }

    /// A submit that is cut off at any point leaves nothing that the next run could trip over.
    @Test(arguments: [0, 1, 2, 3])
    func aSubmitCutOffIsRepeated(_ calls: Int) async throws {
        let run = try TestRun(TestRun.prompts(600) + "{\n")
        let left = Mutex(calls)
        let cut = RunSession(run.configuration, clock: TestRun.clock) { path in
            CutOffQueue(queue: try SQLiteQueue(path: path)) { left.withLock { $0 -= 1; return $0 < 0 } }
        }
        await #expect(throws: RunError.self) { try await cut.run(display: NoProgress(), work: run.worker.work) }
        #expect(!run.folder.has("out.jsonl"))
        // Nothing has run, so even another input is welcome.
        if calls == 2 { try run.folder.write("in.jsonl", TestRun.prompts(700)) }
        let summary = try await run()
        #expect(summary.counts.completed == (calls == 2 ? 700 : 600))
        #expect(try Set(run.customIDs()).count == summary.counts.completed)
    }

    @Test func pipesAreSpooledAndResumeByTheirContents() async throws {
        var run = try TestRun(TestRun.prompts(30))
        let pipe = run.folder("pipe")
        try #require(mkfifo(pipe, 0o600) == 0)
        run.configuration.input = pipe
        func feed(_ text: String) {
            Thread.detachNewThread { try? text.write(toFile: pipe, atomically: false, encoding: .utf8) }
        }
        feed(TestRun.prompts(30))
        run.worker.stopsAfter = 8
        #expect(try await run().counts.completed == 8)
        run.worker.stopsAfter = .max
        feed(TestRun.prompts(31))
        guard case .changed = await run.failure() else { throw Unexpected("took another input") }
        feed(TestRun.prompts(30))
        #expect(try await run().allCompleted)
        #expect(!run.folder.names.contains { $0.hasPrefix("spool") })
    }

    @Test func summariesSayWhatCameOfIt() async throws {
        let run = try TestRun(TestRun.prompts(3) + "{\n{\"prompt\":7}\n[]\n")
        let summary = try await run()
        let json = summary.json
        #expect(json["requests"]?["failed"]?.int == 3)
        #expect(json["requests"]?["unfinished"]?.int == 0)
        #expect(json["errors"]?.object?.names == ["invalid_json", "invalid_request"])
        #expect(json["errors"]?["invalid_request"]?.int == 2)
        #expect(json["usage"]?["prompt_tokens"]?.int == 24)
        #expect(json["finished"]?.bool == true)
        #expect(json["errors_file"]?.string == run.folder("out.errors.jsonl"))
        let start = "requests  6: 3 completed, 3 failed\nerrors    2 invalid_request, 1 invalid_json\n"
        #expect(summary.text.hasPrefix(start))
        #expect(summary.text.contains(run.folder("out.errors.jsonl")))
    }
}

/// A queue whose process "dies" in a submitting call.
private struct CutOffQueue: JobQueue {
    let queue: SQLiteQueue
    let dies: @Sendable () -> Bool

    private func checkAlive() throws(JobQueueError) { if dies() { throw .unavailable("killed") } }

    func open(_ specification: BatchSpecification, at now: Timestamp) async throws(JobQueueError) -> BatchID {
        try checkAlive()
        return try await queue.open(specification, at: now)
    }
    func append(
        _ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp
    ) async throws(JobQueueError) {
        try checkAlive()
        try await queue.append(requests, to: batch, from: ordinal, at: now)
    }
    func seal(_ batch: BatchID, total: Int, at now: Timestamp) async throws(JobQueueError) {
        try checkAlive()
        try await queue.seal(batch, total: total, at: now)
    }
    func lease(_ claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError)
        -> [LeasedRequest]
    { try await queue.lease(claim, at: now) }
    func hasWork(for claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> Bool {
        try await queue.hasWork(for: claim, at: now)
    }
    func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp) async throws(JobQueueError)
        -> [FencedResult]
    { try await queue.renew(leases, durationMs: durationMs, at: now) }
    func settle(_ settlements: [Settlement], at now: Timestamp) async throws(JobQueueError) -> [FencedResult] {
        try await queue.settle(settlements, at: now)
    }
    func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp) async throws(JobQueueError)
        -> [FencedResult]
    { try await queue.release(leases, reason: reason, at: now) }
    func recover(at now: Timestamp) async throws(JobQueueError) -> Int { try await queue.recover(at: now) }
    func cancel(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        try await queue.cancel(batch, at: now)
    }
    func status(_ batch: BatchID) async throws(JobQueueError) -> BatchStatus { try await queue.status(batch) }
    func close() async throws(JobQueueError) { try await queue.close() }

    func list(tenant: String?, limit: Int) async throws(JobQueueError) -> [BatchStatus] {
        try await queue.list(tenant: tenant, limit: limit)
    }
    func results(_ batch: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder)
        async throws(JobQueueError) -> [ResultRecord]
    { try await queue.results(batch, after: cursor, limit: limit, order: order) }
    func deadLetters(_ batch: BatchID, after ordinal: Int?, limit: Int)
        async throws(JobQueueError) -> [DeadLetter]
    { try await queue.deadLetters(batch, after: ordinal, limit: limit) }
    func pause(at now: Timestamp) async throws(JobQueueError) { try await queue.pause(at: now) }
    func resume(at now: Timestamp) async throws(JobQueueError) { try await queue.resume(at: now) }
    func overview(at now: Timestamp) async throws(JobQueueError) -> QueueOverview {
        try await queue.overview(at: now)
    }
    func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord] { try await queue.usage(query) }
    func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError) {
        try await queue.heartbeat(report, at: now)
    }
    func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport] {
        try await queue.workers(at: now)
    }
    func forget(worker: String) async throws(JobQueueError) { try await queue.forget(worker: worker) }
}
