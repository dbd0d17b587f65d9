import Kernels
import Models

/// Runs sequences through a runner as the engine does: prompts in chunks, decode steps, several sequences
/// in a step, each with blocks of its own, scattered over the cache.
struct SequenceDriver {
    struct Sequence {
        var ids: [Int32]
        /// Tokens whose K/V are in the cache.
        var computed = 0
        let blocks: [Int32]

        init(_ ids: [Int32], blocks: [Int32]) {
            self.ids = ids
            self.blocks = blocks
        }
    }

    let runner: any ModelRunner
    private(set) var sequences: [Sequence] = []

    /// - Parameter room: tokens that each sequence may grow by.
    init(_ runner: any ModelRunner, prompts: [[Int32]], room: Int) {
        self.runner = runner
        let size = runner.shape.blockSize
        var next: Int32 = 0
        let counts = prompts.map { ($0.count + room + size - 1) / size }
        // Interleave the blocks, so that no sequence's are contiguous.
        var tables: [[Int32]] = prompts.map { _ in [] }
        for round in 0..<(counts.max() ?? 0) {
            for (index, count) in counts.enumerated() where round < count {
                tables[index].append(next)
                next += 1
            }
        }
        precondition(Int(next) <= runner.shape.blockCount)
        sequences = zip(prompts, tables).map { Sequence($0, blocks: $1) }
    }

    /// One step: up to `chunks[i]` pending tokens of each sequence.
    /// - Returns: for each sequence the logits of its last pending token, where the step reached it.
    mutating func step(chunks: [Int]) throws -> [[Float]?] {
        var batch = PackedBatch()
        var reached: [Int] = []
        for index in sequences.indices {
            let sequence = sequences[index]
            let end = min(sequence.computed + chunks[index], sequence.ids.count)
            guard end > sequence.computed else { continue }
            let isLast = end == sequence.ids.count
            batch.append(
                sequence.ids[sequence.computed..<end], at: sequence.computed, blocks: sequence.blocks,
                blockSize: runner.shape.blockSize, logits: isLast ? .last : .none)
            if isLast { reached.append(index) }
            sequences[index].computed = end
        }
        try runner.forward(batch)
        var results: [[Float]?] = sequences.map { _ in nil }
        for (row, index) in reached.enumerated() {
            results[index] = try runner.logits(row..<row + 1).withRow(0) { Array($0) }
        }
        return results
    }

    /// Runs all sequences to `count` greedy tokens each; chunk sizes differ by sequence and step.
    /// - Returns: the new ids, and the logits after each prompt.
    mutating func greedy(_ count: Int, chunk: (_ sequence: Int, _ step: Int) -> Int) throws -> (
        ids: [[Int32]], promptLogits: [[Float]]
    ) {
        let prompts = sequences.map(\.ids.count)
        var first: [[Float]] = sequences.map { _ in [] }
        var number = 0
        while sequences.indices.contains(where: { sequences[$0].ids.count < prompts[$0] + count }) {
            let chunks = sequences.indices.map { index in
                sequences[index].ids.count < prompts[index] + count ? max(1, chunk(index, number)) : 0
            }
            for (index, logits) in try step(chunks: chunks).enumerated() {
                guard let logits else { continue }
                if sequences[index].ids.count == prompts[index] { first[index] = logits }
                sequences[index].ids.append(Self.argmax(logits))
            }
            number += 1
        }
        return (zip(sequences, prompts).map { Array($0.ids[$1...]) }, first)
    }

    static func argmax(_ row: [Float]) -> Int32 {
        var best = 0
        for index in row.indices where row[index] > row[best] { best = index }
        return Int32(best)
    }

    /// Logits at every position of a prompt run in one go, `[ids.count, vocabulary]`.
    static func allLogits(_ ids: [Int32], _ runner: any ModelRunner, chunk: Int) throws -> [[Float]] {
        let shape = runner.shape
        let blocks = (0..<(ids.count + shape.blockSize - 1) / shape.blockSize).map { Int32($0) }
        var rows: [[Float]] = []
        for start in stride(from: 0, to: ids.count, by: chunk) {
            let end = min(start + chunk, ids.count)
            var batch = PackedBatch()
            batch.append(
                ids[start..<end], at: start, blocks: blocks, blockSize: shape.blockSize, logits: .all)
            try runner.forward(batch)
            for first in stride(from: 0, to: end - start, by: shape.maxLogitRows) {
                let range = first..<min(first + shape.maxLogitRows, end - start)
                let logits = try runner.logits(range)
                for row in 0..<range.count { rows.append(logits.withRow(row) { Array($0) }) }
            }
        }
        return rows
    }
}
