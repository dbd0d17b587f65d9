import Models

import Kernels

/// Drives a loaded model by hand: sequences of given tokens in blocks of their own, in any packing.
package struct ModelSteps {
    package let runner: any ModelRunner
    private let blocksEach: Int

    /// - Parameter positions: most that any sequence has.
    package init(_ runner: any ModelRunner, positions: Int) {
        self.runner = runner
        blocksEach = (positions + runner.shape.blockSize - 1) / runner.shape.blockSize
    }

    /// Sequences that there are blocks for.
    package var capacity: Int { runner.shape.blockCount / blocksEach }

    private func blocks(_ sequence: Int) -> Range<Int32> {
        Int32(sequence * blocksEach)..<Int32((sequence + 1) * blocksEach)
    }

    /// A step of these runs: (sequence, its tokens, position of the first).
    package func batch(
        _ runs: [(sequence: Int, tokens: [Int32], start: Int)], logits: PackedBatch.LogitChoice = .last
    ) -> PackedBatch {
        var batch = PackedBatch()
        for run in runs {
            batch.append(
                run.tokens, at: run.start, blocks: blocks(run.sequence), blockSize: runner.shape.blockSize,
                logits: logits)
        }
        return batch
    }

    /// The logits of the step's wanted rows.
    package func run(_ batch: PackedBatch) throws -> [[Float]] {
        try runner.forward(batch)
        var rows: [[Float]] = []
        var first = 0
        while first < batch.logitRows.count {
            let range = first..<min(first + runner.shape.maxLogitRows, batch.logitRows.count)
            let logits = try runner.logits(range)
            for row in 0..<range.count { rows.append(logits.withRow(row) { Array($0) }) }
            first = range.upperBound
        }
        return rows
    }
}

/// The same bits whatever shares the step (I8).
package enum InvarianceChecks {
    /// Compares a sequence's last logits, computed alone in one step, with the same in company, in chunks, and token by
    /// token.
    /// - Returns: (how it was computed, elements that differ).
    package static func run(_ steps: ModelSteps, length: Int, seed: UInt64) throws -> [(String, Int)] {
        var draws = RandomNumbers(seed: seed)
        let vocabulary = steps.runner.shape.vocabulary
        func tokens(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(draws.below(vocabulary)) } }
        let mine = tokens(length)
        let alone = try steps.run(steps.batch([(0, mine, 0)]))[0]
        func differences(_ other: [Float]) -> Int {
            zip(alone, other).count { $0.bitPattern != $1.bitPattern }
        }
        var found: [(String, Int)] = []
        for chunk in [1, 7, 64] {
            var last: [Float] = []
            for start in stride(from: 0, to: length, by: chunk) {
                let part = Array(mine[start..<min(start + chunk, length)])
                last = try steps.run(steps.batch([(1, part, start)]))[0]
            }
            found.append(("in chunks of \(chunk)", differences(last)))
        }
        // Company of prompts; then one token in a full decode step.
        let company = min(steps.capacity - 1, 60)
        let room = steps.runner.shape.maxRows - length
        var runs: [(sequence: Int, tokens: [Int32], start: Int)] = []
        var used = 0
        for other in 0..<company {
            let count = 1 + draws.below(40)
            guard used + count <= room else { break }
            used += count
            runs.append((other + 1, tokens(count), 0))
        }
        let place = runs.count / 2
        runs.insert((0, mine, 0), at: place)
        found.append(("in company of \(runs.count - 1)", differences(try steps.run(steps.batch(runs))[place])))
        _ = try steps.run(steps.batch([(0, Array(mine.dropLast()), 0)]))
        for size in [2, 17, min(company, 60)] {
            var singles: [(sequence: Int, tokens: [Int32], start: Int)] = (1..<max(size, 2)).map { ($0, tokens(1), 0) }
            singles.insert((0, [mine[length - 1]], length - 1), at: singles.count / 2)
            // Eager, recorded, replayed.
            for time in 1...3 {
                let rows = try steps.run(steps.batch(singles))
                found.append(
                    ("decoded among \(singles.count), time \(time)", differences(rows[(singles.count - 1) / 2])))
            }
        }
        return found
    }
}
