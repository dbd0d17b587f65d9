import Scheduler
import Testing

/// Who is admitted next, and that everyone is in the end.
@Suite struct FairnessTests {
    @Test func oneTenantsSequencesComeInOrder() throws {
        var bench = try Bench(sequences: 1)
        for id in UInt64(1)...5 { try bench.add(id, new: 1) }
        #expect(try bench.drain() == [1, 2, 3, 4, 5])
    }

    @Test func higherPrioritiesComeFirst() throws {
        var bench = try Bench(sequences: 1, aging: 1000)
        try bench.add(1, new: 1, priority: -1)
        try bench.add(2, new: 1)
        try bench.add(3, new: 1, priority: 5)
        try bench.add(4, new: 1)
        #expect(try bench.drain() == [3, 2, 4, 1])
    }

    /// A tenant with many sequences does not keep another's few waiting.
    @Test func tenantsTakeTurnsHoweverManyTheirSequences() throws {
        var bench = try Bench(sequences: 1)
        for id in UInt64(1)...6 { try bench.add(id, new: 1, tenant: 1) }
        for id in UInt64(11)...13 { try bench.add(id, new: 1, tenant: 2) }
        #expect(try bench.drain() == [1, 11, 2, 12, 3, 13, 4, 5, 6])
    }

    /// Shares are of tokens: who asks for long texts gets fewer of them.
    @Test func turnsAreWeighedByTokens() throws {
        var bench = try Bench(blocks: 1000, sequences: 1, budget: 1000)
        for id in UInt64(1)...50 { try bench.add(id, 90, new: 5, tenant: 1) }
        for id in UInt64(101)...300 { try bench.add(id, 5, new: 5, tenant: 2) }
        var served = [0, 0]
        for _ in 0..<120 {
            guard let finished = try bench.finishNext() else { break }
            served[finished.tokens.count > 50 ? 0 : 1] += 1
        }
        // 100 tokens count for one of tenant 1, 15 for one of tenant 2 (generated ones twice).
        #expect(served[0] * 100 - served[1] * 15 <= 100 && served[1] * 15 - served[0] * 100 <= 100)
    }

    /// A class that waits is served once in about `aging` admissions for each level above it.
    @Test(arguments: [1, 4, 20])
    func lowPrioritiesAge(_ aging: Int) throws {
        var bench = try Bench(sequences: 1, aging: aging)
        try bench.add(1, new: 1, priority: -1)
        for id in UInt64(2)...100 { try bench.add(id, new: 1, priority: 1) }
        let order = try bench.drain()
        #expect(order.firstIndex(of: 1) == 2 * aging + 1)
    }

    /// Small sequences that would fit do not keep overtaking a large one.
    @Test func aLargeSequenceIsNotPassedForEver() throws {
        var bench = try Bench(blockSize: 1, blocks: 40, sequences: 8, budget: 40)
        for id in UInt64(1)...8 { try bench.add(id, 4, new: Int(id)) }
        try bench.step()
        try bench.add(100, 36, new: 4)
        var next: UInt64 = 101
        for step in 0..<100 {
            try bench.add(next, 2, new: 3)
            next += 1
            if try bench.step().contains(where: { $0[0] == 100 }) {
                #expect(step <= 10)
                return
            }
        }
        Issue.record("it starves")
    }

    /// The worst that outsiders can do to one sequence: a stream of higher priority, from tenants
    /// that are new each time.
    @Test func noFloodStarvesTheLowest() throws {
        var bench = try Bench(blockSize: 2, blocks: 20, sequences: 3, budget: 6, aging: 3)
        try bench.add(1, 9, new: 20, priority: -10)
        var next: UInt64 = 2
        for step in 0..<5000 {
            while bench.scheduler.statistics.waiting < 20 {
                let priority = Int(next % 11)
                try bench.add(
                    next, 1 + Int(next % 9), new: 1 + Int(next % 12), tenant: Int(next),
                    priority: priority)
                next += 1
            }
            _ = try bench.schedule()
            if try bench.commit().contains(where: { $0.id == SequenceID(1) }) {
                #expect(step > 20)
                return
            }
        }
        Issue.record("it starves")
    }

    @Test func aHundredThousandCanWait() throws {
        var bench = try Bench(sequences: 2)
        for id in UInt64(1)...100_000 { try bench.add(id, new: 2, tenant: Int(id % 1000)) }
        for id in UInt64(2)...100_000 where id % 5 > 0 { bench.scheduler.cancel(SequenceID(id)) }
        #expect(bench.scheduler.statistics.waiting == 20_001)
        #expect(try bench.step().map { $0[0] } == [1, 5])
    }
}

extension Bench {
    mutating func finishNext() throws -> FinishedSequence? {
        while !scheduler.isEmpty {
            if let finished = try commitNext().first { return finished }
        }
        return nil
    }
}
