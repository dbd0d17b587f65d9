import Scheduler
import Testing

@Suite struct SimulationTests {
    #if DEBUG
        static let runs = 40
    #else
        static let runs = 1000
    #endif

    /// In release at least a million steps in all: 1000 random set-ups, 1000 steps each and then until all is finished.
    @Test(arguments: 0..<8)
    func everyStepHoldsWhatMustHold(_ shard: Int) throws {
        var steps = 0
        var (preemptions, hits, finished, longest) = (0, 0, 0, 0)
        for run in stride(from: shard, to: Self.runs, by: 8) {
            var simulation = Simulation(try SimulationSetup(seed: UInt64(run)))
            try simulation.run(steps: 1000)
            steps += simulation.step
            preemptions += simulation.scheduler.statistics.counts.preemptions
            finished += simulation.finishedCount; longest = max(longest, simulation.longestStay)
            hits += simulation.scheduler.statistics.counts.prefixHitTokens
        }
        print(shard, steps, preemptions, hits, finished, longest)
    }
}
