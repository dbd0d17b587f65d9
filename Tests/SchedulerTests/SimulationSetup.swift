import Scheduler

/// SplitMix64, so that a seed names a run for ever.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func int(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.count))
    }

    mutating func chance(_ perMille: Int) -> Bool { int(0...999) < perMille }

    mutating func pick<T>(_ choices: [T]) -> T { choices[int(0...(choices.count - 1))] }
}

/// Everything that is drawn once for a run; described whole when it fails.
struct SimulationSetup {
    var seed: UInt64
    var limits: SchedulerLimits
    /// Few bits make block hashes collide all the time.
    var hashBits: Int
    /// Few make prompts share prefixes.
    var vocabulary: Int
    var tenants: Int
    var priorities: [Int]
    var salts: Int
    var maxPrompt: Int
    var maxNew: Int
    /// Live sequences above which nothing arrives.
    var maxLive: Int
    var arrivalsPerMille: Int
    var cancelsPerMille: Int
    var promptLogitsPerMille: Int
    var abandonsPerMille: Int
    /// Share of tokens that end a sequence.
    var stopsPerMille: Int
    /// Share of steps that are committed before their tokens are known.
    var aheadPerMille: Int

    init(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let blockSize = random.pick([1, 2, 2, 3, 4, 4, 8])
        let blockCount = random.pick([random.int(2...6), random.int(4...16), random.int(8...48)])
        let maxSequences = random.pick([1, 2, 3, random.int(2...8), random.int(4...12)])
        self.seed = seed
        limits = try SchedulerLimits(
            blockSize: blockSize, blockCount: blockCount, maxSequences: maxSequences,
            tokenBudget: maxSequences + random.pick([0, 1, random.int(0...8), 32]),
            contextLength: random.pick([24, 48, 1000, 1000]),
            watermarkBlocks: random.pick([0, 0, 1, min(3, blockCount)]),
            growthReserve: random.pick([0, 0, 0, 0.25, 1]), agingAdmissions: random.int(1...6),
            seniorAfterPreemptions: random.int(0...4), maxWaiting: random.pick([5, 1000, 1000]),
            sharesWithinStep: random.chance(750))
        hashBits = random.pick([64, 64, 1, 3, 6])
        vocabulary = random.pick([1, 2, 2, 3, 50])
        tenants = random.pick([1, 2, 4])
        priorities = random.pick([[0], [0], [-1, 0, 1], [-10, 10]])
        salts = random.pick([1, 1, 2])
        maxPrompt = random.pick([4, 12, min(60, limits.cacheTokens)])
        maxNew = random.pick([1, 8, 30, min(60, limits.cacheTokens)])
        maxLive = random.pick([2, 12, 12, 40])
        arrivalsPerMille = random.pick([100, 500, 900])
        cancelsPerMille = random.pick([0, 5, 5, 100])
        promptLogitsPerMille = random.pick([0, 100])
        abandonsPerMille = random.pick([0, 0, 0, 20])
        stopsPerMille = random.pick([0, 0, 30])
        aheadPerMille = random.pick([0, 500, 1000])
    }
}
