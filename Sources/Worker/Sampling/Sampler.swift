import Glibc
import Kernels

/// Chooses tokens from rows of logits, as vLLM's v1 engine defines it: bans and biases, penalties, temperature, min_p,
/// top_k, top_p, in this order. Belongs to the engine's thread and keeps its memory between tokens.
/// Source: https://docs.vllm.ai/en/stable/api/vllm/v1/sample/sampler.html
///
/// A choice is a pure function of the row, the parameters, the sequence's own tokens and its draw.
package struct Sampler: ~Copyable {
    /// A token with an entry in the adjustments. Its place in the row is -infinity meanwhile, so that passes over the
    /// row see only tokens that nothing was done to.
    private struct Touched {
        var token: Int32
        var raw: Float
        var value: Double
    }

    private var touched: [Touched] = []
    private var places: [Int32] = []
    private var candidates = CandidateSet()

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
        let peak = try peak(row.span, listedOnly: adjustments.listedOnly)
        if parameters.isGreedy {
            probabilities[Int(peak.token)] = 1
            return probabilities
        }
        let kept = narrow(row.span, parameters, peak: peak, listedOnly: adjustments.listedOnly, exhaustive: true)
        let total = candidates.weight + kept.rest
        for candidate in candidates.members { probabilities[Int(candidate.token)] = candidate.weight / total }
        return probabilities
    }

    /// Log-probabilities of a token that is given, as those of a prompt.
    package mutating func score(_ token: Int32, in row: Span<Float>, top: Int) throws(SamplingError) -> TokenLogprobs {
        describe(token, in: row, normaliser: try Self.logSumExp(row), top: top)
    }

    // Choosing.

    private mutating func choose(
        _ row: inout MutableSpan<Float>, _ parameters: SamplingParameters, _ adjustments: TokenAdjustments,
        generated: Int, uniform: Double
    ) throws(SamplingError) -> Int32 {
        touch(&row, adjustments, generated: generated)
        defer { untouch(&row) }
        let peak = try peak(row.span, listedOnly: adjustments.listedOnly)
        if parameters.isGreedy { return peak.token }
        let kept = narrow(row.span, parameters, peak: peak, listedOnly: adjustments.listedOnly, exhaustive: false)
        return draw(row.span, peak: peak, kept: kept, uniform: uniform, temperature: parameters.temperature)
    }

    private mutating func touch(_ row: inout MutableSpan<Float>, _ adjustments: TokenAdjustments, generated: Int) {
        touched.removeAll(keepingCapacity: true)
        for entry in adjustments.entries {
            let at = Int(entry.token)
            let raw = row[at]
            let value = adjustments.value(entry, raw: raw, generated: generated)
            touched.append(Touched(token: entry.token, raw: raw, value: value))
            row[at] = -.infinity
        }
    }

    private func untouch(_ row: inout MutableSpan<Float>) {
        for token in touched { row[Int(token.token)] = token.raw }
    }

    private struct Peak {
        var token: Int32
        /// Logit of the most likely token.
        var value: Double
        /// Largest logit of the tokens left in the row.
        var rowMaximum: Float
    }

    /// The most likely token; of equal ones the first.
    private func peak(_ row: Span<Float>, listedOnly: Bool) throws(SamplingError) -> Peak {
        var best = Peak(token: 0, value: -.infinity, rowMaximum: -.infinity)
        if !listedOnly {
            // Scans skip NaN; every number is at or above -infinity.
            let numbers = RowOperations.countAtOrAbove(row, threshold: -.infinity)
            guard numbers == row.count, let index = RowOperations.argmax(row) else { throw .nonFiniteLogits }
            best = Peak(token: Int32(index), value: Double(row[index]), rowMaximum: row[index])
        }
        for token in touched {
            if token.value.isNaN { throw .nonFiniteLogits }
            if token.value > best.value || token.value == best.value && token.token < best.token {
                best.token = token.token
                best.value = token.value
            }
        }
        if best.value.isNaN || best.value == .infinity { throw .nonFiniteLogits }
        if best.value == -.infinity { throw .nothingAllowed }
        return best
    }

    /// What the draw needs besides the candidates.
    private struct Kept {
        /// Weight of tokens that are no candidates and may be drawn nevertheless: all below `threshold`.
        var rest = 0.0
        var threshold: Float
    }

    /// Makes `candidates` the tokens that survive the cuts. When nothing is cut, the least likely ones are left out of
    /// them, and stand in `rest`, unless `exhaustive`.
    private mutating func narrow(
        _ row: Span<Float>, _ parameters: SamplingParameters, peak: Peak, listedOnly: Bool, exhaustive: Bool
    ) -> Kept {
        let temperature = parameters.temperature
        var kept = Kept(threshold: -.greatestFiniteMagnitude)
        // Candidates are gathered down to a depth below the peak, deeper when that was not enough. Depths are in units
        // of the temperature: at depth d a token is exp(-d) as likely as the most likely one.
        func gather(_ depth: Double) {
            kept.threshold = depth.isFinite
                ? Float(peak.value - depth * temperature).nextDown : -.greatestFiniteMagnitude
            gatherCandidates(row, from: kept.threshold, peak: peak, temperature: temperature, listedOnly: listedOnly)
        }
        let limitsCount = parameters.topK > 0 && parameters.topK < row.count
        if parameters.minP > 0 {
            gather(-log(parameters.minP))
            candidates.cutBelow(share: parameters.minP)
        } else if limitsCount {
            for depth in [8, 24, .infinity] as [Double] {
                gather(depth)
                if candidates.count >= parameters.topK { break }
            }
        } else {
            let total = totalWeight(row, peak: peak, temperature: temperature, listedOnly: listedOnly)
            let depths: [Double] = exhaustive && parameters.topP >= 1 ? [.infinity] : [7, 14, .infinity]
            for depth in depths {
                gather(depth)
                kept.rest = depth.isFinite ? max(0, total - candidates.weight) : 0
                if parameters.topP >= 1 || candidates.weight >= parameters.topP * total * 1.00001 { break }
            }
        }
        if limitsCount { candidates.cut(topK: parameters.topK) }
        if parameters.topP < 1 {
            candidates.cut(topP: parameters.topP, rest: kept.rest)
            kept.rest = 0
        }
        return kept
    }

    private mutating func gatherCandidates(
        _ row: Span<Float>, from threshold: Float, peak: Peak, temperature: Double, listedOnly: Bool
    ) {
        candidates.removeAll()
        if !listedOnly {
            let count = RowOperations.findIndices(row, threshold: threshold, into: &places)
            for place in places[..<count] {
                let value = Double(row[Int(place)])
                candidates.insert(
                    Candidate(token: place, value: value, weight: exp((value - peak.value) / temperature)))
            }
        }
        for token in touched where token.value >= Double(threshold) {
            let weight = exp((token.value - peak.value) / temperature)
            candidates.insert(Candidate(token: token.token, value: token.value, weight: weight))
        }
    }

    /// Weight of all tokens together.
    private func totalWeight(_ row: Span<Float>, peak: Peak, temperature: Double, listedOnly: Bool) -> Double {
        var total = 0.0
        if !listedOnly, peak.rowMaximum > -.infinity {
            total = RowOperations.sumOfExponentials(row, maximum: peak.rowMaximum, scale: Float(1 / temperature))
                * exp((Double(peak.rowMaximum) - peak.value) / temperature)
        }
        for token in touched { total += exp((token.value - peak.value) / temperature) }
        return total
    }

    /// Inverts the cumulative weights: candidates in their order, then the rest by id.
    private func draw(
        _ row: Span<Float>, peak: Peak, kept: Kept, uniform: Double, temperature: Double
    ) -> Int32 {
        let target = uniform * (candidates.weight + kept.rest)
        var reached = 0.0
        for candidate in candidates.members {
            reached += candidate.weight
            if reached > target { return candidate.token }
        }
        guard kept.rest > 0 else { return peak.token }
        for i in 0..<row.count where row[i] < kept.threshold {
            reached += exp((Double(row[i]) - peak.value) / temperature)
            if reached > target { return Int32(truncatingIfNeeded: i) }
        }
        for token in touched where token.value < Double(kept.threshold) {
            reached += exp((token.value - peak.value) / temperature)
            if reached > target { return token.token }
        }
        // Only rounding leads here, for a draw within it of 1.
        return peak.token
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
        func logprob(_ at: Int) -> Float { Float(Double(row[at]) - normaliser) }
        let own = row[Int(token)]
        return TokenLogprobs(
            token: token, logprob: logprob(Int(token)), rank: RowOperations.countAtOrAbove(row, threshold: own),
            top: best(min(count, row.count), of: row, normaliser: normaliser).map {
                ScoredToken(token: $0, logprob: logprob(Int($0)))
            })
    }

    /// The places of the `count` largest values, best first.
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
