import Foundation
import JobQueue
import RedisServer
import Testing

@testable import Scheduler
@testable import Worker

/// What one forwarder learns of an organisation's limits its others know from the queue's store.
@Suite struct SharedLimitTests {
    enum Store: String, CaseIterable, Sendable { case memory, sqlite, redis }

    /// A forwarder may report what an earlier record granted, whose numbers were higher.
    @Test func refusalsOfAnotherRecordTeachNothing() {
        var shared = SharedBudget(RateLimits(requestHeaderSpan: .day))
        for sequence in [UInt64(5000), 4000, .max] {
            shared.refuse(
                .init(sequence: sequence, sentAt: 1000, at: 2000, retryAfterMs: 500, isExplained: false), at: 2000)
        }
        let all = Allotment(requests: 100, tokens: 100)
        let answer = shared.take(all, least: Allotment(requests: 1, tokens: 1), at: 3000)
        #expect(answer == .granted(.init(all, last: 100)), "but the wait that the server asked for is over")
    }

    /// No limit is known; the server lets 150 through, and turns 50 of one forwarder's away.
    @Test(arguments: Store.allCases) func aLimitThatNothingStatesIsLearnedForAll(_ kind: Store) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "shared-limit-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let redis = kind == .redis ? try RedisServer() : nil
        let place = redis.map { "unix://\($0.socket)" } ?? folder.appending(path: "queue.sqlite").path
        // Each forwarder with a connection of its own.
        let memory = MemoryRecords()
        var queues: [any JobQueue] = []
        if kind != .memory {
            for _ in 0..<2 { queues.append(try await QueueAddress(place).open()) }
        }
        let stores = try (0..<2).map { at in
            RecordBudgetStore(kind == .memory ? memory : try #require(queues[at] as? any RecordStore))
        }
        let limits = RateLimits(requestHeaderSpan: .day)

        func take(_ sender: Int, _ wanted: Int, at ms: Int64) async throws -> SharedBudget.Answer {
            let exchange = BudgetShare.Exchange(
                report: .init(unused: Allotment(), takenAt: 0), wanted: Allotment(requests: wanted, tokens: wanted),
                least: Allotment(requests: 1, tokens: 1))
            return try await stores[sender].exchange(
                exchange, of: "groq/m", limits, at: Timestamp(milliseconds: ms))
        }

        // Nothing holds anybody back at first.
        let all = Allotment(requests: 100, tokens: 100)
        #expect(try await take(0, 100, at: 1000) == .granted(.init(all, last: 100)))
        #expect(try await take(1, 100, at: 1000) == .granted(.init(all, last: 200)))
        let refusals = (51...100).map {
            SharedBudget.Refusal(
                sequence: UInt64($0), sentAt: 1000, at: 2000, retryAfterMs: 59_000, isExplained: false)
        }
        try await stores[0].refuse(refusals, of: "groq/m", limits, at: Timestamp(milliseconds: 2000))
        #expect(try await take(1, 100, at: 3000) == .notBefore(61_000), "the other one was not turned away")

        // A minute later they have the limit together, in portions, and one more to try.
        var granted = [0, 0]
        var now: Int64 = 62_000
        while now < 63_000 {
            for sender in 0..<2 {
                if case .granted(let grant) = try await take(sender, 100, at: now) {
                    #expect(grant.amount.requests <= 3, "a portion, so that there is some for both")
                    granted[sender] += grant.amount.requests
                }
            }
            now += 10
        }
        #expect((150...152).contains(granted[0] + granted[1]), "\(granted)")
        #expect(abs(granted[0] - granted[1]) <= 4, "\(granted)")
        for queue in queues { try await queue.close() }
    }

    /// What was taken and not sent was not let through either.
    @Test func whatWasNotSentIsNoPartOfALearnedLimit() {
        var budget = SharedBudget(RateLimits(requestHeaderSpan: .day))
        let all = Allotment(requests: 100, tokens: 100)
        let one = Allotment(requests: 1, tokens: 1)
        #expect(budget.take(all, least: one, at: 1000) == .granted(.init(all, last: 100)))
        #expect(budget.take(all, least: one, at: 1000) == .granted(.init(all, last: 200)))
        budget.refuse(
            .init(sequence: 100, sentAt: 1000, at: 2000, retryAfterMs: 58_000, isExplained: false), at: 2000)
        #expect(budget.hiddenRequestsPerMinute == 199)
        budget.settle(.init(unused: Allotment(requests: 80, tokens: 80), takenAt: 1000), at: 61_000)
        #expect(budget.hiddenRequestsPerMinute == 119)
    }

    /// Where a limit explains it nothing is learned, but all wait.
    @Test func aRefusalThatIsExplainedTeachesNothing() {
        var budget = SharedBudget(RateLimits(requestHeaderSpan: .day))
        let one = Allotment(requests: 1, tokens: 1)
        _ = budget.take(one, least: one, at: 1000)
        budget.refuse(
            .init(sequence: 1, sentAt: 1000, at: 2000, retryAfterMs: 10_000, isExplained: true), at: 2000)
        #expect(budget.hiddenRequestsPerMinute == nil)
        #expect(budget.take(one, least: one, at: 3000) == .notBefore(12_000))
    }
}

/// When a lane's next request may go.
@Suite struct LaneTests {
    /// Our own count is full for a minute; whether the server's is shorter tells the answer to the one request that
    /// asks.
    @Test func whileAnAnswerIsOnItsWayNothingIsPutOffForAMinute() throws {
        var lane = UpstreamLane(target: .init(name: "groq"), limits: RateLimits(), isShared: false)
        let batch = BatchID("batch_0")
        for ordinal in 0..<4 { lane.append(RequestKey(batch: batch, ordinal: ordinal), cost: 100) }
        let report = RateReport(tokens: .init(limit: 100, remaining: 0, resetMs: 6000))
        let sent = lane.send(at: 0)
        let first = try #require(sent)
        lane.finished(first, actual: 100, report: report, at: 10)
        #expect(lane.next(at: 10) == .wait(until: 6000))
        #expect(lane.next(at: 6000) == .send(RequestKey(batch: batch, ordinal: 1)))
        let asked = lane.send(at: 6000)
        let probe = try #require(asked)
        guard case .wait(let until) = lane.next(at: 6001) else {
            Issue.record("\(lane.next(at: 6001))")
            return
        }
        #expect(until <= 12_000, "until \(until)")
        lane.finished(probe, actual: 100, report: report, at: 6100)
        #expect(lane.next(at: 6100) == .wait(until: 12_000))
        #expect(lane.next(at: 12_000) == .send(RequestKey(batch: batch, ordinal: 2)))
    }

    /// What the server said is not asked again.
    @Test func whatTheServerSaysIsWaitedForWhole() throws {
        var lane = UpstreamLane(target: .init(name: "groq"), limits: RateLimits(), isShared: false)
        for ordinal in 0..<3 { lane.append(RequestKey(batch: BatchID("batch_0"), ordinal: ordinal), cost: 100) }
        let sent = lane.send(at: 0)
        let first = try #require(sent)
        _ = lane.send(at: 0)
        _ = lane.refused(first, report: RateReport(retryAfterMs: 3_600_000), at: 10, random: 0)
        #expect(lane.next(at: 10) == .wait(until: 3_600_010))
    }
}
