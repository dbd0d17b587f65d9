import Kernels

/// Heads of a model's attention.
package struct AttentionHeads: Sendable {
    package var heads: Int
    package var keyValueHeads: Int
    package var width: Int

    package init(_ heads: Int, over keyValueHeads: Int, width: Int) {
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.width = width
    }

    /// Of SmolLM2, Gemma 3, Llama 3; one head a group; one that tensor cores do not take.
    package static let all = [
        AttentionHeads(9, over: 3, width: 64), AttentionHeads(4, over: 1, width: 256),
        AttentionHeads(8, over: 2, width: 128), AttentionHeads(3, over: 3, width: 16),
        AttentionHeads(4, over: 2, width: 20),
    ]
}

/// Rotation, cache and attention over a batch of several sequences: prompts, chunks of prompts and single tokens.
struct AttentionScenario: Scenario {
    private let heads: Int
    private let keyValueHeads: Int
    private let headWidth: Int
    /// (rows in the cache already, rows of the step) of each sequence.
    var sequences: [(before: Int, rows: Int)]
    private let window: Int?
    private let softCap: Float?
    private let rotates: Bool
    private let seed: UInt64

    init(
        _ shape: AttentionHeads, sequences: [(before: Int, rows: Int)], window: Int? = nil, softCap: Float? = nil,
        rotates: Bool = true, seed: UInt64
    ) {
        (heads, keyValueHeads, headWidth) = (shape.heads, shape.keyValueHeads, shape.width)
        self.sequences = sequences
        self.window = window
        self.softCap = softCap
        self.rotates = rotates
        self.seed = seed
    }

    var name: String {
        "attention \(heads)/\(keyValueHeads)x\(headWidth)"
            + " \(sequences.map { "\($0.before)+\($0.rows)" }.joined(separator: " "))"
            + (window.map { " window \($0)" } ?? "") + (softCap == nil ? "" : " capped")
    }

    private var width: Int { (heads + 2 * keyValueHeads) * headWidth }

    func run<D: Device>(_ checked: CheckedDevice<D>) throws -> [Float] {
        var draws = RandomNumbers(seed: seed)
        let device = checked.device
        let blocks = sequences.map { ($0.before + $0.rows + 15) / 16 }
        let total = blocks.reduce(0, +) + 3
        // Blocks lie anywhere.
        var free = (0..<Int32(total)).map(\.self)
        for at in free.indices.dropFirst().reversed() { free.swapAt(at, draws.below(at + 1)) }
        var tables: [[Int32]] = []
        for count in blocks {
            tables.append(Array(free.prefix(count)))
            free.removeFirst(count)
        }
        let cache = try device.makeCache(
            CacheShape(layers: 2, keyValueHeads: keyValueHeads, headWidth: headWidth, blockCount: total))
        let longest = sequences.map { $0.before + $0.rows }.max() ?? 1
        let rotation =
            try rotates
            ? device.makeRotation(
                inverseFrequencies: (0..<headWidth / 2).map { 1 / Float($0 + 1) }, scale: 1.2, maxPositions: longest)
            : nil
        let most = max(sequences.map(\.before).max() ?? 0, sequences.map(\.rows).reduce(0, +), 1)
        for (sequence, table) in zip(sequences, tables) where sequence.before > 0 {
            var batch = PackedBatch()
            batch.append(
                [Int32](repeating: 0, count: sequence.before), at: 0, blocks: table, blockSize: 16, logits: .none)
            _ = try pass(
                checked, batch, draws.floats(sequence.before * width, scale: 2), rotation, cache, maxRows: most)
        }
        var batch = PackedBatch()
        for (sequence, table) in zip(sequences, tables) {
            batch.append(
                [Int32](repeating: 0, count: sequence.rows), at: sequence.before, blocks: table, blockSize: 16,
                logits: .none)
        }
        return try pass(
            checked, batch, draws.floats(batch.rowCount * width, scale: 2), rotation, cache, maxRows: most)
    }

    private func pass<D: Device>(
        _ checked: CheckedDevice<D>, _ batch: PackedBatch, _ values: [Float], _ rotation: D.Rotation?,
        _ cache: D.Cache, maxRows: Int
    ) throws -> [Float] {
        let rows = batch.rowCount
        let qkv = try checked.activation(values, rows: rows, width: width, maxRows: maxRows)
        let y = try checked.poisoned(rows: rows, width: heads * headWidth)
        try checked.device.begin(batch)
        checked.device.rotateAndStore(qkv, rotation: rotation, cache: cache, layer: 1)
        checked.device.attention(
            qkv, cache: cache, layer: 1,
            AttentionShape(
                queryHeads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth,
                scale: 1 / Float(headWidth).squareRoot(), window: window, softCap: softCap),
            into: y)
        try checked.device.submit()
        return try checked.get(y, rows)
    }
}
