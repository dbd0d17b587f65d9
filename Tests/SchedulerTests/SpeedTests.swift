import Scheduler
import Testing

/// What scheduling costs beside a step of milliseconds. Timings go to the output; the bounds are
/// loose, for a busy machine.
@Suite(.serialized) struct SpeedTests {
    private func microseconds(_ body: () throws -> Void) rethrows -> Double {
        let duration = try ContinuousClock().measure(body)
        return Double(duration.components.attoseconds) / 1e12 + Double(duration.components.seconds)
            * 1e6
    }

    private func scheduler(running: Int, waiting: Int, prompt: Int) throws -> BatchScheduler {
        let limits = try SchedulerLimits(
            blockCount: 65_536, maxSequences: 256, tokenBudget: 2048, contextLength: 8192)
        var scheduler = BatchScheduler(limits)
        var random = SeededGenerator(seed: 7)
        for number in 0..<(running + waiting) {
            let tokens = (0..<prompt).map { _ in Int32(random.int(0...50_000)) }
            try scheduler.add(
                NewSequence(
                    id: SequenceID(UInt64(number)), tenant: TenantID(number % 100), prompt: tokens,
                    maxNewTokens: 2000))
        }
        return scheduler
    }

    @Test(arguments: [(0, 100), (0, 2000), (100_000, 100)])
    func aStepOf256Sequences(_ waiting: Int, _ prompt: Int) throws {
        var scheduler = try scheduler(running: 256, waiting: waiting, prompt: prompt)
        var plan = StepPlan()
        var planning: [Double] = []
        var committing: [Double] = []
        while planning.count < 400 {
            let planned = microseconds { scheduler.schedule(into: &plan) }
            let sampled = plan.entries.filter(\.samples).map { SampledToken($0.id, 17) }
            let committed = microseconds { scheduler.commit(sampled) }
            guard plan.entries.count == 256, plan.rowCount == 256 else { continue }
            planning.append(planned)
            committing.append(committed)
        }
        planning.sort()
        committing.sort()
        print(
            "256 sequences of \(prompt) tokens and more, \(waiting) waiting:",
            "schedule \(planning[200]) µs, commit \(committing[200]) µs (medians)")
        #if !DEBUG
            #expect(planning[200] < 1000 && committing[200] < 1000)
        #endif
    }

    @Test func admittingAndLeaving() throws {
        let count = 100_000
        var scheduler = try scheduler(running: 0, waiting: count, prompt: 64)
        var plan = StepPlan()
        var steps = 0
        let total = microseconds {
            while !scheduler.isEmpty {
                scheduler.schedule(into: &plan)
                for entry in plan.entries { scheduler.cancel(entry.id) }
                scheduler.commit([])
                steps += 1
            }
        }
        let each = total / Double(count)
        print("sequences of 64 tokens admitted, planned, gone: \(each) µs each, \(steps) steps")
        #if !DEBUG
            #expect(each < 200)
        #endif
    }
}
