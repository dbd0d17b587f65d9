@testable import Kernels
@testable import Worker

/// A row of logits and how its token is to be chosen, as the CPU's sampler takes it.
struct SamplingRow {
    var logits: [Float]
    var parameters = SamplingParameters()
    var adjustments: TokenAdjustments?
    var generated = 0
    var uniform = 0.5
    var topLogprobs: Int?

    var packed: (row: CUDASamplingBatch.Row, entries: [CUDASamplingBatch.Entry]) {
        let adjustments = adjustments ?? TokenAdjustments(parameters)
        var row = CUDASamplingBatch.Row()
        row.temperature = parameters.isGreedy ? 0 : parameters.temperature
        (row.topP, row.minP, row.topK) = (parameters.topP, parameters.minP, parameters.topK)
        row.repetitionPenalty = parameters.repetitionPenalty
        row.frequencyPenalty = parameters.frequencyPenalty
        row.presencePenalty = parameters.presencePenalty
        row.topLogprobs = topLogprobs
        row.listedOnly = adjustments.listedOnly
        row.uniform = uniform
        let entries = adjustments.entries.map {
            CUDASamplingBatch.Entry(
                token: $0.token, count: $0.count, isSeen: $0.isSeen,
                isBanned: $0.endsBadWord || generated < $0.bannedUntil, bias: $0.bias)
        }
        return (row, entries)
    }

    /// Probabilities as the CPU's sampler has them.
    func distribution() throws -> [Double] {
        var logits = logits
        var row = logits.mutableSpan
        var sampler = Sampler()
        return try sampler.distribution(
            &row, parameters, adjustments: adjustments ?? TokenAdjustments(parameters), generated: generated)
    }

    func sampledByCPU() throws -> SampledToken {
        var logits = logits
        var row = logits.mutableSpan
        var sampler = Sampler()
        return try sampler.sample(
            &row, parameters, adjustments: adjustments ?? TokenAdjustments(parameters), generated: generated,
            uniform: uniform, topLogprobs: topLogprobs)
    }
}

/// What `mr_sample` did with rows of one vocabulary.
struct EmulatedSampling {
    var choices: [CUDASamplingBatch.Choice] = []
    /// Probability of each token, for rows that were drawn; tokens without a place (not on the list) have 0.
    var probabilities: [[Double]] = []
    var tokens: [Int32] = []
    var logitsAfter: [Float] = []

    init(_ rows: [SamplingRow]) throws {
        var batch = CUDASamplingBatch()
        for row in rows { batch.append(row.packed.row, entries: row.packed.entries) }
        let vocabulary = rows[0].logits.count
        let upload = EmulatedBuffer<UInt8>(count: batch.layout.byteCount)
        batch.write(to: UnsafeMutableRawBufferPointer(start: upload.address, count: upload.count))
        func part(_ offset: Int) -> KernelArgument { .pointer(upload.address + offset, owner: upload) }
        let logits = EmulatedBuffer(rows.flatMap(\.logits))
        let scratch = EmulatedBuffer<Float>(count: batch.entryCount)
        let results = EmulatedBuffer<Int32>(count: rows.count * batch.resultStride)
        let chosen = EmulatedBuffer<Int32>(count: rows.count)
        let weights = EmulatedBuffer([UInt64](repeating: 0, count: rows.count * vocabulary))
        let layout = batch.layout
        try emulate(
            "mr_sample", grid: (rows.count, 1, 1), block: 1024, .buffer(logits), .int(vocabulary),
            part(layout.settings), part(layout.options), part(layout.draws), part(layout.entries),
            batch.hasBiases ? part(layout.biases) : .pointer(nil), .buffer(scratch), .buffer(results),
            .int(batch.topWidth), .buffer(chosen), .buffer(weights))
        let (found, weighed) = (results.values, weights.values)
        for (number, row) in rows.enumerated() {
            choices.append(
                CUDASamplingBatch.choice(
                    from: found[number * batch.resultStride..<(number + 1) * batch.resultStride],
                    topWidth: batch.topWidth, topLogprobs: row.topLogprobs, vocabulary: vocabulary))
            let own = weighed[number * vocabulary..<(number + 1) * vocabulary].map { Double($0) }
            let total = own.reduce(0, +)
            probabilities.append(own.map { total > 0 ? $0 / total : 0 })
        }
        tokens = chosen.values
        logitsAfter = logits.values
    }
}
