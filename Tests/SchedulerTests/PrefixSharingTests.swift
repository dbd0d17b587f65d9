import Scheduler
import Testing

/// What is never computed twice, and what must be.
@Suite struct PrefixSharingTests {
    private let prompt: [Int32] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

    @Test func aPromptSeenBeforeIsFoundAgain() throws {
        var bench = try Bench(blockSize: 4)
        try bench.add(1, tokens: prompt, new: 1)
        try bench.step()
        try bench.add(2, tokens: prompt, new: 1)
        #expect(try bench.schedule() == [[2, 8, 2]])
        #expect(try bench.commit()[0].cachedPromptTokens == 8)
    }

    @Test func theLastTokenIsAlwaysComputed() throws {
        var bench = try Bench(blockSize: 5)
        try bench.add(1, tokens: prompt, new: 1)
        try bench.step()
        try bench.add(2, tokens: prompt, new: 1)
        #expect(try bench.step() == [[2, 5, 5]])
    }

    @Test func generatedTokensAreFoundAgainToo() throws {
        var bench = try Bench(blockSize: 2)
        try bench.add(1, tokens: [1, 2, 3], new: 4)
        while !bench.scheduler.isEmpty { try bench.step() }
        try bench.add(2, tokens: [1, 2, 3, 7, 7, 7, 9], new: 1)
        #expect(try bench.step() == [[2, 6, 1]])
    }

    /// n completions of one prompt, all in one step: the prompt is computed once.
    @Test func sequencesOfOneStepShareWhatItWrites() throws {
        var bench = try Bench(blockSize: 4, budget: 32)
        for id in UInt64(1)...4 { try bench.add(id, tokens: prompt) }
        #expect(try bench.step() == [[1, 0, 10], [2, 8, 2], [3, 8, 2], [4, 8, 2]])
        #expect(bench.scheduler.statistics.blocksUsed == 2 + 4)
        #expect(try bench.step().count == 4)
    }

    @Test func orNotWhereABackendCannot() throws {
        var bench = try Bench(blockSize: 4, budget: 64, sharesWithinStep: false)
        for id in UInt64(1)...3 { try bench.add(id, tokens: prompt) }
        #expect(try bench.step() == [[1, 0, 10], [2, 0, 10], [3, 0, 10]])
        #expect(
            bench.scheduler.statistics.blocksUsed == 2 + 3, "what they computed thrice is kept once"
        )
        try bench.add(4, tokens: prompt)
        #expect(try bench.step().last == [4, 8, 2])
    }

    @Test func aStepThatFailedLeavesNothingToShare() throws {
        var bench = try Bench(blockSize: 4, budget: 32)
        for id in UInt64(1)...2 { try bench.add(id, tokens: prompt) }
        _ = try bench.schedule()
        bench.scheduler.abandon()
        try bench.scheduler.checkIntegrity()
        #expect(try bench.step() == [[1, 0, 10], [2, 8, 2]])
    }

    @Test func theWriterMayLeaveBeforeItsStepIsCommitted() throws {
        var bench = try Bench(blockSize: 4, budget: 32)
        for id in UInt64(1)...2 { try bench.add(id, tokens: prompt) }
        _ = try bench.schedule()
        bench.scheduler.cancel(SequenceID(1))
        try bench.commit()
        #expect(try bench.step() == [[2, 10, 1]])
    }

    @Test func saltsKeepTenantsApart() throws {
        var bench = try Bench(blockSize: 4)
        try bench.add(1, tokens: prompt, new: 1, salt: 1)
        try bench.step()
        try bench.add(2, tokens: prompt, new: 1, salt: 2)
        #expect(try bench.step() == [[2, 0, 10]])
    }

    @Test func promptLogitsNeedEveryRowComputed() throws {
        var bench = try Bench(blockSize: 4, budget: 32)
        try bench.add(1, tokens: prompt)
        try bench.add(2, tokens: prompt, logits: true)
        #expect(try bench.step() == [[1, 0, 10], [2, 0, 10]])
        #expect(
            bench.scheduler.statistics.blocksUsed == 2 + 2,
            "its own blocks were given up for equal ones")
    }

    @Test func blocksInUseAreNotEvicted() throws {
        var bench = try Bench(blockSize: 2, blocks: 6)
        try bench.add(1, tokens: [1, 2, 3, 4], new: 1)
        try bench.step()
        try bench.add(2, tokens: [1, 2, 3, 4, 5], new: 4)
        #expect(try bench.step() == [[2, 4, 1]])
        try bench.add(3, 6, new: 1)
        try bench.step()
        #expect(try bench.step().last?[0] == 2)
        #expect(bench.scheduler.statistics.counts.prefixHitTokens == 4)
    }
}
