import CUDAEmulation
import Foundation
import Kernels
import Testing

@Suite(.serialized) struct AttentionTests {
    static let cases = [
        AttentionCase(), AttentionCase(window: 100, length: 620),
        AttentionCase(headWidth: 48, group: 1, blockSize: 32, keyValueHeads: 3, softCap: 20),
        AttentionCase(headWidth: 16, group: 2, window: 37, length: 530),
        AttentionCase(headWidth: 64, group: 18, blockSize: 64, keyValueHeads: 1, window: 270, softCap: 5),
        AttentionCase(headWidth: 256, group: 9, keyValueHeads: 1, length: 270),
    ]
    /// Odd widths, which only attention_any.cu takes.
    static let anyCases = [
        AttentionCase(headWidth: 20, group: 3, length: 90), AttentionCase(headWidth: 300, group: 1, length: 40),
        AttentionCase(headWidth: 12, group: 2, window: 21, softCap: 8, length: 90),
    ]

    /// Exact attention of one head at one position, and what its error may be measured by: the weighted mean of |v|.
    private func exact(_ bench: AttentionBench, position: Int, head: Int) -> (outputs: [Double], norms: [Double]) {
        let test = bench.test
        let width = test.headWidth
        func row(_ rows: [BFloat16], _ at: Int) -> [Double] {
            rows[at * width..<(at + 1) * width].map { Double($0.float) }
        }
        let query = row(bench.queries[0], position * test.heads + head)
        let first = test.window > 0 ? max(0, position - test.window + 1) : 0
        let places = (first...position).map { $0 * test.keyValueHeads + head / test.group }
        var weights = places.map { place in
            let score = zip(query, row(bench.keys[0], place)).map(*).reduce(0, +) * Double(test.scale)
            return test.softCap > 0 ? Double(test.softCap) * tanh(score / Double(test.softCap)) : score
        }
        let most = weights.max() ?? 0
        weights = weights.map { exp($0 - most) }
        let total = weights.reduce(0, +)
        var (outputs, norms) = ([Double](repeating: 0, count: width), [Double](repeating: 0, count: width))
        for (weight, place) in zip(weights, places) {
            for (column, value) in row(bench.values[0], place).enumerated() {
                outputs[column] += weight / total * value
                norms[column] += weight / total * abs(value)
            }
        }
        return (outputs, norms)
    }

    /// Weights and output are each rounded to bfloat16: half a unit in the last place, 2^-8, of the weighted mean.
    private func expectExact(_ bench: AttentionBench, _ rows: [[UInt16]]) throws {
        let width = bench.test.headWidth
        for position in Set([0, 1, 15, 16, 63, 64, rows.count / 2, rows.count - 1]) where position < rows.count {
            for head in 0..<bench.test.heads {
                let (outputs, norms) = exact(bench, position: position, head: head)
                for column in 0..<width {
                    let value = Double(Float(bitPattern: UInt32(rows[position][head * width + column]) << 16))
                    try #require(
                        abs(value - outputs[column]) <= 2.05 * 0x1p-8 * norms[column],
                        "position \(position), head \(head): \(value), exactly \(outputs[column])")
                }
            }
        }
    }

    @Test(arguments: cases)
    func matchesDoublePrecision(_ test: AttentionCase) throws {
        let bench = AttentionBench(test)
        try expectExact(bench, bench.run([.init(start: 0, rows: test.length)], decodeRows: 1, splits: 1))
    }

    @Test(arguments: cases + anyCases)
    func theTwinMatches(_ test: AttentionCase) throws {
        let bench = AttentionBench(test)
        try expectExact(bench, bench.runAny([.init(start: 0, rows: min(test.length, 90))]))
    }

    /// A row's bits are the same in a prefill of any chunking, by the decode kernel with and without splits, beside
    /// other sequences, and in any order of threads.
    @Test(arguments: cases)
    func chunkingCompanyAndKernelDoNotShow(_ test: AttentionCase) throws {
        let whole = try AttentionBench(test).run([.init(start: 0, rows: test.length)], decodeRows: 1, splits: 1)
        let bench = AttentionBench(test)
        let ways: [(decodeRows: Int, splits: Int)] = [(1, 4), (3, 1), (2, 2), (4, 3)]
        var (at, other, step) = (0, 0, 0)
        defer { mr_emulation_order(0) }
        for rows in [1, 2, 3, 50, 70, 130, 1, 1, .max, 1, 2] where at < test.length {
            // The last few rows stay for the decode kernel, with all keys behind them.
            let count = rows == .max ? test.length - at - 3 : min(rows, test.length - at)
            let company = min(test.length - other, step % 3 * 40 + 1)
            mr_emulation_order([0, 1, 77][step % 3])
            let way = ways[step % ways.count]
            let found = try bench.run(
                [.init(start: at, rows: count), .init(start: other, rows: company)], decodeRows: way.decodeRows,
                splits: way.splits)
            for row in 0..<count {
                try #require(found[row] == whole[at + row], "row \(at + row), step \(step)")
            }
            (at, other, step) = (at + count, other + company, step + 1)
        }
        #expect(at == test.length)
    }

    @Test func theTwinIsIndependentOfCompany() throws {
        for test in Self.anyCases {
            let whole = try AttentionBench(test).runAny([.init(start: 0, rows: test.length), .init(start: 0, rows: 7)])
            let bench = AttentionBench(test)
            for position in 0..<test.length {
                let found = try bench.runAny([.init(start: position, rows: 1)])
                try #require(found[0] == whole[position])
            }
        }
    }

    @Test func launchesFitTheSmallestCards() {
        for width in stride(from: 16, through: 256, by: 16) {
            for group in [1, 2, 4, 7, 8, 16, 32] {
                let launches = CUDALaunchAttention(headWidth: width, group: group, keyValueHeads: 2)
                #expect(launches.hasTensorCores)
                #expect(launches.prefill(tiles: 1).sharedBytes <= 99 << 10)
                #expect(launches.decode(sequences: 1, splits: 1).sharedBytes <= 99 << 10)
                #expect(launches.prefillWarps == 4 || (width > 128 && launches.prefillWarps == 2))
            }
        }
        let launches = CUDALaunchAttention(headWidth: 128, group: 4, keyValueHeads: 8)
        #expect(launches.splits(sequences: 1, keys: 4096) == 64)
        #expect(launches.splits(sequences: 512, keys: 4096) == 1)
        #expect(launches.prefillTiles(rowCounts: [1, 33, 0, 5], decodeRows: 1) == [1, 128, 1, 64, 1, 0, 3, 0])
    }
}
