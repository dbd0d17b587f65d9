import CUDAEmulation
import DeviceChecks
import Kernels
import Testing

@Suite(.serialized) struct GemmTests {
    struct Case: CustomTestStringConvertible {
        var rows: Int
        var outputs: Int
        var inputs: Int
        var splits: Int
        var accumulate = false
        var testDescription: String { "\(rows) rows, \(inputs) -> \(outputs), \(splits) splits" }
    }

    static let cases = [
        Case(rows: 1, outputs: 130, inputs: 72, splits: 1), Case(rows: 17, outputs: 256, inputs: 200, splits: 2),
        Case(rows: 70, outputs: 96, inputs: 512, splits: 3, accumulate: true),
        Case(rows: 130, outputs: 140, inputs: 264, splits: 2), Case(rows: 5, outputs: 2, inputs: 8, splits: 1),
        Case(rows: 3, outputs: 60, inputs: 101, splits: 1, accumulate: true),
    ]

    /// Operands of a case; products of any of its rows, by any kernel.
    struct Bench {
        let test: Case
        let x, w: [BFloat16]
        let bias, start: [Float]

        init(_ test: Case) {
            self.test = test
            var random = RandomNumbers(seed: UInt64(test.inputs))
            x = random.floats(test.rows * test.inputs).map(BFloat16.init)
            w = random.floats(test.outputs * test.inputs).map(BFloat16.init)
            bias = random.floats(test.outputs)
            start = random.floats(test.rows * test.outputs)
        }


        private func launch(
            _ name: String, tokens: Int, rows: Range<Int>, tiles: Int, sharing: Bool, last: Int,
            into y: KernelArgument
        ) throws {
            let rowTiles = (rows.count + tokens - 1) / tokens
            let partial = EmulatedBuffer<Float>(count: rowTiles * tiles * test.splits * 128 * tokens)
            let counters = EmulatedBuffer([Int32](repeating: 0, count: rowTiles * tiles))
            try emulate(
                "\(name)_\(tokens)", grid: (rowTiles, tiles, sharing ? test.splits : 1),
                block: tokens == 128 ? 256 : 128, sharedBytes: (tokens == 128 ? 3 : 4) * (128 + tokens) * 128,
                .buffer(EmulatedBuffer(Array(x[rows.lowerBound * test.inputs..<rows.upperBound * test.inputs]))),
                .buffer(EmulatedBuffer(w)), .buffer(EmulatedBuffer(bias)), y, .buffer(partial), .buffer(counters),
                .int(rows.count), .int(test.outputs), .int(test.inputs), .int(test.splits), .int(last))
            // Ready for the next launch.
            #expect(counters.values.allSatisfy { $0 == 0 })
        }

        func product(tokens: Int, sharing: Bool, rows: Range<Int>) throws -> [Float] {
            let wanted = rows.lowerBound * test.outputs..<rows.upperBound * test.outputs
            let y = test.accumulate
                ? EmulatedBuffer(Array(start[wanted])) : EmulatedBuffer<Float>(count: wanted.count)
            try launch(
                "mr_gemm", tokens: tokens, rows: rows, tiles: (test.outputs + 127) / 128, sharing: sharing,
                last: test.accumulate ? 1 : 0, into: .buffer(y))
            return y.values
        }

        func gated(tokens: Int, sharing: Bool, rows: Range<Int>) throws -> [BFloat16] {
            let y = EmulatedBuffer<BFloat16>(count: rows.count * test.outputs / 2)
            try launch(
                "mr_gemm_gated", tokens: tokens, rows: rows, tiles: (test.outputs / 2 + 63) / 64, sharing: sharing,
                last: 3, into: .buffer(y))
            return y.values
        }

        /// Exact sums, and the sums of the terms' magnitudes.
        func exact(_ row: Int, _ output: Int) -> (sum: Double, norm: Double) {
            var (sum, norm) = (Double(bias[output]), abs(Double(bias[output])))
            for input in 0..<test.inputs {
                let term = Double(x[row * test.inputs + input].float) * Double(w[output * test.inputs + input].float)
                (sum, norm) = (sum + term, norm + abs(term))
            }
            return (sum, norm)
        }
    }

    @Test(arguments: cases)
    func matchesDoublePrecision(_ test: Case) throws {
        let bench = Bench(test)
        let found = try bench.product(tokens: 16, sharing: false, rows: 0..<test.rows)
        let gated = try bench.gated(tokens: 16, sharing: false, rows: 0..<test.rows)
        for row in 0..<test.rows {
            for output in 0..<test.outputs {
                let at = row * test.outputs + output
                let (sum, norm) = bench.exact(row, output)
                let before = test.accumulate ? Double(bench.start[at]) : 0
                let most = (norm + abs(before)) * Double(test.inputs + 4) * 0x1p-24
                try #require(abs(Double(found[at]) - sum - before) <= most, "row \(row), output \(output)")
                guard output < test.outputs / 2 else { continue }
                let up = bench.exact(row, test.outputs / 2 + output)
                let wanted = max(0, sum) * up.sum
                let slack = Double(test.inputs + 4) * 0x1p-24 * (norm * abs(up.sum) + up.norm * abs(sum) + 0.01)
                let value = Double(gated[row * test.outputs / 2 + output].float)
                try #require(abs(value - wanted) <= abs(wanted) * 0x1p-8 + slack, "row \(row), pair \(output)")
            }
        }
    }

    /// A row's bits are the same in every tile height, with splits in one block or in many, and alone.
    @Test(arguments: cases)
    func tilesSplitsAndCompanyDoNotShow(_ test: Case) throws {
        let bench = Bench(test)
        let all = 0..<test.rows
        let whole = try bench.product(tokens: 128, sharing: false, rows: all)
        let gated = try bench.gated(tokens: 128, sharing: false, rows: all)
        let row = test.rows / 2
        let alone = row * test.outputs..<(row + 1) * test.outputs
        for tokens in [16, 32, 64, 128] {
            for sharing in [false, true] {
                #expect(try bench.product(tokens: tokens, sharing: sharing, rows: all) == whole)
                #expect(try bench.gated(tokens: tokens, sharing: sharing, rows: all) == gated)
                #expect(
                    try bench.product(tokens: tokens, sharing: sharing, rows: row..<row + 1) == Array(whole[alone]))
            }
        }
    }

    @Test func splitsFollowFromTheMatrixAlone() {
        #expect(CUDALaunchGemm.splits(outputs: 4096, inputs: 4096) == 4)
        #expect(CUDALaunchGemm.splits(outputs: 4096, inputs: 14336) == 4)
        #expect(CUDALaunchGemm.splits(outputs: 28672, inputs: 4096) == 1)
        #expect(CUDALaunchGemm.splits(outputs: 576, inputs: 576) == 1)
        for rows in [1, 16, 17, 64, 65, 8192] {
            let launch = CUDALaunchGemm(rows: rows, outputs: 4096, inputs: 4096)
            #expect(launch.splits == 4 && [1, 4].contains(launch.shape.grid.z))
            #expect(launch.shape.sharedBytes <= 99 << 10)
            #expect((launch.workspace.partial > 0) == (launch.shape.grid.z > 1))
            #expect(launch.shape.grid.x * launch.tokens >= rows)
        }
    }
}
