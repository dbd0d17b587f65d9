import DeviceChecks
import Testing

@testable import Kernels

/// Weights that stay as the checkpoint stores them: every product has the bits that widened weights give.
@Suite struct StoredWeightsTests {
    static let types = TensorType.allCases.filter { $0.blockElements > 1 }

    /// The same device twice: with weights widened at once, and when they are used.
    private struct Pair {
        let widened, stored: KernelBench

        init(_ setting: KernelSetting) throws {
            var keeping = setting
            keeping.keepsQuantised = true
            widened = try KernelBench(setting, threads: 3)
            stored = try KernelBench(keeping, threads: 3)
        }

        /// Both products of `rows` random rows, which must be equal.
        func compare(
            _ parts: [MatrixSource], rows: Int, isGated: Bool = false, _ random: inout RandomNumbers
        ) throws {
            let x = random.floats(rows * parts[0].inputs, in: -2...2)
            let results = try [widened, stored].map { bench in
                let matrix = try bench.device.makeMatrix(stacking: parts)
                try bench.device.begin(.single(rows: rows))
                let y = try bench.poisoned(rows: rows, width: isGated ? matrix.outputs / 2 : matrix.outputs)
                let input = try bench.activation(x, rows: rows)
                if isGated {
                    bench.device.gatedLinear(input, matrix, bias: nil, function: .silu, into: y)
                } else {
                    bench.device.linear(input, matrix, bias: nil, accumulate: false, into: y)
                }
                return bench.values(y, rows: rows)
            }
            #expect(results[0].allSatisfy { $0.isFinite })
            #expect(results[1].map(\.bitPattern) == results[0].map(\.bitPattern), "\(rows) rows")
        }
    }

    /// Up to four rows are multiplied as weights are widened, more by widened panels; 75 outputs are three panels.
    @Test(arguments: KernelSetting.all, types)
    func anyNumberOfRows(_ setting: KernelSetting, _ type: TensorType) throws {
        var random = RandomNumbers(seed: UInt64(type.rawValue))
        let pair = try Pair(setting)
        let tensor = CPUMatrixTests.tensor(of: type, rows: 75, columns: 512, &random)
        for rows in [1, 2, 3, 4, 5, 13, 33, 70] { try pair.compare([MatrixSource(tensor)], rows: rows, &random) }
    }

    /// As files mix them: parts of several types, rows in another order, and gate beside up.
    @Test(arguments: KernelSetting.all) func partsOfSeveralTypes(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 5)
        let pair = try Pair(setting)
        func part(_ type: TensorType, order: [Int]? = nil) -> MatrixSource {
            MatrixSource(CPUMatrixTests.tensor(of: type, rows: 40, columns: 256, &random), rowOrder: order)
        }
        let order = (0..<40).map { $0 / 2 + $0 % 2 * 20 }
        let parts = [part(.q4_K, order: order), part(.q6_K), part(.q4_1), part(.q8_0, order: [39, 0])]
        let gated = [part(.q4_0), part(.q5_K)]
        for rows in [1, 4, 6, 40] {
            try pair.compare(parts, rows: rows, &random)
            try pair.compare(gated, rows: rows, isGated: true, &random)
        }
    }

    /// One part in floats: all are widened.
    @Test func aPartThatIsNotOfBlocksIsWidenedWithTheOthers() throws {
        var random = RandomNumbers(seed: 6)
        let setting = KernelSetting(instructionSet: CPUFeatures.best, computeType: .bfloat16)
        let pair = try Pair(setting)
        let blocks = MatrixSource(CPUMatrixTests.tensor(of: .q4_1, rows: 64, columns: 256, &random))
        let floats = MatrixSource(CPUMatrixTests.tensor(of: .bf16, rows: 64, columns: 256, &random))
        let transposed = MatrixSource(
            CPUMatrixTests.tensor(of: .q4_1, rows: 256, columns: 64, &random), transposed: true)
        try pair.compare([blocks, floats], rows: 6, &random)
        try pair.compare([transposed], rows: 6, &random)
        func bytes(_ bench: KernelBench, _ parts: MatrixSource...) throws -> Int {
            try bench.device.makeMatrix(stacking: parts).bytes
        }
        let (mixed, widened) = (
            try bytes(pair.stored, blocks, floats), try bytes(pair.widened, blocks, floats)
        )
        #expect(mixed == widened)
        // 4 bits, and 64 for 32 of them.
        let stored = try bytes(pair.stored, blocks)
        #expect(stored == 64 * 256 * 6 / 8)
    }

    /// Threads keep the panels that they widened last: those of a matrix that is gone are not its successor's.
    @Test(arguments: KernelSetting.all) func matricesComeAndGo(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 7)
        let pair = try Pair(setting)
        for round in 0..<12 {
            let tensor = CPUMatrixTests.tensor(of: .q4_0, rows: 32, columns: 32 * (1 + round % 2), &random)
            try pair.compare([MatrixSource(tensor)], rows: 9, &random)
        }
    }

    /// A matrix with larger inputs than all before makes the kept panels larger, and older matrices find theirs anew.
    @Test func panelsGrow() throws {
        var random = RandomNumbers(seed: 8)
        let setting = KernelSetting(instructionSet: CPUFeatures.best, computeType: .bfloat16, keepsQuantised: true)
        let bench = try KernelBench(setting)
        func tensor(_ columns: Int) -> MatrixSource {
            MatrixSource(CPUMatrixTests.tensor(of: .q5_1, rows: 32, columns: columns, &random))
        }
        let first = try bench.device.makeMatrix(stacking: [tensor(256)])
        let x = try bench.activation(random.floats(20 * 256), rows: 20)
        func product() throws -> [Float] {
            try bench.device.begin(.single(rows: 20))
            let y = try bench.poisoned(rows: 20, width: 32)
            bench.device.linear(x, first, bias: nil, accumulate: false, into: y)
            return bench.values(y, rows: 20)
        }
        let before = try product()
        let larger = try bench.device.makeMatrix(stacking: [tensor(4096)])
        let after = try product()
        #expect(after == before)
        #expect(larger.inputs == 4096)
    }

    /// Steps that are no numbers, or infinite, make their outputs so, and no others', by any way of multiplying.
    @Test(arguments: KernelSetting.all, [TensorType.q4_0, .q4_1])
    func stepsThatAreNotFinite(_ setting: KernelSetting, _ type: TensorType) throws {
        var random = RandomNumbers(seed: 9)
        let pair = try Pair(setting)
        let tensor = CPUMatrixTests.tensor(of: type, rows: 34, columns: 64, &random)
        let blocks = UnsafeMutableRawBufferPointer(mutating: tensor.bytes)
        for (row, half) in [3: 0x7fff, 20: 0xfc00] {
            blocks[row * tensor.rowBytes] = UInt8(half & 255)
            blocks[row * tensor.rowBytes + 1] = UInt8(half >> 8)
        }
        for rows in [2, 20] {
            let x = random.floats(rows * 64, in: 1...2)
            for bench in [pair.widened, pair.stored] {
                let matrix = try bench.device.makeMatrix(stacking: [MatrixSource(tensor)])
                try bench.device.begin(.single(rows: rows))
                let y = try bench.poisoned(rows: rows, width: 34)
                bench.device.linear(
                    try bench.activation(x, rows: rows), matrix, bias: nil, accumulate: false, into: y)
                for row in 0..<rows {
                    let values = y[row]
                    #expect(values.indices.filter { !values[$0].isFinite } == [3, 20])
                    #expect(values[3].isNaN)
                }
            }
        }
    }

    /// Experts gather their rows, and inputs come rounded, bias and residual are added: as for other matrices.
    @Test(arguments: KernelSetting.all) func everyUseOfAMatrix(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 10)
        let pair = try Pair(setting)
        func part(_ rows: Int, _ columns: Int) -> MatrixSource {
            MatrixSource(CPUMatrixTests.tensor(of: .q4_K, rows: rows, columns: columns, &random))
        }
        let (experts, rows) = (3, 11)
        let gates = (0..<experts).map { _ in [part(256, 256), part(256, 256)] }
        let downs = (0..<experts).map { _ in [part(256, 256)] }
        let router = random.floats(experts * 256)
        let (x, start, bias) = (random.floats(rows * 256), random.floats(rows * 256), random.floats(256))
        let results = try [pair.widened, pair.stored].map { bench in
            let device = bench.device
            try device.begin(.single(rows: rows))
            let y = try bench.activation(start, rows: rows)
            let input = try bench.activation(x, rows: rows)
            device.addMixture(
                input, router: try bench.matrix(router, inputs: 256),
                gateUp: try gates.map { try device.makeMatrix(stacking: $0) },
                down: try downs.map { try device.makeMatrix(stacking: $0) },
                MixtureShape(experts: experts, chosen: 2, renormalise: true, function: .silu), to: y)
            let rounded = try device.makeProductInput(maxRows: rows, width: 256, pieces: 256)
            device.rmsNorm(y, weight: try device.makeVector(bias), epsilon: 1e-5, into: rounded)
            device.linear(
                rounded, try device.makeMatrix(stacking: downs[0]), bias: try device.makeVector(bias),
                accumulate: true, into: y)
            return bench.values(y, rows: rows).map(\.bitPattern)
        }
        #expect(results[0] == results[1])
    }

    @Test func weightsAreOneOrTheOther() {
        #expect(throws: DeviceError.self) {
            try CPUDevice(computeType: .bfloat16, threads: 1, quantizesWeights: true, keepsQuantised: true)
        }
    }

    /// Bytes of a weight: its bits, and its part of a step and an offset.
    @Test(arguments: [(TensorType.q4_0, 0.625), (.q4_1, 0.75), (.q8_0, 1.125), (.q6_K, 1.25), (.q2_K, 1.0)])
    func whatAWeightTakes(_ type: TensorType, _ bytes: Double) {
        #expect(CPUDevice.storedBytes(type) == bytes)
        #expect(CPUDevice.storedBytes(.bf16) == nil)
    }
}
