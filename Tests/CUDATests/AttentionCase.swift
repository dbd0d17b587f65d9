import DeviceChecks
import Kernels
import Testing

/// Sequences with random queries, keys and values, attended on the emulation a step at a time, over a cache whose
/// slots are NaN until they are written.
struct AttentionCase: CustomTestStringConvertible {
    var headWidth = 128
    var group = 4
    var blockSize = 16
    var keyValueHeads = 2
    var window = 0
    var softCap: Float = 0
    var length = 300
    var sequences = 2
    /// Keys and values are 8-bit floats.
    var isNarrow = false

    var heads: Int { keyValueHeads * group }
    var scale: Float { 2 / Float(headWidth).squareRoot() }
    var testDescription: String {
        "\(heads)/\(keyValueHeads) heads of \(headWidth), window \(window), cap \(softCap), blocks of \(blockSize)"
    }
    var launches: CUDALaunchAttention {
        CUDALaunchAttention(
            headWidth: headWidth, group: group, keyValueHeads: keyValueHeads, cacheBytes: isNarrow ? 1 : 2)
    }
}

final class AttentionBench {
    /// Rows of one sequence in a step.
    struct Run {
        var start: Int
        var rows: Int
    }

    let test: AttentionCase
    /// `[sequence][position * heads * headWidth]`, and with kv heads.
    let queries, keys, values: [[BFloat16]]
    /// BFloat16 or UInt8.
    private let keyCache, valueCache: EmulatedBuffer<UInt8>
    private let tables: [[Int32]]

    /// - Parameter ofFP8: keys and values that 8-bit floats can hold.
    init(_ test: AttentionCase, ofFP8: Bool = false) {
        self.test = test
        var random = RandomNumbers(seed: UInt64(test.headWidth + test.window))
        func rows(_ heads: Int) -> [[BFloat16]] {
            (0..<test.sequences).map { _ in
                random.floats(test.length * heads * test.headWidth, in: -2...2).map(BFloat16.init)
            }
        }
        queries = rows(test.heads)
        func fp8Rows() -> [[BFloat16]] {
            (0..<test.sequences).map { _ in
                (0..<test.length * test.keyValueHeads * test.headWidth).map { _ in
                    FP8.value(UInt8(random.below(0x44)) | UInt8(random.below(2)) << 7)
                }
            }
        }
        keys = ofFP8 ? fp8Rows() : rows(test.keyValueHeads)
        values = ofFP8 ? fp8Rows() : rows(test.keyValueHeads)
        let perSequence = (test.length + test.blockSize - 1) / test.blockSize
        let blocks = perSequence * test.sequences + 1
        let bytes = blocks * test.keyValueHeads * test.blockSize * test.headWidth * (test.isNarrow ? 1 : 2)
        keyCache = EmulatedBuffer(count: bytes)
        valueCache = EmulatedBuffer(count: bytes)
        tables = (0..<test.sequences).map { sequence in
            (0..<perSequence).map { Int32(blocks - 1 - ($0 * test.sequences + sequence)) }
        }
    }

    private func store(_ sequence: Int, _ position: Int) {
        let width = test.headWidth
        let block = Int(tables[sequence][position / test.blockSize])
        for head in 0..<test.keyValueHeads {
            let slot = (block * test.keyValueHeads + head) * test.blockSize + position % test.blockSize
            let from = (position * test.keyValueHeads + head) * width
            for (cache, rows) in [(keyCache, keys[sequence]), (valueCache, values[sequence])] {
                for column in 0..<width {
                    let value = rows[from + column]
                    if test.isNarrow {
                        cache.address.storeBytes(
                            of: FP8.bits(value), toByteOffset: slot * width + column, as: UInt8.self)
                    } else {
                        cache.address.storeBytes(
                            of: value, toByteOffset: 2 * (slot * width + column), as: BFloat16.self)
                    }
                }
            }
        }
    }

    /// Arguments that the kernels begin with: a step's queries, the cache, and its sequences.
    private struct Step {
        var queries: EmulatedBuffer<BFloat16>
        var rowStart, rowCount, start, tableOffset, tables: EmulatedBuffer<Int32>
        var rows: Int
    }

    private func begin(_ runs: [Run]) -> Step {
        var (rowStart, table, offsets, rows): ([Int32], [Int32], [Int32], [BFloat16]) = ([], [], [], [])
        var count = 0
        let width = test.heads * test.headWidth
        for (sequence, run) in runs.enumerated() {
            rowStart.append(Int32(count))
            offsets.append(Int32(table.count))
            let end = run.start + run.rows
            table += tables[sequence][..<((end + test.blockSize - 1) / test.blockSize)]
            rows += queries[sequence][run.start * width..<end * width]
            for position in run.start..<end { store(sequence, position) }
            count += run.rows
        }
        return Step(
            queries: EmulatedBuffer(rows), rowStart: EmulatedBuffer(rowStart),
            rowCount: EmulatedBuffer(runs.map { Int32($0.rows) }),
            start: EmulatedBuffer(runs.map { Int32($0.start) }), tableOffset: EmulatedBuffer(offsets),
            tables: EmulatedBuffer(table), rows: count)
    }

    private func opening(_ step: Step) -> [KernelArgument] {
        [
            .buffer(step.queries), .buffer(keyCache), .buffer(valueCache), .buffer(step.rowStart),
            .buffer(step.rowCount), .buffer(step.start), .buffer(step.tableOffset), .buffer(step.tables),
        ]
    }

    private var closing: [KernelArgument] { [.int(test.window), .float(test.scale), .float(test.softCap)] }

    private func launch(_ shape: CUDALaunchShape, isAny: Bool = false, _ arguments: [KernelArgument]) throws {
        let narrow = test.isNarrow ? "_1" : ""
        let suffix = isAny ? narrow : "_\(test.blockSize)\(narrow)_\(test.group)_\(test.headWidth)"
        try emulate(
            shape.kernel + suffix, grid: (shape.grid.x, shape.grid.y, shape.grid.z), block: shape.block,
            sharedBytes: shape.sharedBytes, arguments: arguments)
    }

    /// Outputs `[rows][heads * headWidth]` of a step; sequences of at most `decodeRows` rows go to the decode kernel.
    func run(_ runs: [Run], decodeRows: Int, splits: Int) throws -> [[UInt16]] {
        let (step, launches) = (begin(runs), test.launches)
        let outputs = EmulatedBuffer<BFloat16>(count: step.rows * test.heads * test.headWidth)
        let space = launches.workspace(sequences: runs.count, maxRows: decodeRows, splits: splits)
        let partial = EmulatedBuffer<Float>(count: max(1, space.partial))
        let stats = EmulatedBuffer<Float>(count: max(1, space.stats))
        try launch(
            launches.decode(sequences: runs.count, maxRows: decodeRows, splits: splits),
            opening(step) + [
                .buffer(outputs), .buffer(partial), .buffer(stats), .int(test.keyValueHeads), .int(decodeRows),
                .int(splits),
            ] + closing)
        if splits > 1 {
            try launch(
                launches.merge(sequences: runs.count, maxRows: decodeRows),
                [
                    .buffer(partial), .buffer(stats), .buffer(step.rowStart), .buffer(step.rowCount),
                    .buffer(step.start), .buffer(outputs), .int(decodeRows), .int(splits), .int(test.window),
                ])
        }
        // Ends with padding, as a graph's list may.
        let tiles = launches.prefillTiles(rowCounts: runs.map(\.rows), decodeRows: decodeRows) + [-1, 0]
        try launch(
            launches.prefill(tiles: tiles.count / 2),
            opening(step) + [.buffer(EmulatedBuffer(tiles)), .buffer(outputs), .int(test.keyValueHeads)] + closing)
        return rows(outputs)
    }

    /// The same by attention_any.cu.
    func runAny(_ runs: [Run]) throws -> [[UInt16]] {
        let step = begin(runs)
        let outputs = EmulatedBuffer<BFloat16>(count: step.rows * test.heads * test.headWidth)
        try launch(
            test.launches.any(rows: step.rows), isAny: true,
            opening(step) + [
                .buffer(outputs), .int(runs.count), .int(test.keyValueHeads), .int(test.group),
                .int(test.headWidth), .int(test.blockSize),
            ] + closing)
        return rows(outputs)
    }

    private func rows(_ outputs: EmulatedBuffer<BFloat16>) -> [[UInt16]] {
        let (all, width) = (outputs.values.map(\.bits), test.heads * test.headWidth)
        return stride(from: 0, to: all.count, by: width).map { Array(all[$0..<$0 + width]) }
    }
}
