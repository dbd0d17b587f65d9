/// What one step runs, in the form that kernels read: the tokens of all its sequences one after another.
///
/// A sequence brings a run of consecutive tokens (one in decode, a chunk in prefill) whose K/V are written to
/// `slots` before any attention reads them; it attends to everything of its own at or before each token's position.
package struct PackedBatch: Sendable {
    package struct Sequence: Sendable {
        /// Rows of this sequence in the batch.
        package var rows: Range<Int>
        /// Position of the first of those rows; tokens before it are in the KV cache already.
        package var start: Int
        /// Where the block table of this sequence begins in `blockTables`; it has
        /// `ceil((start + rows.count) / blockSize)` entries.
        package var blockTableOffset: Int

        package init(rows: Range<Int>, start: Int, blockTableOffset: Int) {
            self.rows = rows
            self.start = start
            self.blockTableOffset = blockTableOffset
        }
    }

    /// `[rows]` token ids.
    package var tokens: [Int32] = []
    /// Empty, or `[rows]`: the row of the choice under way (`Device.startChoosing`) that brings a row's token; -1 where
    /// `tokens` has it.
    package var chosen: [Int32] = []
    /// `[rows]` position of each token in its sequence.
    package var positions: [Int32] = []
    /// `[rows]` slot mapping: block number * block size + offset.
    package var slots: [Int32] = []
    package var sequences: [Sequence] = []
    /// Block tables of all sequences, concatenated.
    package var blockTables: [Int32] = []
    /// Rows whose logits are wanted, ascending.
    package var logitRows: [Int32] = []

    package init() {}

    package var rowCount: Int { tokens.count }
}

extension PackedBatch {
    /// Which tokens of a run the logits are wanted of.
    package enum LogitChoice: Sendable {
        case none, last, all
    }

    /// Appends a run of one sequence's tokens.
    /// - Parameters:
    ///   - start: position of the first of `tokens`.
    ///   - blocks: the sequence's blocks in order, at least as many as the positions up to the last token
    ///     take.
    package mutating func append(
        _ tokens: some Collection<Int32>, at start: Int, blocks: some Collection<Int32>, blockSize: Int,
        logits: LogitChoice
    ) {
        let first = rowCount
        let end = start + tokens.count
        let table = blocks.prefix((end + blockSize - 1) / blockSize)
        precondition(table.count * blockSize >= end, "\(table.count) blocks do not hold \(end) tokens")
        sequences.append(
            Sequence(rows: first..<first + tokens.count, start: start, blockTableOffset: blockTables.count))
        blockTables.append(contentsOf: table)
        let base = blockTables.count - table.count
        for (offset, token) in tokens.enumerated() {
            let position = start + offset
            self.tokens.append(token)
            positions.append(Int32(position))
            slots.append(
                blockTables[base + position / blockSize] * Int32(blockSize) + Int32(position % blockSize))
        }
        switch logits {
        case .none: break
        case .last: if !tokens.isEmpty { logitRows.append(Int32(rowCount - 1)) }
        case .all: logitRows.append(contentsOf: (first..<rowCount).map(Int32.init))
        }
    }
}

extension PackedBatch {
    /// That every sequence's table is long enough for a cache of this block size.
    func checkTables(blockSize: Int) {
        for sequence in sequences {
            let blocks = (sequence.start + sequence.rows.count + blockSize - 1) / blockSize
            precondition(
                sequence.blockTableOffset >= 0 && sequence.blockTableOffset + blocks <= blockTables.count,
                "a block table is too short")
        }
    }
}
