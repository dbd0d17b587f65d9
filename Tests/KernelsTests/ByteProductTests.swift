import DeviceChecks
import Testing

@testable import Kernels

/// Products of weights and inputs rounded to bytes.
@Suite struct ByteProductTests {
    /// One group of a row as it is rounded: its largest value comes to 127.
    private struct Group {
        var bytes: [Int]
        var scale: Double

        init(_ values: ArraySlice<Float>) {
            let largest = values.map(abs).max() ?? 0
            guard largest > 1e-36 else {
                (bytes, scale) = (values.map { _ in 0 }, 0)
                return
            }
            let inverse = 127 / largest
            bytes = values.map { Int(($0 * inverse).rounded(.toNearestOrEven)) }
            scale = Double(largest / 127)
        }
    }

    /// Groups of 64 inputs each, the last one of what is left.
    private static func groups(_ row: ArraySlice<Float>) -> [Group] {
        stride(from: row.startIndex, to: row.endIndex, by: 64).map { Group(row[$0..<min($0 + 64, row.endIndex)]) }
    }

    @Test(arguments: KernelSetting.bytes, CPULinearTests.shapes)
    func isTheProductOfWhatWasRounded(
        _ setting: KernelSetting, _ shape: (rows: Int, inputs: Int, outputs: Int)
    ) throws {
        var random = RandomNumbers(seed: 17)
        let bench = try KernelBench(setting)
        let x = random.floats(shape.rows * shape.inputs, in: -3...3)
        let w = random.floats(shape.outputs * shape.inputs)
        let result = try bench.linear(x: x, rows: shape.rows, w: w, inputs: shape.inputs, outputs: shape.outputs)
        let weights = (0..<shape.outputs).map { Self.groups(w[$0 * shape.inputs..<($0 + 1) * shape.inputs]) }
        for r in 0..<shape.rows {
            let row = Self.groups(x[r * shape.inputs..<(r + 1) * shape.inputs])
            for (n, output) in weights.enumerated() {
                var (expected, norm) = (0.0, 0.0)
                for (a, b) in zip(row, output) {
                    let sum = zip(a.bytes, b.bytes).reduce(0) { $0 + $1.0 * $1.1 }
                    expected += Double(sum) * a.scale * b.scale
                    norm += abs(Double(sum)) * a.scale * b.scale
                }
                // Sums of a group are exact; scales and groups are float32.
                let tolerance = norm * 0x1p-23 * Double(row.count + 2)
                try #require(abs(Double(result[r * shape.outputs + n]) - expected) <= tolerance)
            }
        }
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
        // Uniform values rounded to 1/254 of their range, twice: 0.5% of each factor, deviations of both added up.
        #expect((error / norm).squareRoot() < 0.01)
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
