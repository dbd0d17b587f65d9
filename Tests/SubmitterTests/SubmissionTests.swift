import JSON
import JobQueue
import Submitter
import Synchronization
import Testing

/// What clients do with a queue that others work on.
@Suite struct SubmissionTests {
    let folder = TemporaryFolder()
    let queue: SQLiteQueue

    init() throws { queue = try SQLiteQueue.temporary() }

    func submit(
        _ path: String, _ specification: BatchSpecification = BatchSpecification(), maxTokens: Int? = nil,
        isAnew: Bool = false
    ) async throws -> Submission.Report {
        try await Submission(
            input: path, specification: specification,
            defaults: RequestDefaults().with("max_tokens", maxTokens.map { .int(Int64($0)) }), isAnew: isAnew
        ).run(on: queue, now: { Timestamp(milliseconds: 5000) })
    }

    @Test func theSameContentsAreTheSameBatch() async throws {
        let path = try folder.write("a.jsonl", TestRun.prompts(3))
        let first = try await submit(path)
        #expect(!first.wasKnown)
        #expect(first.status.counts.queued == 3)
        #expect(first.status.state == .inProgress)
        let again = try await submit(try folder.write("b.jsonl", TestRun.prompts(3)))
        #expect(again.wasKnown)
        #expect(again.status == first.status)
        #expect(again.differences == [])
        // Anything that decides results makes another batch; so does another tenant, and saying so.
        let others = [
            try await submit(path, maxTokens: 7), try await submit(path, BatchSpecification(tenant: "other")),
            try await submit(path, isAnew: true), try await submit(try folder.write("c.jsonl", TestRun.prompts(4))),
        ]
        #expect(others.allSatisfy { !$0.wasKnown })
        #expect(Set(others.map(\.status.id) + [first.status.id]).count == 5)
    }

    @Test func saysWhatTheFirstSubmitDecided() async throws {
        let path = try folder.write("a.jsonl", TestRun.prompts(1))
        _ = try await submit(path, BatchSpecification(priority: 2, metadata: ["a": "b"]))
        let other = BatchSpecification(priority: 3, completionWindowMs: 1000, metadata: ["a": "b"])
        let again = try await submit(path, other)
        #expect(again.differences == ["its priority, 2, not 3", "its completion window"])
        #expect(again.text.contains("the batch keeps its priority, 2, not 3"))
    }

    @Test func aChosenKeyWithOtherContentsIsAConflict() async throws {
        let key = BatchSpecification(idempotencyKey: "nightly")
        let first = try await submit(try folder.write("a.jsonl", TestRun.prompts(3)), key)
        #expect(try await submit(try folder.write("b.jsonl", TestRun.prompts(3)), key).status.id == first.status.id)
        let other = try folder.write("c.jsonl", "{\"prompt\":\"else\"}\n")
        await #expect(throws: JobQueueError.self) { try await submit(other, key) }
    }

    @Test func goesOnWhereASubmitWasCutOff() async throws {
        let path = try folder.write("a.jsonl", TestRun.prompts(1200))
        // What the cut-off one had done: opened, and appended a part.
        let probe = try await submit(path, BatchSpecification(tenant: "probe"))
        var specification = probe.status.specification
        specification.tenant = "default"
        let batch = try await queue.open(specification, at: Timestamp(milliseconds: 1))
        let begun = (1...500).map { n in
            AppendedRequest.accepted(
                Request(
                    customID: "line-\(n)", endpoint: .completions,
                    body: JSONObject([("prompt", .string("prompt \(n)"))]), line: n))
        }
        try await queue.append(begun, to: batch, from: 0, at: Timestamp(milliseconds: 1))
        let report = try await submit(path)
        #expect(report.status.id == batch)
        #expect(!report.wasKnown)
        #expect(report.status.counts.queued == 1200)
    }

    @Test(arguments: [
        ["": "x"], ["input.name": "x"], ["long": String(repeating: "x", count: 513)],
        Dictionary(uniqueKeysWithValues: (0..<16).map { ("n\($0)", "v") }),
    ])
    func metadataHasLimits(_ metadata: [String: String]) async throws {
        let path = try folder.write("a.jsonl", TestRun.prompts(1))
        await #expect(throws: CommandFailure.self) { try await submit(path, BatchSpecification(metadata: metadata)) }
        #expect(try await queue.list(limit: 10).isEmpty)
    }

    // MARK: Dead letters

    @Test func deadLettersBecomeABatchOfTheirOwn() async throws {
        let path = try folder.write("a.jsonl", TestRun.prompts(450))
        let report = try await submit(path, BatchSpecification(tenant: "t", priority: 4, maxAttempts: 1))
        let batch = report.status.id
        let now = Timestamp(milliseconds: 6000)
        await #expect(throws: CommandFailure.self) { try await Requeue().run(batch, on: queue, at: now) }
        // All but the first ten die.
        let leased = try await queue.lease(max: 450, worker: "w", durationMs: 1000, at: now)
        _ = try await queue.settle(
            leased.prefix(10).map {
                Settlement(lease: $0.lease, outcome: Self.success)
            }, at: now)
        _ = try await queue.recover(at: Timestamp(milliseconds: 8000))
        let new = try await Requeue().run(batch, on: queue, at: Timestamp(milliseconds: 9000))
        #expect(new.counts.queued == 440)
        #expect(new.specification.tenant == "t")
        #expect(new.specification.priority == 4)
        #expect(new.specification.metadata["requeued.from"] == batch.value)
        #expect(try await Requeue().run(batch, on: queue, at: Timestamp(milliseconds: 9500)).id == new.id)
        let again = try await queue.lease(max: 1000, worker: "w", durationMs: 1000, at: Timestamp(milliseconds: 9600))
        #expect(again.map(\.request) == leased.dropFirst(10).map(\.request))
        let old = try await queue.status(batch)
        #expect(old.counts.failed == 440)
        #expect(old.counts.completed == 10)
    }

    @Test func withoutDeadLettersThereIsNothingToRequeue() async throws {
        let path = try folder.write("a.jsonl", "nonsense\n")
        let batch = try await submit(path).status.id
        do {
            _ = try await Requeue().run(batch, on: queue, at: Timestamp(milliseconds: 1))
            Issue.record("requeued what was refused")
        } catch let error as CommandFailure {
            #expect(error.description.contains("no dead letters"))
        }
    }

    static let success = Outcome(result: .response(statusCode: 200, body: Array("{}".utf8)))

    // MARK: Results

    /// Settles so many of what is queued.
    func work(_ count: Int) async throws {
        let now = Timestamp(milliseconds: 6000)
        let leased = try await queue.lease(max: count, worker: "w", durationMs: 60_000, at: now)
        _ = try await queue.settle(
            leased.map {
                Settlement(lease: $0.lease, outcome: Self.success)
            }, at: now)
    }

    @Test func resultsComeInPages() async throws {
        let batch = try await submit(try folder.write("a.jsonl", TestRun.prompts(1300))).status.id
        try await work(700)
        var export = ResultsExport(batch: batch, places: ResultPlaces(output: folder("out")), limit: nil)
        let all = try await export.run(on: queue, clock: TestRun.clock, display: NoProgress())
        #expect(all.lines == 700)
        #expect(!all.status.state.isTerminal)
        try await work(600)
        // The same command adds what came since; and mends what was spoilt.
        let rest = try await export.run(on: queue, clock: TestRun.clock, display: NoProgress())
        #expect(rest.lines == 1300)
        let whole = try folder.bytes("out")
        try folder.write("out", Array(whole.prefix(whole.count / 2)))
        _ = try await export.run(on: queue, clock: TestRun.clock, display: NoProgress())
        #expect(try folder.bytes("out") == whole)
        export.places = ResultPlaces(output: "/dev/null")
        export.limit = 100
        let page = try await export.run(on: queue, clock: TestRun.clock, display: NoProgress())
        #expect(page.lines == 100)
        export.cursor = page.cursor
        export.limit = nil
        #expect(try await export.run(on: queue, clock: TestRun.clock, display: NoProgress()).lines == 1200)
    }

    @Test func nobodysFileIsWrittenOver() async throws {
        let batch = try await submit(try folder.write("a.jsonl", TestRun.prompts(1))).status.id
        let path = try folder.write("thesis.txt", "many words\n")
        let export = ResultsExport(batch: batch, places: ResultPlaces(output: path))
        await #expect(throws: RunError.self) {
            try await export.run(on: queue, clock: TestRun.clock, display: NoProgress())
        }
        #expect(try folder.bytes("thesis.txt") == Array("many words\n".utf8))
    }

    @Test(.timeLimit(.minutes(1))) func followsToTheEnd() async throws {
        let batch = try await submit(try folder.write("a.jsonl", TestRun.prompts(90))).status.id
        let export = ResultsExport(batch: batch, places: ResultPlaces(output: folder("out")), follows: true)
        async let report = export.run(on: queue, clock: TestRun.clock, display: NoProgress())
        for _ in 0..<9 { try await work(10) }
        let end = try await report
        #expect(end.lines == 90)
        #expect(end.status.state == .completed)
        #expect(try folder.bytes("out").count { $0 == UInt8(ascii: "\n") } == 90)
    }

    @Test func aWatchEndsWithItsTime() async throws {
        let batch = try await submit(try folder.write("a.jsonl", TestRun.prompts(2))).status.id
        let watch = BatchWatch(queue, clock: TestRun.clock)
        let early = try await watch.run(batch, limitMs: 200, display: NoProgress())
        #expect(!early.state.isTerminal)
        try await work(2)
        #expect(try await watch.run(batch, display: NoProgress()).state == .completed)
        await #expect(throws: JobQueueError.unknownBatch(BatchID("x"))) {
            try await watch.run(BatchID("x"), display: NoProgress())
        }
    }
}
