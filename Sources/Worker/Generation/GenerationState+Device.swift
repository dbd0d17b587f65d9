import Kernels

/// The next token chosen by a device's sampler.
extension GenerationState {
    /// How; nil where only the host's sampler can.
    package func deviceChoice() -> (row: CUDASamplingBatch.Row, entries: [CUDASamplingBatch.Entry])? {
        guard (spec.topLogprobs ?? 0) <= CUDASamplingBatch.maxTopLogprobs else { return nil }
        let sampling = spec.sampling
        var row = CUDASamplingBatch.Row()
        row.temperature = sampling.isGreedy ? 0 : sampling.temperature
        row.topP = sampling.topP
        row.topK = sampling.topK
        row.minP = sampling.minP
        row.repetitionPenalty = sampling.repetitionPenalty
        row.frequencyPenalty = sampling.frequencyPenalty
        row.presencePenalty = sampling.presencePenalty
        row.topLogprobs = spec.topLogprobs
        row.listedOnly = adjustments.listedOnly
        row.uniform = draw
        return (row, adjustments.deviceEntries(generated: output.count))
    }

    /// Takes what a device chose by `deviceChoice`.
    /// - Throws: what ends this sequence alone; it must not be asked again.
    package mutating func accept(_ choice: CUDASamplingBatch.Choice) throws(SamplingError) -> Step {
        switch choice.status {
        case .nonFiniteLogits: throw .nonFiniteLogits
        case .nothingAllowed: throw .nothingAllowed
        case .chosen:
            var sampled = SampledToken(token: choice.token)
            if spec.topLogprobs != nil {
                sampled.logprobs = TokenLogprobs(
                    token: choice.token, logprob: choice.logprob, rank: choice.rank,
                    top: choice.top.map { ScoredToken(token: $0.token, logprob: $0.logprob) })
            }
            return accept(sampled)
        }
    }
}

extension TokenAdjustments {
    fileprivate func deviceEntries(generated: Int) -> [CUDASamplingBatch.Entry] {
        entries.map { entry in
            CUDASamplingBatch.Entry(
                token: entry.token, count: entry.count, isSeen: entry.isSeen,
                isBanned: entry.endsBadWord || generated < entry.bannedUntil, bias: entry.bias)
        }
    }
}
