import Scheduler

struct SimulationFailure: Error, CustomStringConvertible {
    let description: String
}

/// Runs a scheduler on a model of a forward pass, and checks everything that can be seen from
/// outside.
///
/// The model cache holds, for each slot, a hash of the whole prefix (tokens and salt) whose K/V
/// were written there. A row may be computed only if all the slots that it attends to hold exactly
/// its sequence's prefixes, and the next token is a function of what was found there: so wrong,
/// stale, overwritten or foreign K/V show as a failure, and what a sequence generates must equal
/// what it would have alone.
final class Simulation {
    /// One sequence as the outside knows it.
    final class Subject {
        let id: SequenceID
        let new: NewSequence
        /// Step of arrival, and its number among all arrivals.
        let arrival: Int
        let number: Int
        var tokens: [Int32]
        /// Hash of the prefix that ends at each position.
        var prefixes: [UInt64] = []
        var isRunning = false
        /// A token was sampled for it since it was admitted.
        var isDecoding = false
        /// Tokens whose K/V are in the cache while it runs.
        var computed = 0
        var admission = Int.max
        var preemptions = 0
        /// Step by which it must have left.
        var deadline = Int.max
        /// Prompt rows whose logits came.
        var delivered = 0

        init(_ new: NewSequence, arrival: Int, number: Int) {
            id = new.id
            self.new = new
            self.arrival = arrival
            self.number = number
            tokens = new.prompt
            extend()
        }

        func isSenior(_ limits: SchedulerLimits) -> Bool {
            preemptions > 0 && preemptions >= limits.seniorAfterPreemptions
        }

        /// Order in which running sequences are served, lowest first.
        func rank(_ limits: SchedulerLimits) -> (Int, Int) {
            (isSenior(limits) ? -100 : -new.priority, admission)
        }

        func extend() {
            var hash = prefixes.last ?? Simulation.mix(new.cacheSalt &+ 77)
            while prefixes.count < tokens.count {
                hash = Simulation.mix(hash ^ UInt64(UInt32(bitPattern: tokens[prefixes.count])))
                prefixes.append(hash)
            }
        }
    }

    let setup: SimulationSetup
    var scheduler: BatchScheduler
    var random: SeededGenerator
    var live: [UInt64: Subject] = [:]
    /// What each slot of the cache holds; 0: nothing of use.
    var cache: [UInt64]
    var plan = StepPlan()
    /// The sequences of the plan's entries.
    var planned: [Subject] = []
    /// Tokens of a step that was committed ahead, and the sequences that one of them ends.
    var untold: [SampledToken] = []
    var stoppedAhead: [Subject] = []
    var step = 0
    var nextID: UInt64 = 1
    var arrivals = 0
    var admissions = 0
    var finishedCount = 0
    /// Largest share of the time it had that a sequence took.
    var tightestDeadline = 0.0
    /// Arrival of the sequence admitted last, by tenant and priority.
    var lastAdmitted: [[Int]: Int] = [:]

    init(_ setup: SimulationSetup) {
        self.setup = setup
        scheduler = BatchScheduler(setup.limits, hashBits: setup.hashBits)
        random = SeededGenerator(seed: setup.seed ^ 0xABCD)
        cache = Array(repeating: 0, count: setup.limits.cacheTokens)
    }

    static func mix(_ value: UInt64) -> UInt64 {
        let (high, low) = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(
            by: 0xE703_7ED1_A0B4_28DB)
        return (high ^ low) &+ 0x8EBC_6AF0_9C88_C6E3
    }

    /// The token that a model with this prefix in its cache samples.
    func nextToken(after prefix: UInt64) -> Int32 { Int32(prefix >> 40) % Int32(setup.vocabulary) }

    func isStop(_ prefix: UInt64) -> Bool { Int(prefix >> 8 & 0xFFFF) % 1000 < setup.stopsPerMille }

    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        if !condition {
            throw SimulationFailure(description: "step \(step): \(message()); \(setup)")
        }
    }

    /// `steps` steps with arrivals, then as many as it takes to finish everything.
    func run(steps: Int) throws {
        while step < steps {
            try arrive()
            try cancelSome()
            try advance()
        }
        while !live.isEmpty { try advance() }
        try require(scheduler.isEmpty, "the scheduler still holds sequences")
        try require(scheduler.schedule().isEmpty, "an empty scheduler plans a step")
    }

    // MARK: Arrivals and departures

    private func arrive() throws {
        while live.count < setup.maxLive && random.chance(setup.arrivalsPerMille) {
            let new = drawSequence()
            let before = scheduler.statistics
            do throws(AdmissionError) {
                try scheduler.add(new)
                arrivals += 1
                live[new.id.rawValue] = Subject(new, arrival: step, number: arrivals)
                setDeadline(new.id)
            } catch {
                try require(scheduler.statistics == before, "a refusal changed something")
                try checkRefusal(new, error)
            }
            if random.chance(300) { break }
        }
    }

    /// Every step computes a row at least of the sequence that ranks highest, and a sequence starts
    /// over only so often: so all that are there now leave within the sum of their tokens, times
    /// how often they start over. Later ones may come first, but a tenant has its turn among
    /// tenants, and a class at least once in so many admissions.
    func setDeadline(_ id: SequenceID) {
        guard setup.abandonsPerMille == 0 else { return }
        var tokens = 10
        for subject in live.values { tokens += subject.new.prompt.count + subject.new.maxNewTokens }
        let classes = SchedulerLimits.priorities.count + 1
        let turns =
            setup.priorities.count == 1 ? 1 : classes * setup.limits.agingAdmissions + classes
        live[id.rawValue]?.deadline =
            step + tokens * (setup.limits.seniorAfterPreemptions + 2) * setup.tenants * turns
    }

    private func drawSequence() -> NewSequence {
        var id = SequenceID(nextID)
        nextID += 1
        if random.chance(5), let other = live.keys.min() { id = SequenceID(other) }
        let length =
            random.int(0...10) == 0
            ? random.int(0...(setup.maxPrompt * 2)) : random.int(1...setup.maxPrompt)
        var prompt: [Int32] = []
        for _ in 0..<length { prompt.append(Int32(random.int(0...(setup.vocabulary - 1)))) }
        // Half of the prompts repeat another's beginning, whatever the vocabulary.
        if random.chance(500), let other = live[live.keys.min() ?? 0] {
            let shared = random.int(0...min(length, other.tokens.count))
            prompt.replaceSubrange(..<shared, with: other.tokens[..<shared])
        }
        return NewSequence(
            id: id, tenant: TenantID(random.int(1...setup.tenants)),
            priority: random.pick(setup.priorities),
            prompt: prompt, maxNewTokens: random.int(0...setup.maxNew),
            cacheSalt: UInt64(random.int(1...setup.salts)),
            needsPromptLogits: random.chance(setup.promptLogitsPerMille))
    }

    func checkRefusal(_ new: NewSequence, _ error: AdmissionError) throws {
        let length = new.prompt.count + new.maxNewTokens
        let isRight =
            switch error {
            case .duplicate(let id): live[id.rawValue] != nil
            case .emptyPrompt: new.prompt.isEmpty
            case .beyondContext: length > setup.limits.contextLength
            case .beyondCache: length - min(1, new.maxNewTokens) > setup.limits.cacheTokens
            case .tooManyWaiting: scheduler.statistics.waiting >= setup.limits.maxWaiting
            case .negativeNewTokens, .priority: false
            }
        try require(isRight, "\(new) is refused: \(error)")
    }

    func cancelSome() throws {
        guard random.chance(setup.cancelsPerMille),
            let id = live.keys.min(by: { Self.mix($0) < Self.mix($1) }),
            let subject = live[id]
        else { return }
        let result =
            random.chance(500) ? scheduler.cancel(subject.id) : scheduler.finish(subject.id)
        try settle(result, subject)
        try require(scheduler.cancel(subject.id) == nil, "a cancelled sequence is still there")
    }

    /// A sequence has left with `result`, which must be what it would have generated alone.
    func settle(_ result: FinishedSequence?, _ subject: Subject) throws {
        guard let result else { throw SimulationFailure(description: "\(subject.id) is lost") }
        live[subject.id.rawValue] = nil
        finishedCount += 1
        if subject.deadline < .max {
            let share = Double(step - subject.arrival) / Double(subject.deadline - subject.arrival)
            tightestDeadline = max(tightestDeadline, share)
        }
        let alone = Subject(subject.new, arrival: 0, number: 0)
        while alone.tokens.count < result.tokens.count {
            alone.tokens.append(nextToken(after: alone.prefixes[alone.prefixes.count - 1]))
            alone.extend()
        }
        try require(
            result.id == subject.id && result.tokens == alone.tokens,
            "\(subject.id) has wrong tokens")
        try require(
            result.promptCount == subject.new.prompt.count, "\(subject.id) has a wrong prompt count"
        )
        try require(
            result.generated.count <= subject.new.maxNewTokens, "\(subject.id) generated too much")
        try require(
            result.preemptions == subject.preemptions, "\(subject.id) miscounts its preemptions")
    }
}
