import Scheduler
import Testing

/// Who gives way when blocks run out, and that it costs time only.
@Suite struct PreemptionTests {
    @Test func theLatestGivesWayAndIsComputedAgain() throws {
        var bench = try Bench(blockSize: 2, blocks: 4)
        try bench.add(1, 3, new: 5)
        try bench.add(2, 3, new: 5)
        #expect(try bench.step() == [[1, 0, 3], [2, 0, 3]])
        #expect(try bench.step() == [[1, 3, 1], [2, 3, 1]])
        #expect(try bench.step() == [[1, 4, 1]])
        #expect(bench.plan.preempted == [SequenceID(2)])
        #expect(
            bench.scheduler.statistics.preempted == 1
                && bench.scheduler.statistics.counts.preemptions == 1)
        #expect(try bench.step() == [[1, 5, 1]], "there is no room for 2 yet")
        let finished = try bench.commitNext()
        #expect(finished.map(\.id) == [SequenceID(1)])
        let again = try bench.schedule()
        #expect(
            again[0][0] == 2 && again[0][1] + again[0][2] == 5, "over prompt and generated tokens")
        try bench.commit()
        let rest = try bench.finishAll()
        #expect(rest.map(\.generated) == [[7, 7, 7, 7, 7]] && rest[0].preemptions == 1)
    }

    @Test func lowerPrioritiesGiveWayFirst() throws {
        var bench = try Bench(blockSize: 2, blocks: 4)
        try bench.add(1, 3, new: 5, priority: -1)
        try bench.step()
        try bench.add(2, 3, new: 5)
        while bench.plan.preempted.isEmpty && !bench.scheduler.isEmpty { try bench.step() }
        #expect(bench.plan.preempted == [SequenceID(1)])
    }

    @Test func thePreemptedGoesBeforeThoseThatNeverRan() throws {
        var bench = try Bench(blockSize: 2, blocks: 4, sequences: 2)
        for id in UInt64(1)...4 { try bench.add(id, 3, new: 5) }
        #expect(try bench.drain() == [1, 2, 3, 4])
        #expect(bench.scheduler.statistics.counts.preemptions > 0)
    }

    /// Without seniority the sequence of low priority would give way again and again as long as
    /// others come.
    @Test func whoGaveWayOftenDoesSoNoMore() throws {
        var bench = try Bench(
            blockSize: 1, blocks: 24, sequences: 4, budget: 24, aging: 1, senior: 2)
        try bench.add(1, 10, new: 10, priority: -10)
        var next: UInt64 = 2
        var preemptions = 0
        for step in 0..<2000 {
            while bench.scheduler.statistics.waiting < 3 {
                try bench.add(next, 3, new: 12, tenant: Int(next), priority: 10)
                next += 1
            }
            _ = try bench.schedule()
            preemptions += bench.plan.preempted.contains(SequenceID(1)) ? 1 : 0
            if try bench.commit().contains(where: { $0.id == SequenceID(1) }) {
                #expect(preemptions == 2, "by then it was senior")
                return
            }
            #expect(step < 1999, "it starves")
        }
    }

    @Test func promptLogitsComeOnceEach() throws {
        var bench = try Bench(blockSize: 2, blocks: 8, budget: 4, senior: 9)
        try bench.add(1, 6, new: 8)
        for _ in 0..<3 { try bench.step() }
        try bench.add(2, 7, new: 2, priority: -1, logits: true)
        var scored: [Int] = []
        while !bench.scheduler.isEmpty {
            _ = try bench.schedule()
            for entry in bench.plan.entries where entry.id == SequenceID(2) {
                let prompt = entry.samples ? entry.logits.dropLast() : entry.logits
                scored += prompt.map { Int(bench.plan.positions[Int(bench.plan.logitRows[$0])]) }
            }
            try bench.commit()
        }
        #expect(scored == [0, 1, 2, 3, 4, 5])
        #expect(bench.scheduler.statistics.counts.preemptions > 0)
    }
}

extension Bench {
    mutating func commitNext() throws -> [FinishedSequence] {
        _ = try schedule()
        return try commit()
    }

    mutating func finishAll() throws -> [FinishedSequence] {
        var all: [FinishedSequence] = []
        while !scheduler.isEmpty { all += try commitNext() }
        return all
    }
}
