import Scheduler

/// What scheduling costs beside a step of milliseconds: `swift run -c release SchedulerBenchmark`.
@main struct SchedulerBenchmark {
    static func main() throws {
        for (waiting, prompt) in [(0, 100), (0, 2000), (100_000, 100)] {
            try stepOf256Sequences(waiting: waiting, prompt: prompt)
        }
        try admittingAndLeaving()
    }

    private static func microseconds(_ body: () throws -> Void) rethrows -> Double {
        try ContinuousClock().measure(body) / .microseconds(1)
    }

    private static func scheduler(running: Int, waiting: Int, prompt: Int) throws -> BatchScheduler {
        let limits = try SchedulerLimits(
            blockCount: 65_536, maxSequences: 256, tokenBudget: 2048, contextLength: 8192)
        var scheduler = BatchScheduler(limits)
        // Prompts that share nothing: a linear congruential generator is random enough.
        var state: UInt32 = 7
        for number in 0..<(running + waiting) {
            let tokens = (0..<prompt).map { _ in
                state = state &* 1_664_525 &+ 1_013_904_223
                return Int32(state >> 16)
            }
            try scheduler.add(
                NewSequence(
                    id: SequenceID(UInt64(number)), tenant: TenantID(number % 100), prompt: tokens, maxNewTokens: 2000))
        }
        return scheduler
    }

    private static func stepOf256Sequences(waiting: Int, prompt: Int) throws {
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
            "schedule \(planning[200]) us, commit \(committing[200]) us (medians)")
    }

    private static func admittingAndLeaving() throws {
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
        print("sequences of 64 tokens admitted, planned, gone: \(total / Double(count)) us each, \(steps) steps")
    }
}
