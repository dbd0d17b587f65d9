import Kernels

/// Chooses tokens from rows of logits, as vLLM's v1 engine defines it: bans and biases, penalties,
/// temperature, min_p, top_k, top_p, in this order. Belongs to the engine's thread and keeps its memory
/// between tokens. Source: https://docs.vllm.ai/en/stable/api/vllm/v1/sample/sampler.html
///
/// A choice is a pure function of the row, the parameters, the sequence's own tokens and its draw.
package struct Sampler: ~Copyable {
    private var odds = Odds()
    private var search = CandidateSearch()
    private var places: [Int32] = []

    package init() {}

    /// - Parameters:
    ///   - row: logits over the vocabulary; as it was when this returns.
    ///   - generated: tokens that the sequence has generated so far.
    ///   - uniform: the sequence's draw for this token, in [0, 1).
    ///   - topLogprobs: how many of the most likely tokens to report; nil for no log-probabilities at all.
    package mutating func sample(
        _ row: inout MutableSpan<Float>, _ parameters: SamplingParameters, adjustments: TokenAdjustments,
        generated: Int, uniform: Double, topLogprobs: Int?
    ) throws(SamplingError) -> SampledToken {
        let normaliser: Double? = topLogprobs == nil ? nil : try Self.logSumExp(row.span)
        let token = try choose(&row, parameters, adjustments, generated: generated, uniform: uniform)
        guard let normaliser, let topLogprobs else { return SampledToken(token: token) }
        return SampledToken(
            token: token, logprobs: describe(token, in: row.span, normaliser: normaliser, top: topLogprobs))
    }

    /// The probability of every token, over which `sample` draws: after the same cuts.
    package mutating func distribution(
        _ row: inout MutableSpan<Float>, _ parameters: SamplingParameters, adjustments: TokenAdjustments,
        generated: Int
    ) throws(SamplingError) -> [Double] {
        touch(&row, adjustments, generated: generated)
        defer { untouch(&row) }
        var probabilities = [Double](repeating: 0, count: row.count)
        try weigh(row.span, parameters)
        if parameters.isGreedy {
            probabilities[Int(odds.best)] = 1
            return probabilities
        }
        _ = search.narrow(row.span, odds, parameters, exhaustive: true)
        let total = search.candidates.weight
        for candidate in search.candidates.members {
            probabilities[Int(candidate.token)] = candidate.weight / total
        }
        return probabilities
    }

    /// Log-probabilities of a token that is given, as those of a prompt.
    package mutating func score(
        _ token: Int32, in row: Span<Float>, top: Int
    ) throws(SamplingError) -> TokenLogprobs {
        describe(token, in: row, normaliser: try Self.logSumExp(row), top: top)
    }

    // Choosing.

    private mutating func choose(
        _ row: inout MutableSpan<Float>, _ parameters: SamplingParameters, _ adjustments: TokenAdjustments,
        generated: Int, uniform: Double
    ) throws(SamplingError) -> Int32 {
        touch(&row, adjustments, generated: generated)
        defer { untouch(&row) }
        try weigh(row.span, parameters)
        if parameters.isGreedy { return odds.best }
        let rest = search.narrow(row.span, odds, parameters, exhaustive: false)
        return draw(row.span, rest, uniform: uniform)
    }

    private mutating func touch(
        _ row: inout MutableSpan<Float>, _ adjustments: TokenAdjustments, generated: Int
    ) {
        odds.touched.removeAll(keepingCapacity: true)
        odds.listedOnly = adjustments.listedOnly
        for entry in adjustments.entries {
            let at = Int(entry.token)
            let raw = row[at]
            let value = adjustments.value(entry, raw: raw, generated: generated)
            odds.touched.append(TouchedToken(token: entry.token, raw: raw, value: value))
            row[at] = -.infinity
        }
    }

    private func untouch(_ row: inout MutableSpan<Float>) {
        for token in odds.touched { row[Int(token.token)] = token.raw }
    }

    /// Finds the most likely token, and what cannot be chosen from.
    private mutating func weigh(_ row: Span<Float>, _ parameters: SamplingParameters) throws(SamplingError) {
        odds.temperature = parameters.temperature
        (odds.best, odds.peak, odds.rowMaximum) = (0, -.infinity, -.infinity)
        if !odds.listedOnly {
            // Scans skip NaN; every number is at or above -infinity.
            let numbers = RowOperations.countAtOrAbove(row, threshold: -.infinity)
            guard numbers == row.count, let index = RowOperations.argmax(row) else { throw .nonFiniteLogits }
            odds.rowMaximum = row[index]
            (odds.best, odds.peak) = (Int32(truncatingIfNeeded: index), Double(row[index]))
        }
        for token in odds.touched {
            if token.value.isNaN { throw .nonFiniteLogits }
            if token.value > odds.peak || token.value == odds.peak && token.token < odds.best {
                (odds.best, odds.peak) = (token.token, token.value)
            }
        }
        if odds.peak == .infinity { throw .nonFiniteLogits }
        if odds.peak == -.infinity { throw .nothingAllowed }
    }

    /// Inverts the cumulative weights: candidates in their order, then the rest by id.
    private func draw(_ row: Span<Float>, _ rest: CandidateSearch.Rest, uniform: Double) -> Int32 {
        let target = uniform * (search.candidates.weight + rest.weight)
        var reached = 0.0
        for candidate in search.candidates.members {
            reached += candidate.weight
            if reached > target { return candidate.token }
        }
        guard rest.weight > 0 else { return odds.best }
        for i in 0..<row.count where row[i] < rest.threshold {
            reached += odds.weight(Double(row[i]))
            if reached > target { return Int32(truncatingIfNeeded: i) }
        }
        for token in odds.touched where token.value < Double(rest.threshold) {
            reached += odds.weight(token.value)
            if reached > target { return token.token }
        }
        // Only rounding leads here, for a draw within it of 1.
        return odds.best
    }

    // Log-probabilities of the row as the model computed it.

    private static func logSumExp(_ row: Span<Float>) throws(SamplingError) -> Double {
        let result = RowOperations.logSumExp(row)
        if result.isNaN || result == .infinity { throw .nonFiniteLogits }
        if result == -.infinity { throw .nothingAllowed }
        return result
    }

    private mutating func describe(
        _ token: Int32, in row: Span<Float>, normaliser: Double, top count: Int
    ) -> TokenLogprobs {
        func logprob(_ at: Int32) -> Float { Float(Double(row[Int(at)]) - normaliser) }
        let rank = RowOperations.countAtOrAbove(row, threshold: row[Int(token)])
        let top = best(min(count, row.count), of: row, normaliser: normaliser)
        return TokenLogprobs(
            token: token, logprob: logprob(token), rank: rank,
            top: top.map { ScoredToken(token: $0, logprob: logprob($0)) })
    }

    /// The places of the `count` largest values, best first; equal ones by id.
    private mutating func best(_ count: Int, of row: Span<Float>, normaliser: Double) -> [Int32] {
        guard count > 0 else { return [] }
        var found = 0
        for depth in [10, 20, .infinity] as [Double] {
            found = RowOperations.findIndices(row, threshold: Float(normaliser - depth), into: &places)
            if found >= count { break }
        }
        var best: [Int32] = []
        best.reserveCapacity(count + 1)
        for place in places[..<found] {
            let value = row[Int(place)]
            if best.count == count, value <= row[Int(best[count - 1])] { continue }
            var at = best.count
            while at > 0, row[Int(best[at - 1])] < value { at -= 1 }
            best.insert(place, at: at)
            if best.count > count { best.removeLast() }
        }
        return best
    }
}
