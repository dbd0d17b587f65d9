import Scheduler
import Testing

/// A scheduler in tests: names sequences by number, samples for all.
struct Bench {
    var scheduler: BatchScheduler
    var plan = StepPlan()

    init(
        blockSize: Int = 4, blocks: Int = 100, sequences: Int = 4, budget: Int = 16,
        context: Int = 1000,
        watermark: Int = 0, reserve: Double = 0, aging: Int = 4, senior: Int = 3,
        lookAhead: Int? = nil,
        sharesWithinStep: Bool = true
    ) throws {
        scheduler = BatchScheduler(
            try SchedulerLimits(
                blockSize: blockSize, blockCount: blocks, maxSequences: sequences,
                tokenBudget: budget,
                contextLength: context, watermarkBlocks: watermark, growthReserve: reserve,
                agingAdmissions: aging,
                seniorAfterPreemptions: senior, lookAheadSequences: lookAhead,
                sharesWithinStep: sharesWithinStep))
    }

    /// Adds a prompt of `count` tokens that no other sequence has, or of the `tokens` given.
    mutating func add(
        _ id: UInt64, _ count: Int = 1, tokens: [Int32]? = nil, new: Int = 100, tenant: Int = 0,
        priority: Int = 0,
        salt: UInt64 = 0, logits: Bool = false
    ) throws {
        let prompt = tokens ?? (0..<count).map { Int32(id * 1000) + Int32($0) }
        try scheduler.add(
            NewSequence(
                id: SequenceID(id), tenant: TenantID(tenant), priority: priority, prompt: prompt,
                maxNewTokens: new,
                cacheSalt: salt, needsPromptLogits: logits))
    }

    /// Plans a step; returns (id, start, rows) of its entries.
    mutating func schedule() throws -> [[Int]] {
        scheduler.schedule(into: &plan)
        try scheduler.checkIntegrity()
        return plan.entries.map { [Int($0.id.rawValue), $0.start, $0.rows.count] }
    }

    /// Commits it with `token` for all that sample; returns who finished.
    @discardableResult
    mutating func commit(_ token: Int32 = 7) throws -> [FinishedSequence] {
        let finished = scheduler.commit(
            plan.entries.filter(\.samples).map { SampledToken($0.id, token) })
        try scheduler.checkIntegrity()
        return finished
    }

    @discardableResult
    mutating func step() throws -> [[Int]] {
        let entries = try schedule()
        try commit()
        return entries
    }

    /// Steps until all is finished; returns the ids in the order of their ends.
    mutating func drain() throws -> [UInt64] {
        var order: [UInt64] = []
        while !scheduler.isEmpty {
            _ = try schedule()
            order += try commit().map(\.id.rawValue)
        }
        return order
    }
}

/// What a step runs, and how sequences come and go.
@Suite struct BatchSchedulerTests {
    @Test func promptsAreComputedInChunksUnderTheBudget() throws {
        var bench = try Bench(budget: 4)
        try bench.add(1, 10, new: 2)
        #expect(try bench.schedule() == [[1, 0, 4]])
        #expect(bench.plan.logitRows.isEmpty && bench.plan.entries[0].samples == false)
        try bench.commit()
        #expect(try bench.step() == [[1, 4, 4]])
        #expect(try bench.schedule() == [[1, 8, 2]])
        #expect(bench.plan.entries[0].samples && bench.plan.logitRows == [1])
        try bench.commit(42)
        #expect(try bench.schedule() == [[1, 10, 1]])
        #expect(bench.plan.tokens == [42] && bench.plan.entries[0].phase == .decode)
        let finished = try bench.commit(43)
        #expect(finished.map(\.generated) == [[42, 43]] && bench.scheduler.isEmpty)
        #expect(try bench.schedule().isEmpty)
    }

    @Test func decodesComeFirstThenRunningPromptsThenNewOnes() throws {
        var bench = try Bench(sequences: 4, budget: 8)
        try bench.add(1, 2)
        #expect(try bench.step() == [[1, 0, 2]])
        try bench.add(2, 10)
        try bench.add(3, 5)
        #expect(try bench.step() == [[1, 2, 1], [2, 0, 7]])
        #expect(try bench.step() == [[1, 3, 1], [2, 7, 3], [3, 0, 4]])
        #expect(try bench.step() == [[1, 4, 1], [2, 10, 1], [3, 4, 1]])
    }

    @Test func sequencesJoinAndLeaveAtEveryStep() throws {
        var bench = try Bench(sequences: 2)
        try bench.add(1, 2, new: 2)
        try bench.add(2, 3, new: 9)
        try bench.add(3, 4, new: 9)
        #expect(try bench.step() == [[1, 0, 2], [2, 0, 3]])
        #expect(try bench.step() == [[1, 2, 1], [2, 3, 1]])
        #expect(try bench.step() == [[2, 4, 1], [3, 0, 4]], "3 takes the place of 1 at once")
    }

    @Test func rowsSayWhereTheirKeysAndValuesGo() throws {
        var bench = try Bench(blockSize: 2, budget: 5)
        try bench.add(1, tokens: [10, 11, 12])
        try bench.add(2, tokens: [20, 21])
        _ = try bench.schedule()
        let plan = bench.plan
        #expect(plan.tokens == [10, 11, 12, 20, 21] && plan.positions == [0, 1, 2, 0, 1])
        #expect(plan.entries.map(\.blocks) == [0..<2, 2..<3] && Set(plan.blockTables).count == 3)
        let (a, b, c) = (plan.blockTables[0] * 2, plan.blockTables[1] * 2, plan.blockTables[2] * 2)
        #expect(plan.slots == [a, a + 1, b, c, c + 1])
        #expect(plan.logitRows == [2, 4] && plan.entries.map(\.logits) == [0..<1, 1..<2])
    }

    @Test func whoStopsIsTakenOutWithItsTokens() throws {
        var bench = try Bench()
        try bench.add(1, tokens: [10, 11])
        try bench.step()
        let result = bench.scheduler.finish(SequenceID(1))
        let finished = try #require(result)
        #expect(finished.tokens == [10, 11, 7] && finished.generated == [7])
        #expect(bench.scheduler.finish(SequenceID(1)) == nil && bench.scheduler.isEmpty)
        #expect(bench.scheduler.statistics.blocksUsed == 0)
    }

    @Test func cancellingWhileAStepIsComputedIsSafe() throws {
        var bench = try Bench()
        try bench.add(1, 4)
        try bench.add(2, 4)
        _ = try bench.schedule()
        #expect(bench.scheduler.cancel(SequenceID(1))?.generated == [])
        try bench.scheduler.checkIntegrity()
        try bench.add(1, tokens: [5, 6])  // the same name again, in the same slot
        try bench.commit()
        #expect(
            try bench.schedule() == [[2, 4, 1], [1, 0, 2]],
            "the new sequence 1 got no token of the old")
        try bench.commit()
        #expect(bench.scheduler.finish(SequenceID(1))?.tokens == [5, 6, 7])
    }

    @Test func aStepThatFailedIsComputedAgain() throws {
        var bench = try Bench()
        try bench.add(1, 4, new: 3)
        try bench.step()
        try bench.add(2, 4, new: 3)
        #expect(try bench.schedule() == [[1, 4, 1], [2, 0, 4]])
        bench.scheduler.abandon()
        try bench.scheduler.checkIntegrity()
        #expect(
            try bench.step() == [[1, 4, 1], [2, 0, 4]],
            "1's prompt was committed before, and is found again")
        #expect(try bench.drain() == [1, 2])
    }

    @Test func withNoNewTokensThePromptAloneIsComputed() throws {
        var bench = try Bench(budget: 4)
        try bench.add(1, 6, new: 0, logits: true)
        _ = try bench.schedule()
        #expect(bench.plan.logitRows == [0, 1, 2, 3])
        #expect(try bench.commit().isEmpty)
        _ = try bench.schedule()
        #expect(bench.plan.logitRows == [0] && !bench.plan.entries[0].samples)
        #expect(try bench.commit().map(\.id) == [SequenceID(1)])
    }

    @Test func whatCanNeverFitIsRefused() throws {
        var bench = try Bench(blockSize: 4, blocks: 2, context: 20)
        let before = bench.scheduler.statistics
        #expect(throws: AdmissionError.emptyPrompt) { try bench.add(1, tokens: []) }
        #expect(throws: AdmissionError.negativeNewTokens(-1)) { try bench.add(1, new: -1) }
        #expect(throws: AdmissionError.priority(11)) { try bench.add(1, new: 1, priority: 11) }
        #expect(
            throws: AdmissionError.beyondContext(promptTokens: 15, newTokens: 6, contextLength: 20)
        ) {
            try bench.add(1, 15, new: 6)
        }
        #expect(
            throws: AdmissionError.beyondContext(
                promptTokens: 1, newTokens: .max, contextLength: 20)
        ) {
            try bench.add(1, new: .max)
        }
        #expect(throws: AdmissionError.beyondCache(promptTokens: 4, newTokens: 6, cacheTokens: 8)) {
            try bench.add(1, 4, new: 6)
        }
        #expect(bench.scheduler.statistics == before)
        try bench.add(1, 4, new: 5)  // the last token needs no K/V
        #expect(bench.scheduler.limits.newTokens(afterPrompt: 4) == 5)
        #expect(throws: AdmissionError.duplicate(SequenceID(1))) { try bench.add(1, new: 1) }
        #expect(try bench.drain() == [1])
    }

    @Test func limitsMustMakeSense() {
        let error = #expect(throws: LimitsError.self) {
            try SchedulerLimits(
                blockSize: 0, blockCount: 1, maxSequences: 1, tokenBudget: 1, contextLength: 1)
        }
        #expect(error?.message == "blockSize is 0; it must be from 1 to 4096")
        #expect(throws: LimitsError.self) {
            try SchedulerLimits(blockCount: 9, maxSequences: 8, tokenBudget: 7, contextLength: 1)
        }
        #expect(throws: LimitsError.self) {
            try SchedulerLimits(
                blockCount: 1, maxSequences: 1, tokenBudget: 1, contextLength: 1,
                growthReserve: .nan)
        }
    }

    @Test func roomIsWhatCouldStartAndALittleMore() throws {
        var bench = try Bench(blockSize: 4, blocks: 25, sequences: 4, lookAhead: 2)
        #expect(bench.scheduler.room == Room(sequences: 6, tokens: 100))
        try bench.add(1, 10, new: 9)
        try bench.step()
        // 22 blocks are free; two more sequences of 10 tokens are looked ahead for.
        #expect(bench.scheduler.room == Room(sequences: 5, tokens: 108))
        for id in UInt64(2)...6 { try bench.add(id, 10, new: 9) }
        #expect(bench.scheduler.room.sequences == 0)
    }

    @Test func roomCountsBlocksNotOnlyPlaces() throws {
        var bench = try Bench(blockSize: 4, blocks: 10, sequences: 50, budget: 64, lookAhead: 1)
        try bench.add(1, 16, new: 20)
        try bench.step()
        #expect(bench.scheduler.room == Room(sequences: 2, tokens: 40))
        try bench.add(2, 16, new: 20)
        try bench.step()
        #expect(bench.scheduler.room.sequences == 1, "only to look ahead")
        while bench.plan.preempted.isEmpty && !bench.scheduler.isEmpty { try bench.step() }
        #expect(bench.scheduler.room.sequences == 0, "memory is short already")
    }
}
