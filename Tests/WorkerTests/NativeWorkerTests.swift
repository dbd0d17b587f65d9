import JSON
import JobQueue
import Synchronization
import Testing
import Worker

/// A worker's side of the lease protocol, with a fake model and a store that can go away.
@Suite(.timeLimit(.minutes(2))) struct NativeWorkerTests {
    static let letterS = Int32(UInt8(ascii: "s"))

    @Test func completesABatch() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit(String(repeating: "abc", count: 20))
        let worker = try await bed.start(goal: .batch(batch))
        #expect(try await worker.end() == .reachedGoal)
        let records = try await bed.records(batch)
        #expect(records.count == 60)
        for record in records {
            guard case .response(200, let body) = record.outcome.result else {
                Issue.record("\(record.customID): \(record.outcome)")
                continue
            }
            let letter = String(record.customID.prefix(1))
            let text = try JSON(parsing: body)["choices"]?.array?.first?["text"]?.string
            #expect(text == String(repeating: letter, count: 4))
            #expect(record.outcome.usage.completionTokens == 4)
            #expect(record.outcome.backend == "test")
            #expect(record.attempt == 1)
        }
    }

    /// It holds what could run and a small look-ahead; more would wait here while another worker might run it.
    @Test func leasesWhatThereIsRoomFor() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit(String(repeating: "a", count: 200), maxTokens: 60)
        let worker = try await bed.start(goal: .batch(batch), maxSequences: 8, blockCount: 24)
        _ = try await worker.end()
        let state = bed.queue.state
        // Eight run and one waits; up to nine more have finished, and are not settled yet.
        #expect(state.mostLeased <= 18, "\(state.mostLeased) held at once")
        for claim in state.claims where claim.suspects != .one {
            #expect((1...9).contains(claim.maxRequests))
            #expect((1...(24 * 16)).contains(claim.maxTokens ?? 0))
        }
        #expect(try await bed.counts(batch).completed == 200)
    }

    @Test func goesOnWithoutItsStore() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("abcdef")
        let gate = StepGate(open: false)
        let worker = try await bed.start(onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 6 }
        bed.queue.goAway()
        gate.allow()
        try await bed.until { worker.engine.snapshot?.statistics.counts.finished == 6 }
        // Time passes, and it asks again and again.
        try await bed.until(passing: 500) { bed.queue.state.failures >= 4 }
        #expect(try await bed.counts(batch).leased == 6)
        bed.queue.comeBack()
        try await bed.untilOver(batch, passing: 500)
        #expect(try await bed.records(batch).map(\.attempt) == [1, 1, 1, 1, 1, 1])
        worker.inbox.stop()
        #expect(try await worker.end() == .stopped)
    }

    /// Leases that others took meanwhile are theirs: what came of them here is dropped, nothing is counted twice.
    @Test func losesWhatOthersTookOver() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("abcd")
        let gate = StepGate(open: false)
        var settings = WorkerTestBed.settings
        settings.recoverMs = nil
        let worker = try await bed.start(settings, onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 4 }
        bed.queue.goAway()
        bed.pass(100_000)
        #expect(try await bed.queue.base.recover(at: bed.now) == 4)
        let others = try await bed.queue.base.lease(max: 2, worker: "other", durationMs: 60_000, at: bed.now)
        #expect(others.map(\.lease.attempt) == [2, 2])
        // Two of four finish here; then the store is back.
        gate.allow()
        try await bed.until { worker.engine.snapshot?.statistics.counts.finished == 4 }
        bed.queue.comeBack()
        // This worker leases the other two again, and completes them.
        try await bed.until(passing: 500) { try await bed.counts(batch).completed == 2 }
        #expect(try await bed.counts(batch).leased == 2)
        let success = Outcome(result: .response(statusCode: 200, body: Array("{}".utf8)))
        _ = try await bed.queue.base.settle(
            others.map { Settlement(lease: $0.lease, outcome: success) }, at: bed.now)
        #expect(try await bed.records(batch).map(\.attempt) == [2, 2, 2, 2])
        #expect(try await bed.queue.base.status(batch).usage.completionTokens == 8)
        #expect(try await bed.queue.base.integrityProblems() == [])
        worker.inbox.stop()
        _ = try await worker.end()
    }

    @Test func endsOnAStoreThatCannotBeUsed() async throws {
        let bed = try WorkerTestBed()
        bed.queue.change { $0.outage = .unusableStore("not a queue") }
        let worker = try await bed.start()
        await #expect(throws: JobQueueError.unusableStore("not a queue")) { try await worker.end() }
    }

    /// `millrace run` has its store for itself: a full disk is for the user to mend.
    @Test func anEmbeddedStoreIsNotWaitedFor() async throws {
        let bed = try WorkerTestBed()
        bed.queue.change { $0.outage = .unavailable("disk full") }
        var settings = WorkerSettings.embedded
        settings.tickMs = 2
        let worker = try await bed.start(settings)
        await #expect(throws: JobQueueError.unavailable("disk full")) { try await worker.end() }
    }

    @Test func drains() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit(String(repeating: "a", count: 12), maxTokens: 10)
        let gate = StepGate(open: false)
        var settings = WorkerTestBed.settings
        settings.drainMs = 1_000_000_000
        let worker = try await bed.start(settings, maxSequences: 4, onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count > 4 }
        worker.inbox.stop()
        try await bed.until(passing: 1_000) { bed.queue.state.reports.last?.phase == .draining }
        gate.allow()
        #expect(try await worker.end() == .stopped)
        // What had begun is done; what only waited is as if it had never been leased.
        let counts = try await bed.counts(batch)
        #expect(counts.leased == 0)
        #expect((1...5).contains(counts.completed), "\(counts)")
        #expect(counts.queued == 12 - counts.completed)
        #expect(bed.queue.state.forgotten == ["w"])
        let next = try await bed.queue.base.lease(max: 12, worker: "x", durationMs: 1000, at: bed.now)
        #expect(next.count == counts.queued)
        #expect(next.allSatisfy { $0.crashes == 0 })
    }

    @Test func handsBackWhatDoesNotFinishInTime() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("aaaa", maxTokens: 900)
        let gate = StepGate(open: false)
        let worker = try await bed.start(onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 4 }
        worker.inbox.stop()
        gate.allow(3)
        try await bed.until(passing: 1_000) { try await bed.counts(batch).queued == 4 }
        gate.allow()
        #expect(try await worker.end() == .stopped)
        #expect(try await bed.counts(batch).completed == 0)
    }

    @Test func aSecondStopHandsBackAtOnce() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("aaaa", maxTokens: 900)
        let gate = StepGate(open: false)
        let worker = try await bed.start(onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 4 }
        worker.inbox.stop()
        worker.inbox.stop()
        try await bed.until { try await bed.counts(batch).queued == 4 }
        gate.allow()
        #expect(try await worker.end() == .stopped)
    }

    /// A stop does not wait for ever for a store that is away; the leases expire by themselves.
    @Test func stopsWithoutItsStore() async throws {
        let bed = try WorkerTestBed()
        let batch = try await bed.submit("aaaa")
        let gate = StepGate(open: false)
        let worker = try await bed.start(onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 4 }
        bed.queue.goAway()
        gate.allow()
        try await bed.until { worker.engine.snapshot?.statistics.counts.finished == 4 }
        worker.inbox.stop()
        let time = Task { try await bed.until(passing: 1_000) { false } }
        #expect(try await worker.end() == .stopped)
        time.cancel()
        #expect(try await bed.counts(batch).leased == 4)
    }

    @Test func stopsWhatWasCancelled() async throws {
        let bed = try WorkerTestBed()
        let doomed = try await bed.submit("dddd", maxTokens: 500)
        let other = try await bed.submit("oo", maxTokens: 400)
        let gate = StepGate(open: false)
        let worker = try await bed.start(onStep: gate.pass)
        try await bed.until { gate.isWaiting && bed.queue.state.leasedNow.count == 6 }
        gate.allow(10)
        try await bed.until { gate.steps.count == 11 && gate.isWaiting }
        try await bed.queue.cancel(doomed, at: bed.now)
        try await bed.until(passing: 50) {
            gate.allow(1)
            return worker.engine.snapshot?.statistics.counts.cancelled == 4
        }
        // None of its tokens was computed after that.
        let before = gate.steps.count
        gate.allow()
        try await bed.untilOver(other)
        let letter = Int32(UInt8(ascii: "d"))
        #expect(gate.steps.dropFirst(before + 1).allSatisfy { !$0.contains(letter) })
        #expect(try await bed.counts(doomed).cancelled == 4)
        #expect(try await bed.counts(other).completed == 2)
        worker.inbox.stop()
        _ = try await worker.end()
    }
}
