import Kernels

/// A loaded model that can run steps. Belongs to the engine's thread.
package protocol ModelRunner: AnyObject {
    var shape: ModelShape { get }
    /// One forward pass over the batch: writes K/V of every row and keeps the hidden states of `batch.logitRows`.
    func forward(_ batch: PackedBatch) throws
    /// Logits of `batch.logitRows[range]` of the last forward pass; at most `shape.maxLogitRows` at a time, so that a
    /// large vocabulary never needs memory for a whole step. Valid until the next call.
    func logits(_ range: Range<Int>) throws -> Logits
    /// Whether the device chooses tokens by itself.
    var choosesTokens: Bool { get }
    /// Asks for a token for each of `batch.logitRows[range]` of the last forward pass; as many as `rows` has.
    /// Until `finishChoosing` tells them, one further forward pass may be asked for: `PackedBatch.chosen` says which
    /// of its rows take which of them.
    func startChoosing(_ range: Range<Int>, _ rows: CUDASamplingBatch) throws
    /// Waits for the tokens.
    func finishChoosing() throws -> [CUDASamplingBatch.Choice]
}

extension ModelRunner {
    package var choosesTokens: Bool { false }

    package func startChoosing(_ range: Range<Int>, _ rows: CUDASamplingBatch) throws {
        preconditionFailure("this model leaves choosing to the host")
    }

    package func finishChoosing() throws -> [CUDASamplingBatch.Choice] {
        preconditionFailure("this model leaves choosing to the host")
    }

    package func choose(_ range: Range<Int>, _ rows: CUDASamplingBatch) throws -> [CUDASamplingBatch.Choice] {
        try startChoosing(range, rows)
        return try finishChoosing()
    }
}

/// What the scheduler and the intake need to know of a loaded model.
package struct ModelShape: Sendable, Equatable {
    /// Width of a row of logits; the tokenizer's ids are below it.
    package var vocabulary: Int
    /// Longest sequence, prompt and completion together.
    package var contextLength: Int
    package var blockSize: Int
    package var blockCount: Int
    /// Rows in one step.
    package var maxRows: Int
    package var maxLogitRows: Int

    package init(
        vocabulary: Int, contextLength: Int, blockSize: Int, blockCount: Int, maxRows: Int, maxLogitRows: Int
    ) {
        self.vocabulary = vocabulary
        self.contextLength = contextLength
        self.blockSize = blockSize
        self.blockCount = blockCount
        self.maxRows = maxRows
        self.maxLogitRows = maxLogitRows
    }
}
