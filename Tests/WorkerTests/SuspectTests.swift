import JSON
import JobQueue
import Synchronization
import Testing
@testable import Worker

/// I7 for requests that take workers down: devices that fail, steps that hang, outcomes that no store takes.
@Suite(.timeLimit(.minutes(2))) struct SuspectTests {
    /// Workers die twice that hold the requests of the letter s.
    private func accuse(_ bed: WorkerTestBed) async throws {
        for _ in 0..<2 {
            let leased = try await bed.queue.base.lease(max: 999, worker: "dead", durationMs: 10, at: bed.now)
            let others = leased.filter { !$0.request.customID.hasPrefix("s") }
            _ = try await bed.queue.base.release(others.map(\.lease), reason: .handedBack, at: bed.now)
            bed.pass(10)
            #expect(try await bed.queue.base.recover(at: bed.now) == leased.count - others.count)
        }
    }

    /// A request that was in two crashes is held by a worker that holds nothing else.
    @Test func suspectsRunAlone() async throws {
        let bed = try WorkerTestBed()
        let letters = "aasaaaaaaasaaaaaaaaaas"
        let batch = try await bed.submit(letters, maxTokens: 12)
        try await accuse(bed)
        let letterS = Int32(UInt8(ascii: "s"))
        let held = Mutex<[Int]>([])
        let worker = try await bed.start(
            goal: .batch(batch),
            onStep: { [queue = bed.queue] tokens in
                if tokens.contains(letterS) { held.withLock { $0.append(queue.state.leasedNow.count) } }
                let bos = ToyTokenizer.bytesAndWords.bos
                #expect(!tokens.contains(letterS) || tokens.allSatisfy { $0 == letterS || $0 == bos })
            })
        #expect(try await worker.end() == .reachedGoal)
        #expect(try await bed.counts(batch).completed == letters.count)
        let company = held.withLock { $0 }
        #expect(company.count >= 3 * 12)
        #expect(company.allSatisfy { $0 == 1 }, "others were leased while a suspect ran: \(company)")
    }

    /// A worker that always has something to do stops for one now and then.
    @Test func suspectsDoNotWaitForEver() async throws {
        let bed = try WorkerTestBed()
        let letters = "ss" + String(repeating: "a", count: 300)
        let batch = try await bed.submit(letters, maxTokens: 12)
        try await accuse(bed)
        let letterS = Int32(UInt8(ascii: "s"))
        let worker = try await bed.start(
            goal: .batch(batch),
            onStep: { tokens in
                bed.pass(1_000)
                let bos = ToyTokenizer.bytesAndWords.bos
                #expect(!tokens.contains(letterS) || tokens.allSatisfy { $0 == letterS || $0 == bos })
            })
        #expect(try await worker.end() == .reachedGoal)
        let order = try await bed.queue.base.results(batch, after: nil, limit: 999, order: .completion)
        #expect(order.count == letters.count)
        let places = order.indices.filter { order[$0].customID.hasPrefix("s") }
        let others = zip([-1] + places, places).map { $1 - $0 - 1 }
        #expect(others.allSatisfy { $0 >= 8 }, "suspects were tried at \(places)")
        #expect(places.last != order.indices.last, "suspects waited for the end: \(places)")
    }

    /// Where crashes do not count (a run that is killed and resumed by hand), nobody is held up.
    @Test func anEmbeddedWorkerDoesNotCare() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("ssss")
        try await accuse(bed)
        var settings = WorkerSettings.embedded
        settings.tickMs = 2
        let worker = try await bed.start(settings, goal: .batch(batch))
        _ = try await worker.end()
        #expect(bed.queue.state.mostLeased == 4)
    }

    struct Broken: Error {}

    /// What ran when the device failed counts as crashed, at once; what was finished is settled.
    @Test func aFailingDeviceCountsAsACrash() async throws {
        let bed = try WorkerTestBed()
        let quick = try await bed.submit("aa", maxTokens: 2)
        let long = try await bed.submit("bbb", maxTokens: 50)
        let gate = StepGate(open: false)
        let worker = try await bed.start { tokens in
            gate.pass(tokens)
            if gate.steps.count > 10 { throw Broken() }
        }
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 5 }
        gate.allow()
        await #expect(throws: EngineFailure.self) { try await worker.end() }
        #expect(try await bed.counts(quick).completed == 2)
        #expect(try await bed.counts(long).leased == 3)
        bed.pass(1)
        #expect(try await bed.queue.base.recover(at: bed.now) == 3)
    }

    @Test func aStepThatHangsEndsTheWorker() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("aa")
        let gate = StepGate(open: false)
        var settings = WorkerTestBed.settings
        settings.recoverMs = nil
        settings.stepLimitMs = 600_000
        let worker = try await bed.start(settings, onStep: gate.pass)
        try await bed.until { gate.isWaiting }
        // Renewed as long as the step may still end.
        for _ in 0..<11 {
            let reports = bed.queue.state.reports.count
            bed.pass(30_000)
            try await bed.until { bed.queue.state.reports.count > reports }
        }
        #expect(try await bed.counts(batch).leased == 2)
        let time = Task { try await bed.until(passing: 1_000) { false } }
        await #expect(throws: EngineFailure.self) { try await worker.task.value }
        time.cancel()
        bed.pass(1_000)
        #expect(try await bed.queue.base.recover(at: bed.now) == 2)
        gate.allow()
        worker.engine.stop()
    }

    /// One outcome that cannot be stored fails its own request, not its group.
    @Test func anOutcomeThatCannotBeStoredFailsAlone() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("aaaaaa")
        bed.queue.change { $0.indigestible = [3] }
        let worker = try await bed.start(goal: .batch(batch))
        _ = try await worker.end()
        let counts = try await bed.counts(batch)
        #expect(counts.completed == 5)
        #expect(counts.failed == 1)
        let error = try #require(try await bed.records(batch)[3].outcome.error)
        #expect(error.code == "internal_error")
        #expect(error.message.contains("too much of a good thing"))
    }

    @Test func aBadRequestIsSettledAtOnce() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.queue.open(BatchSpecification(), at: bed.now)
        let bodies = ["{", #"{"prompt": 7}"#, #"{"prompt": "a", "max_tokens": 5000}"#, #"{"prompt": "a"}"#]
        let requests = bodies.enumerated().map {
            AppendedRequest.accepted(
                Request(customID: "r\($0)", endpoint: .completions, body: Array($1.utf8)))
        }
        try await bed.queue.append(requests, to: batch, from: 0, at: bed.now)
        try await bed.queue.seal(batch, total: 4, at: bed.now)
        let worker = try await bed.start(goal: .batch(batch))
        _ = try await worker.end()
        let codes = try await bed.records(batch).map { $0.outcome.error?.code }
        #expect(codes == ["invalid_json", "invalid_request", "context_length_exceeded", nil])
    }

    @Test func reportsHowItDoes() async throws {
        let bed = try WorkerTestBed()
        _ = try await bed.submit("aaaa", maxTokens: 100)
        let gate = StepGate(open: false)
        var settings = WorkerTestBed.settings
        settings.models = ["echo", "alias"]
        let worker = try await bed.start(settings, name: "host-7", onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 4 }
        gate.allow(20)
        try await bed.until { gate.steps.count == 21 && gate.isWaiting }
        try await bed.until { bed.queue.state.reports.count == 1 }
        bed.pass(10_000)
        try await bed.until { bed.queue.state.reports.count == 2 }
        let report = try #require(bed.queue.state.reports.last)
        #expect(report.name == "host-7")
        #expect(report.models == ["echo", "alias"])
        #expect(report.phase == .running)
        #expect(report.leasedRequests == 4)
        #expect(report.runningSequences == 4)
        #expect(report.generatedTokensPerSecond == 8)
        #expect(report.cacheUse > 0 && report.cacheUse < 1)
        #expect(report.stepMs > 0)
        #expect(bed.queue.state.claims.allSatisfy { $0.models == ["echo", "alias"] })
        worker.inbox.stop()
        try await bed.until(passing: 1_000) { bed.queue.state.reports.last?.phase == .draining }
        gate.allow()
        _ = try await worker.end()
    }

    @Test func asksAnAbsentStoreEverMoreSeldom() {
        var patience = StorePatience()
        #expect(patience.permits(at: 0))
        var waits: [Int64] = []
        for _ in 0..<12 { waits.append(patience.noteFailure(at: 0, jitter: 1)) }
        #expect(waits.first == 200)
        #expect(waits.last == 15_000)
        #expect(zip(waits, waits.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(!patience.permits(at: 14_999))
        #expect(patience.permits(at: 15_000))
        let shortest = patience.noteFailure(at: 0, jitter: 0)
        #expect(shortest == 7_500)
        let news = [patience.noteSuccess(), patience.noteSuccess()]
        #expect(news == [true, false])
        let first = patience.noteFailure(at: 0, jitter: 1)
        #expect(first == 200)
    }
}

extension Timestamp: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int64) { self.init(milliseconds: value) }
}
