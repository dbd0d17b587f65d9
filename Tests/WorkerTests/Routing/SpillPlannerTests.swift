import JobQueue
import Scheduler
import Testing
import Worker

@Suite struct SpillPlannerTests {
    private static func planner(_ spill: String, limits: String = "") throws -> SpillPlanner {
        let text = """
            [backend.local]
            kind = "local"
            [backend.groq]
            kind = "groq"
            \(limits)
            [[route]]
            models = ["tiny*"]
            to = "local"
            spill = { to = { backend = "groq", model = "big" }, \(spill) }
            [[route]]
            models = ["*"]
            to = "groq"
            """
        return SpillPlanner(try RouteConfiguration(TOMLNode.parse(Array(text.utf8), file: "r.toml")))
    }

    private static let start = Timestamp(milliseconds: 1_000_000)

    private static func submit(
        _ queue: any JobQueue, _ count: Int, tenant: String = "a", priority: Int = 0, windowMs: Int64? = 100_000,
        model: String = "tiny"
    ) async throws -> BatchID {
        let batch = try await queue.open(
            BatchSpecification(tenant: tenant, priority: priority, completionWindowMs: windowMs), at: start)
        let requests = (0..<count).map {
            AppendedRequest.accepted(
                Request(customID: "r\($0)", endpoint: .completions, body: Array("{}".utf8), model: model, cost: 100))
        }
        try await queue.append(requests, to: batch, from: 0, at: start)
        try await queue.seal(batch, total: count, at: start)
        return batch
    }

    /// A local worker of that many tokens a second.
    private static func worker(_ queue: any JobQueue, pace: Double, backend: String = "cpu") async throws {
        try await queue.heartbeat(
            WorkerReport(
                name: backend, host: "h", processID: 1, models: ["tiny"], backend: backend, phase: .running,
                startedAt: start, reportedAt: start, promptTokensPerSecond: pace / 2,
                generatedTokensPerSecond: pace / 2), at: start)
    }

    private func plan(
        _ planner: SpillPlanner, _ queue: any JobQueue, held: [BatchID: Int] = [:], budgetLeft: [String: Double] = [:]
    ) async throws -> [SpillPlanner.Claim] {
        try await planner.plan(queue, held: held, budgetLeft: budgetLeft, at: Self.start)
    }

    @Test func takesWhatIsLate() async throws {
        let queue = try SQLiteQueue.temporary()
        let planner = try Self.planner("deadline = true, safety = 1.0")
        // 60 tokens a second for 100 seconds: 6,000 of 10,000.
        try await Self.worker(queue, pace: 60)
        // An upstream's own pace is none of ours.
        try await Self.worker(queue, pace: 1000, backend: "groq")
        let batch = try await Self.submit(queue, 100)
        let claims = try await plan(planner, queue)
        #expect(claims.map(\.batch) == [batch])
        #expect(claims.first?.tokens == 4000)
        #expect(claims.first?.models == ["tiny"])
        #expect(claims.first?.to == Route.Target(backend: "groq", model: "big"))
        // Forty of them leased by the forwarder: enough.
        let leased = try await queue.lease(
            LeaseClaim(worker: "f", maxRequests: 99, maxTokens: 4000, batches: [batch], durationMs: 1000), at: Self.start)
        #expect(leased.count == 40)
        #expect(try await plan(planner, queue, held: [batch: 40]).isEmpty)
    }

    @Test func leavesOthersAlone() async throws {
        let queue = try SQLiteQueue.temporary()
        let planner = try Self.planner("deadline = true")
        // No window; another model; paused; ended.
        _ = try await Self.submit(queue, 50, windowMs: nil)
        _ = try await Self.submit(queue, 50, tenant: "b", model: "other")
        #expect(try await plan(planner, queue).isEmpty)
        let paused = try await Self.submit(queue, 50, tenant: "c")
        #expect(try await plan(planner, queue).map(\.batch) == [paused])
        #expect(try await plan(planner, queue, budgetLeft: ["groq": 0.5]).map(\.batch) == [paused])
        try await queue.pause(paused, reason: "cap", at: Self.start)
        #expect(try await plan(planner, queue).isEmpty)
        try await queue.resume(paused, at: Self.start)
        try await queue.pause(at: Self.start)
        #expect(try await plan(planner, queue).isEmpty)
        try await queue.resume(at: Self.start)
        try await queue.cancel(paused, at: Self.start)
        #expect(try await plan(planner, queue).isEmpty)
    }

    @Test func whatIsAheadCounts() async throws {
        let queue = try SQLiteQueue.temporary()
        let planner = try Self.planner("deadline = true, safety = 1.0")
        try await Self.worker(queue, pace: 100)
        let late = try await Self.submit(queue, 60)
        // 10,000 by the deadline, and it needs 6,000.
        #expect(try await plan(planner, queue).isEmpty)
        _ = try await Self.submit(queue, 70, tenant: "vip", priority: 5, windowMs: nil)
        // 7,000 go first: 3,000 are left for 6,000.
        #expect(try await plan(planner, queue).map(\.tokens) == [3000])
        #expect(try await plan(planner, queue).map(\.batch) == [late])
    }

    @Test func aFullUpstreamIsGivenNoMore() async throws {
        let queue = try SQLiteQueue.temporary()
        let planner = try Self.planner("deadline = true", limits: "tokens_per_minute = 3000")
        _ = try await Self.submit(queue, 100)
        _ = try await Self.submit(queue, 100, tenant: "b")
        // 50 a second for 20 seconds, for both together.
        #expect(try await plan(planner, queue).map(\.tokens) == [1000])
    }

    @Test func backlogsSpill() async throws {
        let queue = try SQLiteQueue.temporary()
        let planner = try Self.planner("deadline = false, backlog_tokens = 6000, budget_left = 0.2")
        _ = try await Self.submit(queue, 100, windowMs: nil)
        #expect(try await plan(planner, queue).map(\.tokens) == [4000])
        #expect(try await plan(planner, queue, budgetLeft: ["groq": 0.1]).isEmpty)
    }
}
