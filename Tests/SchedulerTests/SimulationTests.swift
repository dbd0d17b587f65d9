import Scheduler
import Testing

@Suite struct SimulationTests {
    #if DEBUG
        static let runs = 40
    #else
        static let runs = 1000
    #endif
    static let shards = 8

    /// In release a million steps and more in all: 1000 random set-ups, 1000 steps each and then
    /// until all is finished.
    @Test(arguments: 0..<shards)
    func everyStepHoldsWhatMustHold(_ shard: Int) throws {
        var (runs, steps, finished, preemptions, hits) = (0, 0, 0, 0, 0)
        var tightest = 0.0
        for run in stride(from: shard, to: Self.runs, by: Self.shards) {
            let simulation = Simulation(try SimulationSetup(seed: UInt64(run)))
            try simulation.run(steps: 1000)
            let counts = simulation.scheduler.statistics.counts
            runs += 1
            steps += simulation.step
            finished += simulation.finishedCount
            preemptions += counts.preemptions
            hits += counts.prefixHitTokens
            tightest = max(tightest, simulation.tightestDeadline)
        }
        print(
            "simulated \(steps) steps: \(finished) sequences, \(preemptions) preemptions,",
            "\(hits) prefix hit tokens; at worst a sequence took \(Int(tightest * 100))% of its time"
        )
        #expect(
            steps >= runs * 1000 && finished > runs * 100 && hits > runs * 100
        )
        // A few set-ups may all have blocks enough.
        #expect(preemptions > 0 || runs < 20)
    }
}
