import DeviceChecks
import Testing

@testable import Kernels

/// Products of weights and inputs rounded to bytes.
@Suite struct ByteProductTests {
    /// A row, turned and rounded: its largest value comes to 127.
    private struct Rounded {
        var bytes: [Int]
        var scale: Double

        init(_ row: ArraySlice<Float>) {
            let values = Self.turned(row.map(Double.init))
            let largest = values.map(abs).max() ?? 0
            guard largest > 1e-36 else {
                (bytes, scale) = (values.map { _ in 0 }, 0)
                return
            }
            bytes = values.map { Int(($0 * 127 / largest).rounded(.toNearestOrEven)) }
            scale = largest / 127
        }

        /// By Hadamard matrices, from their definition: the sign of (i, k) is that of the bits i and k have in common.
        static func turned(_ row: [Double]) -> [Double] {
            var result: [Double] = []
            while result.count < row.count {
                var block = 512
                while block > row.count - result.count { block /= 2 }
                let values = row[result.count..<result.count + block]
                for i in 0..<block {
                    let sum = zip(0..., values).reduce(0.0) {
                        $0 + ((i & $1.0).nonzeroBitCount % 2 == 0 ? $1.1 : -$1.1)
                    }
                    result.append(sum / Double(block).squareRoot())
                }
            }
            return result
        }
    }

    /// A turned value may lie so near the middle of two bytes that float32 takes the other one: each such input may
    /// differ by one step.
    @Test(arguments: KernelSetting.bytes, CPULinearTests.shapes)
    func isTheProductOfWhatWasRounded(
        _ setting: KernelSetting, _ shape: (rows: Int, inputs: Int, outputs: Int)
    ) throws {
        var random = RandomNumbers(seed: 17)
        let bench = try KernelBench(setting)
        let x = random.floats(shape.rows * shape.inputs, in: -3...3)
        let w = random.floats(shape.outputs * shape.inputs)
        let result = try bench.linear(x: x, rows: shape.rows, w: w, inputs: shape.inputs, outputs: shape.outputs)
        let weights = (0..<shape.outputs).map { Rounded(w[$0 * shape.inputs..<($0 + 1) * shape.inputs]) }
        for r in 0..<shape.rows {
            let row = Rounded(x[r * shape.inputs..<(r + 1) * shape.inputs])
            for (n, output) in weights.enumerated() {
                let sum = zip(row.bytes, output.bytes).reduce(0) { $0 + $1.0 * $1.1 }
                let expected = Double(sum) * row.scale * output.scale
                let tolerance = abs(expected) * 1e-5 + 2 * 127 * row.scale * output.scale
                try #require(abs(Double(result[r * shape.outputs + n]) - expected) <= tolerance)
            }
        }
    }

    /// Few large inputs among small ones, as transformers have them: without turning, the small ones would come to less
    /// than a step.
    @Test(arguments: KernelSetting.bytes)
    func smallInputsSurviveLargeOnes(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 22)
        let (inputs, outputs) = (576, 64)
        var x = random.floats(inputs)
        x[100] = 300
        x[333] = -200
        var w = random.floats(outputs * inputs)
        // The large ones themselves meet no weight.
        for n in 0..<outputs { (w[n * inputs + 100], w[n * inputs + 333]) = (0, 0) }
        let result = try KernelBench(setting).linear(x: x, rows: 1, w: w, inputs: inputs, outputs: outputs)
        var (error, norm) = (0.0, 0.0)
        for n in 0..<outputs {
            let exact = (0..<inputs).reduce(0.0) { $0 + Double(x[$1]) * Double(w[n * inputs + $1]) }
            error += (Double(result[n]) - exact) * (Double(result[n]) - exact)
            norm += exact * exact
        }
        #expect((error / norm).squareRoot() < 0.25)
    }

    @Test(arguments: KernelSetting.bytes)
    func staysNearTheUnroundedProduct(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 18)
        let (rows, inputs, outputs) = (9, 600, 64)
        let x = random.floats(rows * inputs, in: -3...3)
        let w = random.floats(outputs * inputs)
        let result = try KernelBench(setting).linear(x: x, rows: rows, w: w, inputs: inputs, outputs: outputs)
        var (error, norm) = (0.0, 0.0)
        for r in 0..<rows {
            for n in 0..<outputs {
                let exact = (0..<inputs).reduce(0.0) {
                    $0 + Double(x[r * inputs + $1]) * Double(w[n * inputs + $1])
                }
                error += (Double(result[r * outputs + n]) - exact) * (Double(result[r * outputs + n]) - exact)
                norm += exact * exact
            }
        }
        // The largest of 512 turned values is about 3.3 deviations: 0.75% of each factor, deviations of both added up.
        #expect((error / norm).squareRoot() < 0.013)
    }

    @Test func everyInstructionSetGivesTheSameBits() throws {
        var random = RandomNumbers(seed: 19)
        let x = random.floats(13 * 131, in: -3...3)
        let w = random.floats(70 * 131)
        let results = try KernelSetting.bytes.map {
            try KernelBench($0).linear(x: x, rows: 13, w: w, inputs: 131, outputs: 70).map(\.bitPattern)
        }
        for result in results { #expect(result == results[0]) }
    }

    @Test(arguments: KernelSetting.bytes)
    func whatIsNotANumberStaysInItsRow(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 20)
        let (rows, inputs, outputs) = (5, 70, 40)
        var x = random.floats(rows * inputs)
        for column in 0..<inputs { x[2 * inputs + column] = 0 }
        let w = random.floats(outputs * inputs)
        let clean = try KernelBench(setting).linear(x: x, rows: rows, w: w, inputs: inputs, outputs: outputs)
        #expect(clean[2 * outputs..<3 * outputs].allSatisfy { $0 == 0 })
        x[1 * inputs + 69] = .nan
        x[3 * inputs] = -.infinity
        let result = try KernelBench(setting).linear(x: x, rows: rows, w: w, inputs: inputs, outputs: outputs)
        for row in [1, 3] {
            #expect(result[row * outputs..<(row + 1) * outputs].allSatisfy { !$0.isFinite }, "row \(row)")
        }
        for row in [0, 2, 4] {
            #expect(
                result[row * outputs..<(row + 1) * outputs] == clean[row * outputs..<(row + 1) * outputs],
                "row \(row)")
        }
    }

    /// Such sources are bfloat16 on a device that rounds others.
    @Test(arguments: KernelSetting.bytes, [true, false])
    func someSourcesKeepTheirPrecision(_ setting: KernelSetting, transposed: Bool) throws {
        var random = RandomNumbers(seed: 21)
        let (inputs, outputs) = (64, 32)
        let w = random.floats(inputs * outputs)
        var source = MatrixSource(WeightTensor(w, shape: [outputs, inputs]))
        if transposed {
            source = MatrixSource(WeightTensor(w, shape: [inputs, outputs]), transposed: true)
        } else {
            source.keepsPrecision = true
        }
        let quantizing = try KernelBench(setting).device
        var plain = setting
        plain.quantizesWeights = false
        let exact = try KernelBench(plain).device
        #expect(try quantizing.makeMatrix(stacking: [source]).bytes == exact.makeMatrix(stacking: [source]).bytes)
        let tensor = MatrixSource(WeightTensor(w, shape: [outputs, inputs]))
        #expect(try quantizing.makeMatrix(stacking: [tensor]).bytes < exact.makeMatrix(stacking: [tensor]).bytes)
    }

    @Test func refusedWhereTheCPULacksIt() {
        for set in CPUFeatures.available where !set.multipliesBytes {
            #expect(throws: DeviceError.self) { try CPUDevice(instructionSet: set, quantizesWeights: true) }
        }
    }
}
