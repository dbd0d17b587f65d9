import Foundation
import JSON
import JobQueue
import Testing

@testable import Scheduler
@testable import Worker

/// What is turned away, parked or unaffordable is not burnt.
@Suite struct LimitTests {
    @Test func beingTurnedAwayIsNoFailure() async throws {
        let bed = try await ForwardingBed(
            ["rules": [["do": "status", "status": 429, "retry_after": 1, "every": 5, "times": 10]]], speed: 20)
        let batch = try await bed.submit(ForwardingTests.chats(60), maxAttempts: 1)
        // It looks like a limit of requests a minute, which the rest waits for; handed back, it would be leased anew.
        let figures = try await bed.work(batch) { $0.holdMs = 100_000_000 }
        let results = try await bed.results(batch)
        #expect(results.count == 60)
        #expect(results.allSatisfy { $0.state == .completed && $0.attempt == 1 })
        #expect(figures.limited == 10)
        #expect(figures.sent == 70)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    /// The limit opens again after an hour: requests are handed back, and taken up when it is over.
    @Test func anHourIsWaitedFor() async throws {
        let bed = try await ForwardingBed(
            ["rules": [["do": "status", "status": 429, "retry_after": 3600, "skip": 20, "times": 1]]], speed: 4000)
        let batch = try await bed.submit(ForwardingTests.chats(100), maxAttempts: 1)
        let start = bed.clock.now()
        let figures = try await bed.work(batch)
        #expect(bed.clock.now() - start >= 3_600_000)
        #expect(figures.limited == 1)
        let results = try await bed.results(batch)
        #expect(results.count == 100)
        #expect(results.allSatisfy { $0.state == .completed })
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    @Test func keepsToLimitsItLearns() async throws {
        // A minute takes three seconds; the tokens of all requests take three of them.
        let bed = try await ForwardingBed(
            ["tokens_per_minute": 2000, "minute_s": 60, "time_scale": 20.0], speed: 20)
        let batch = try await bed.submit(ForwardingTests.chats(600, more: #","max_tokens":16"#))
        let figures = try await bed.work(batch)
        #expect(try await bed.results(batch).allSatisfy { $0.state == .completed })
        // The first burst meets a limit that no header tells beforehand.
        #expect(figures.limited <= 60, "\(figures)")
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    /// A limit of requests a minute, of which no header says anything. A minute takes three seconds.
    @Test(arguments: ["bucket", "fixed", "rolling"]) func keepsToLimitsThatNobodyStates(_ kind: String) async throws {
        let bed = try await ForwardingBed(
            [
                "requests_per_minute": 240, "tokens_per_minute": 1_000_000, "requests_per_day": 100_000,
                "counts_by": .string(kind), "time_scale": 20.0,
            ], speed: 20)
        let batch = try await bed.submit(ForwardingTests.chats(600, more: #","max_tokens":16"#))
        try await bed.work(batch)
        let results = try await bed.results(batch)
        #expect(results.count == 600)
        #expect(results.allSatisfy { $0.state == .completed })
        let seen = try bed.fake.witness()
        let start = seen.compactMap { $0["t"]?.double }.min() ?? 0
        let refused = seen.filter { $0["status"]?.int == 429 }
        let later = refused.count { $0["t"]?.double ?? 0 > start + 3 }
        #expect(!refused.isEmpty, "the limit binds")
        // Without learning it there were 300. On a busy machine requests and fast clocks part, so this is no measure.
        #expect(later <= 100, "\(later) refusals after the first minute, \(refused.count) in all")
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    @Test func partsOfSharedLimitsAreGivenBackAtTheEnd() async throws {
        let bed = try await ForwardingBed()
        var target = bed.target()
        target.limits.requestsPerMinute = 600
        let store = RecordBudgetStore(MemoryRecords())
        try await bed.work(try await bed.submit(ForwardingTests.chats(3)), target, budgets: store)
        // A portion is ten; of the minute's 600 another finds all but the three that were sent.
        let one = Allotment(requests: 1, tokens: 1)
        let exchange = BudgetShare.Exchange(
            report: .init(unused: Allotment(), takenAt: 0), wanted: Allotment(requests: 600, tokens: 1), least: one)
        let answer = try await store.exchange(
            exchange, of: "groq/\(FakeGroq.model)", target.limits, at: bed.clock.now())
        guard case .granted(let grant) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(grant.amount == Allotment(requests: 597, tokens: 1))
    }

    @Test func aModelThatIsGoneIsParked() async throws {
        let old = "mixtral-8x7b-32768"
        let bed = try await ForwardingBed()
        let requests = (0..<200).map { ForwardingBed.chat("r\($0);", model: $0 % 2 == 0 ? old : FakeGroq.model) }
        let batch = try await bed.submit(requests, maxAttempts: 1)
        do {
            try await bed.work(batch)
            Issue.record("it came to an end though half of it cannot")
        } catch let error as UpstreamParked {
            #expect(error.error.code == "model_decommissioned")
            #expect(error.description.contains(old))
        }
        var status = try await bed.queue.status(batch)
        #expect(status.counts.completed == 100)
        #expect(status.counts.queued == 100)
        #expect(status.counts.failed == 0)
        let burnt = try bed.fake.witness().filter { $0["status"]?.int == 400 }.count
        #expect(burnt <= 32, "as many as were under way, not \(burnt)")
        #expect(bed.log.all.filter { $0.hasPrefix("error") }.count == 1, "\(bed.log.all)")
        // Somebody mends it.
        try await bed.fake.control(["decommissioned": [], "models": [.string(old), .string(FakeGroq.model)]])
        try await bed.work(batch)
        status = try await bed.queue.status(batch)
        #expect(status.counts.completed == 200)
    }

    @Test func aRevokedKeyParksTheRoute() async throws {
        let bed = try await ForwardingBed([
            "rules": [["do": "revoke", "skip": 100, "times": 1]],
            "keys": [FakeGroq.keyText: "org_a", "gsk_secondsecondsecondsecond0002": "org_b"],
            "latency_ms": 5,
        ])
        let batch = try await bed.submit(ForwardingTests.chats(400), maxAttempts: 1)
        await #expect(throws: UpstreamParked.self) { try await bed.work(batch) }
        var status = try await bed.queue.status(batch)
        #expect(status.counts.failed == 0)
        #expect(status.counts.leased == 0)
        #expect(status.counts.completed >= 100)
        #expect(status.counts.queued == 400 - status.counts.completed)
        #expect(bed.log.all.filter { $0.hasPrefix("error") }.count == 1, "\(bed.log.all)")
        try await bed.work(batch, bed.target(key: FakeGroq.key("gsk_secondsecondsecondsecond0002")))
        status = try await bed.queue.status(batch)
        #expect(status.counts.completed == 400)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    /// A daemon tries again by itself, with one request.
    @Test func aParkedRouteIsTriedAgain() async throws {
        let bed = try await ForwardingBed(
            ["rules": [["do": "status", "status": 401, "code": "invalid_api_key", "times": 40]]], speed: 100)
        let batch = try await bed.submit(ForwardingTests.chats(50), maxAttempts: 1)
        let figures = try await bed.work(batch) { $0.retryParkedMs = 10_000 }
        #expect(try await bed.queue.status(batch).counts.completed == 50)
        #expect(figures.sent == 90)
        #expect(bed.log.all.filter { $0.hasPrefix("error") }.count == 1, "\(bed.log.all)")
    }

    @Test func stoppingHandsBack() async throws {
        let bed = try await ForwardingBed(["rules": [["do": "silence", "skip": 10]]])
        let batch = try await bed.submit(ForwardingTests.chats(100), maxAttempts: 1)
        let inbox = UpstreamWorker.Inbox()
        async let work = bed.work(batch, inbox: inbox)
        while inbox.figures.answered < 10 || inbox.figures.sent < 20 { await Task.yield() }
        inbox.stop()
        inbox.stop()
        let figures = try await work
        var status = try await bed.queue.status(batch)
        #expect(status.counts.completed == 10)
        #expect(status.counts.queued == 90)
        #expect(figures.cutOff == figures.sent - 10)
        try await bed.fake.control(["rules": []])
        try await bed.work(batch)
        status = try await bed.queue.status(batch)
        #expect(status.counts.completed == 100)
    }
}
