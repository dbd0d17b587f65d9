import CUDAEmulation
import DeviceChecks
import Kernels
import Testing

/// The KV cache in 8-bit floats.
@Suite(.serialized) struct FP8Tests {
    static let cases = [
        AttentionCase(window: 100),
        AttentionCase(headWidth: 48, group: 1, blockSize: 32, keyValueHeads: 3, softCap: 20),
        AttentionCase(headWidth: 256, group: 9, keyValueHeads: 1, length: 270),
    ]

    /// Values that both caches hold exactly give the same bits, in prefill, decode and the twin.
    @Test(arguments: cases)
    func attentionHasTheBitsOfTheWideCache(_ test: AttentionCase) throws {
        var narrow = test
        narrow.isNarrow = true
        let (found, wanted) = (AttentionBench(narrow, ofFP8: true), AttentionBench(test, ofFP8: true))
        let steps: [(rows: Int, decodeRows: Int, splits: Int)] = [(test.length - 4, 1, 1), (1, 1, 2), (3, 4, 1)]
        var at = 0
        for step in steps {
            let runs = [AttentionBench.Run(start: at, rows: step.rows), .init(start: 0, rows: 1)]
            let outputs = try found.run(runs, decodeRows: step.decodeRows, splits: step.splits)
            #expect(try outputs == wanted.run(runs, decodeRows: step.decodeRows, splits: step.splits))
            let finite = outputs.allSatisfy { $0.allSatisfy { $0 & 0x7f80 != 0x7f80 } }
            #expect(finite)
            at += step.rows
        }
        let last = [AttentionBench.Run(start: at, rows: 0), .init(start: 1, rows: 2)]
        #expect(try found.runAny(last) == wanted.runAny(last))
    }

    @Test func storedValuesAreTheNearest() throws {
        var random = RandomNumbers(seed: 4)
        let (headWidth, blockSize) = (16, 16)
        var values: [Float] = [0, -0, .nan, 448, 463.9, 464, 465, 1e30, -1e30, .infinity]
        values += [0x1p-10, 0x1.8p-9, 0x1.fp-7, -0x1p-11]
        for code in 0..<126 {
            // Ties, and their neighbours.
            let middle = (FP8.values[code] + FP8.values[code + 1]) / 2
            values += [middle, middle.nextUp, -middle.nextDown, FP8.values[code]]
        }
        values += (0..<200).map { _ in random.float(in: -500...500) }
        while values.count % (2 * headWidth) != 0 { values.append(1) }
        let rows = values.count / (2 * headWidth)
        let blocks = (rows + blockSize - 1) / blockSize
        // A row is one query head, one key head, one value head.
        var qkv: [Float] = []
        for row in 0..<rows {
            qkv += [Float](repeating: 2, count: headWidth)
            qkv += values[row * 2 * headWidth..<(row + 1) * 2 * headWidth]
        }
        let positions = [Int32](repeating: 0, count: rows)
        let slots = [Int32](0..<Int32(rows))
        let queries = EmulatedBuffer<BFloat16>(count: rows * headWidth)
        let keys = EmulatedBuffer<UInt8>(count: blocks * blockSize * headWidth)
        let stored = EmulatedBuffer<UInt8>(count: blocks * blockSize * headWidth)
        try emulate(
            "mr_rotate_and_store_1", grid: (rows, 1, 1), block: 256, .buffer(EmulatedBuffer(qkv)), .int(1), .int(1),
            .int(headWidth), .pointer(nil), .pointer(nil), .int(0),
            .buffer(EmulatedBuffer(positions)), .buffer(EmulatedBuffer(slots)), .buffer(queries), .buffer(keys),
            .buffer(stored), .int(blockSize))
        for (half, found) in [keys.values, stored.values].enumerated() {
            for at in 0..<rows * headWidth {
                let value = values[(2 * (at / headWidth) + half) * headWidth + at % headWidth]
                try #require(found[at] == FP8.rounded(value), "\(value)")
            }
        }
        #expect(queries.values.allSatisfy { $0.float == 2 })
    }
}
