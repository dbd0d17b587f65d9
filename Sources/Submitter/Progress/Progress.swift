import JobQueue

/// Tokens that a worker has computed since its process started, for requests that still run too.
package struct WorkMeter: Sendable, Equatable {
    /// Without those that the prefix cache had.
    package var promptTokens: Int
    package var generatedTokens: Int
    /// How much of the model is loaded, 0 to 1, while it is; else nil.
    package var loadedShare: Double?

    package init(promptTokens: Int = 0, generatedTokens: Int = 0, loadedShare: Double? = nil) {
        self.promptTokens = promptTokens
        self.generatedTokens = generatedTokens
        self.loadedShare = loadedShare
    }
}

/// How far a batch is, how fast it goes and when it will be done. Pure: it is told what happened and when.
package struct Progress: Sendable {
    /// How long until the end.
    package struct Estimate: Sendable, Equatable {
        package var seconds: Double
        /// In nine of ten cases the end should be no further off than this.
        package var uncertaintySeconds: Double
    }

    /// Tokens per second.
    package struct Rates: Sendable, Equatable {
        package var prompt: Double
        package var generated: Double
    }

    private struct Sample {
        var atMs: Int64
        var prompt: Int
        var generated: Int
        var tokens: Int { prompt + generated }
    }

    /// What one more request costs, from those completed: mean and variance (Welford's method).
    private struct Sizes {
        var count = 0.0
        var mean = 0.0
        private var squares = 0.0

        mutating func add(_ size: Double) {
            count += 1
            let off = size - mean
            mean += off / count
            squares += off * (size - mean)
        }

        var variance: Double { count > 1 ? squares / (count - 1) : 0 }
    }

    package private(set) var counts: BatchCounts
    package private(set) var nowMs: Int64
    private let startMs: Int64
    private let startUsage: Usage
    private var usage: Usage
    private(set) var meter: WorkMeter?
    private var samples: [Sample]
    private var sizes = Sizes()
    private let windowMs: Int64

    /// Samples closer together than this say more about chance than about speed.
    private static let sampleMs: Int64 = 1000
    private static let leastCompleted = 3.0
    /// Of a normal distribution, 90% lies within this many standard deviations.
    private static let deviations = 1.645

    /// - Parameters:
    ///   - start: what earlier runs had settled already.
    ///   - windowMs: how far back speed is measured.
    package init(start: BatchCounts, usage: Usage, atMs: Int64, windowMs: Int64 = 30_000) {
        counts = start
        nowMs = atMs
        startMs = atMs
        startUsage = usage
        self.usage = usage
        self.windowMs = windowMs
        samples = [Sample(atMs: atMs, prompt: 0, generated: 0)]
    }

    package var elapsedMs: Int64 { nowMs - startMs }
    package var isOver: Bool { counts.settled == counts.total }

    /// Requests that ended otherwise than completed.
    package var errorCount: Int { counts.settled - counts.completed }

    /// Learns a request's size, from this run or an earlier one.
    package mutating func note(_ outcome: Outcome) {
        guard outcome.error == nil else { return }
        sizes.add(Double(Self.cost(outcome.usage)))
    }

    /// Prompt and generated tokens cost about the same: in a full batch either is one row of each product.
    private static func cost(_ usage: Usage) -> Int {
        usage.promptTokens - usage.cachedTokens + usage.completionTokens
    }

    package mutating func observe(_ counts: BatchCounts, _ usage: Usage, _ meter: WorkMeter?, atMs: Int64) {
        self.counts = counts
        self.usage = usage
        self.meter = meter
        nowMs = atMs
        let done = usage - startUsage
        let sample = Sample(
            atMs: atMs, prompt: meter?.promptTokens ?? (done.promptTokens - done.cachedTokens),
            generated: meter?.generatedTokens ?? done.completionTokens)
        // Time before the first token is loading, not speed.
        if sample.tokens == 0 {
            samples = [sample]
            return
        }
        // The newest moves on with the time until it is a full interval away from the one before.
        if samples.count > 1, atMs - samples[samples.count - 2].atMs < Self.sampleMs { samples.removeLast() }
        samples.append(sample)
        while samples.count > 2, samples[1].atMs <= atMs - windowMs { samples.removeFirst() }
    }

    /// Nil until there is something to measure.
    package var rates: Rates? {
        guard let first = samples.first, let last = samples.last, last.atMs > first.atMs else { return nil }
        let seconds = Double(last.atMs - first.atMs) / 1000
        return Rates(
            prompt: Double(last.prompt - first.prompt) / seconds,
            generated: Double(last.generated - first.generated) / seconds)
    }

    /// Nil as long as too little is known, and when nothing is left.
    package var estimate: Estimate? {
        let left = Double(counts.total - counts.settled)
        guard left > 0, sizes.count >= Self.leastCompleted, sizes.mean > 0, let rates else { return nil }
        let rate = rates.prompt + rates.generated
        guard rate > 0 else { return nil }
        let tokens = tokensLeft
        let spread = tokens.variance / (tokens.mean * tokens.mean) + rateVariance / (rate * rate)
        let seconds = tokens.mean / rate
        return Estimate(seconds: seconds, uncertaintySeconds: Self.deviations * seconds * spread.squareRoot())
    }

    /// What is still to be computed. Requests that wait are like those completed. Those that run have part of
    /// that behind them; the longest end last, so one that is past the mean has, as far as anyone knows, a
    /// share of its length to go.
    private var tokensLeft: (mean: Double, variance: Double) {
        let running = meter == nil ? 0 : Double(counts.leased)
        let waiting = Double(counts.total - counts.settled) - running
        // The mean is known from a sample only, and its error is the same for all.
        let ofMean = (waiting + running) * (waiting + running) * sizes.variance / sizes.count
        guard running > 0 else { return (waiting * sizes.mean, waiting * sizes.variance + ofMean) }
        let behind = Double(tokensInFlight) / running
        let share = 0.25 * max(sizes.mean, behind)
        let ahead = max(sizes.mean - behind, share)
        // Past the mean a request may end now or go on for as long again.
        let ofRunning = ahead > share ? sizes.variance : max(sizes.variance, ahead * ahead)
        return (
            waiting * sizes.mean + running * ahead,
            waiting * sizes.variance + running * ofRunning + ofMean
        )
    }

    /// Computed for requests that have not ended.
    private var tokensInFlight: Int {
        guard let meter else { return 0 }
        return max(0, meter.promptTokens + meter.generatedTokens - Self.cost(usage - startUsage))
    }

    /// Of the mean rate over the window, from how the rates between samples differ.
    private var rateVariance: Double {
        let pieces = zip(samples, samples.dropFirst()).filter { $1.atMs - $0.atMs >= Self.sampleMs / 2 }
        guard pieces.count > 1 else { return 0 }
        let rates = pieces.map { Double($1.tokens - $0.tokens) * 1000 / Double($1.atMs - $0.atMs) }
        var spread = Sizes()
        for rate in rates { spread.add(rate) }
        return spread.variance / Double(rates.count)
    }
}
