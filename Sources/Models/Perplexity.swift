import Kernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// How well a model predicts a text: negative log-likelihoods of its tokens, natural logarithm.
///
/// Runs one sequence at a time through the paged cache in chunks of `ModelShape.maxRows`, in the first
/// blocks of the runner's cache, so nothing else may use the runner meanwhile.
package enum Perplexity {
    package struct Score: Sendable, Equatable {
        package var scoredTokens: Int
        /// Mean negative log-likelihood of a scored token, nats.
        package var meanLoss: Double

        package var perplexity: Double { exp(meanLoss) }
    }

    /// - Returns: for each id but the first, -log p(id | all before it): `ids.count - 1` values.
    /// - Throws: `ModelError` when the ids do not fit the model's context or cache.
    package static func losses(_ ids: [Int32], with runner: any ModelRunner) throws -> [Float] {
        let shape = runner.shape
        guard ids.count <= shape.contextLength else {
            throw ModelError.device(
                reason: "\(ids.count) tokens are more than the context of \(shape.contextLength)")
        }
        if let bad = ids.first(where: { $0 < 0 || $0 >= shape.vocabulary }) {
            throw ModelError.device(
                reason: "token id \(bad) is outside the vocabulary of \(shape.vocabulary)")
        }
        let blocks = (0..<Int32((ids.count + shape.blockSize - 1) / shape.blockSize)).map { $0 }
        var losses: [Float] = []
        losses.reserveCapacity(ids.count)
        var start = 0
        while start < ids.count - 1 {
            let end = min(start + shape.maxRows, ids.count - 1)
            var batch = PackedBatch()
            batch.append(
                ids[start..<end], at: start, blocks: blocks, blockSize: shape.blockSize, logits: .all)
            try runner.forward(batch)
            for first in stride(from: 0, to: end - start, by: shape.maxLogitRows) {
                let range = first..<min(first + shape.maxLogitRows, end - start)
                let logits = try runner.logits(range)
                for row in range {
                    let target = Int(ids[start + row + 1])
                    losses.append(logits.withRow(row - first) { loss(of: target, in: $0) })
                }
            }
            start = end
        }
        return losses
    }

    /// -log softmax(row)[target]
    package static func loss(of target: Int, in row: UnsafeBufferPointer<Float>) -> Float {
        Float(RowOperations.logSumExp(row) - Double(row[target]))
    }

    /// One forward over all ids; every one but the first is scored.
    package static func fullContext(_ ids: [Int32], with runner: any ModelRunner) throws -> Score {
        score(try losses(ids, with: runner))
    }

    /// Consecutive windows of `width` tokens, each by itself; the first token of a window is not scored.
    /// - Parameters:
    ///   - ids: the text without a beginning-of-sequence token.
    ///   - bos: put first in every window where the model wants it; a window then takes one id of the
    ///     text less.
    package static func windows(
        _ ids: [Int32], width: Int, bos: Int32?, with runner: any ModelRunner
    ) throws -> Score {
        score(try windows(of: ids, width: width, bos: bos).flatMap { try losses($0, with: runner) })
    }

    /// The windows that `windows(_:width:bos:with:)` scores; what is left at the end, too short for one,
    /// is dropped.
    package static func windows(of ids: [Int32], width: Int, bos: Int32?) -> [[Int32]] {
        let lead = bos.map { [$0] } ?? []
        let taken = width - lead.count
        precondition(taken > 0, "a window of \(width) tokens has no room for text")
        return stride(from: 0, through: ids.count - taken, by: taken).map { lead + ids[$0..<$0 + taken] }
    }

    private static func score(_ losses: [Float]) -> Score {
        let sum = losses.reduce(0.0) { $0 + Double($1) }
        return Score(scoredTokens: losses.count, meanLoss: sum / Double(max(losses.count, 1)))
    }
}
