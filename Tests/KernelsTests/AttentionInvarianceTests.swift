import DeviceChecks
import Testing

@testable import Kernels

/// A query's attention is the same bits in a prefill of any chunking, as a decoded token, beside other sequences,
/// in any blocks and on any number of threads; and unwritten slots never show.
@Suite struct AttentionInvarianceTests {
    typealias Case = CPUAttentionTests.Case

    /// Sequences' rows by chunk: `chunks[i]` are rows of sequence i in one step each; shorter lists end earlier.
    struct Plan {
        var chunks: [[Int]]
        var threads = 2
        /// Blocks are handed out in this order.
        var reversedBlocks = false
        var blockSize = 16
    }

    static let cases: [(KernelSetting, Case)] = KernelSetting.caches.flatMap { setting in
        [
            Case(length: 75), Case(headWidth: 64, length: 75),
            Case(queryHeads: 4, keyValueHeads: 1, length: 75, window: 21),
            Case(queryHeads: 9, keyValueHeads: 3, headWidth: 20, length: 75, window: 32, softCap: 8),
            Case(queryHeads: 2, keyValueHeads: 2, headWidth: 72, length: 75),
            Case(queryHeads: 18, keyValueHeads: 1, length: 75),
        ].map { (setting, $0) }
    }

    @Test(arguments: cases)
    func chunkingAndCompanyDoNotShow(_ setting: KernelSetting, _ test: Case) throws {
        var random = RandomNumbers(seed: 5)
        let length = test.length
        let sequences = (0..<3).map { _ in random.floats(length * test.width, in: -2...2) }
        let whole = try run(setting, test, sequences, Plan(chunks: [[length], [], []], threads: 1))[0]
        let plans = [
            Plan(chunks: [[Int](repeating: 1, count: length), [], []], threads: 1),
            Plan(
                chunks: [[1, 2, 3, 5, 8, 13, 21, 22], [length], [40, 35]], threads: 3, reversedBlocks: true),
            Plan(chunks: [[31, 1, 1, 1, 1, 40], [7, 7, 7], [1, 1, 1, 72]], blockSize: 32),
            Plan(chunks: [[length], [length], [length]], reversedBlocks: true),
            Plan(chunks: [[16, 16, 17, 15, 11], [3, 72], []], threads: 3, blockSize: 64),
        ]
        for plan in plans {
            let rows = try run(setting, test, sequences, plan)[0]
            for row in 0..<length {
                try #require(rows[row] == whole[row], "row \(row), chunks \(plan.chunks[0])")
                try #require(rows[row].allSatisfy { Float(bitPattern: $0).isFinite })
            }
        }
    }

    /// Before its row, and from where the window has left it, values that are not finite change no bit.
    @Test(arguments: cases, [Float.nan, .infinity])
    func whatIsNotANumberShowsOnlyWhereItIsSeen(_ test: (KernelSetting, Case), _ strange: Float) throws {
        let (setting, shape) = test
        var random = RandomNumbers(seed: 6)
        let clean = random.floats(shape.length * shape.width, in: -2...2)
        var broken = clean
        let row = 37
        for at in (row * shape.width + shape.width - shape.keyValueHeads * shape.headWidth)..<(row + 1) * shape.width {
            broken[at] = strange
        }
        for chunks in [[shape.length], [20, shape.length - 20]] {
            let plan = Plan(chunks: [chunks])
            let expected = try run(setting, shape, [clean], plan)[0]
            let result = try run(setting, shape, [broken], plan)[0]
            let blind = shape.window.map { row + $0 } ?? shape.length
            for other in 0..<shape.length where other < row || other >= blind {
                try #require(result[other] == expected[other], "row \(other), chunks \(chunks)")
            }
            #expect(result[row].contains { !Float(bitPattern: $0).isFinite })
        }
    }

    /// Output bits of every row of every sequence that the plan runs.
    func run(_ setting: KernelSetting, _ test: Case, _ qkv: [[Float]], _ plan: Plan) throws -> [[[UInt32]]] {
        let bench = try KernelBench(setting, threads: plan.threads)
        let perSequence = (test.length + plan.blockSize - 1) / plan.blockSize
        let blockCount = perSequence * qkv.count + 1
        let shape = CacheShape(
            layers: 2, keyValueHeads: test.keyValueHeads, headWidth: test.headWidth, blockCount: blockCount,
            blockSize: plan.blockSize)
        let cache = try bench.device.makeCache(shape)
        // Every slot starts as NaN, as a freed block of a broken sequence may leave it.
        cache.poison(headsOf: 0..<blockCount, device: bench.device)
        let tables = qkv.indices.map { sequence in
            (0..<perSequence).map { index in
                let block = index * qkv.count + sequence
                return Int32(plan.reversedBlocks ? blockCount - 1 - block : block)
            }
        }
        var results = qkv.map { _ in [[UInt32]]() }
        for step in 0..<(plan.chunks.map(\.count).max() ?? 0) {
            var batch = PackedBatch()
            var rows: [(sequence: Int, position: Int)] = []
            for (sequence, chunks) in plan.chunks.enumerated() where step < chunks.count {
                let start = chunks[..<step].reduce(0, +)
                batch.sequences.append(
                    .init(
                        rows: rows.count..<rows.count + chunks[step], start: start,
                        blockTableOffset: batch.blockTables.count))
                batch.blockTables +=
                    tables[sequence][..<((start + chunks[step] + plan.blockSize - 1) / plan.blockSize)]
                for position in start..<start + chunks[step] {
                    rows.append((sequence, position))
                    batch.tokens.append(0)
                    batch.positions.append(Int32(position))
                    let block = tables[sequence][position / plan.blockSize]
                    batch.slots.append(block * Int32(plan.blockSize) + Int32(position % plan.blockSize))
                }
            }
            let input = try bench.activation(
                rows.flatMap { qkv[$0.sequence][$0.position * test.width..<($0.position + 1) * test.width] },
                rows: rows.count)
            let output = try bench.poisoned(rows: rows.count, width: test.queryHeads * test.headWidth)
            try bench.device.begin(batch)
            bench.device.rotateAndStore(input, rotation: nil, cache: cache, layer: 1)
            bench.device.attention(input, cache: cache, layer: 1, test.shape, into: output)
            for (row, place) in rows.enumerated() {
                results[place.sequence].append(output[row].map(\.bitPattern))
            }
        }
        return results
    }
}
