import DeviceChecks
import Testing

@testable import Kernels

/// Matrix multiplication on every instruction set this machine has.
@Suite struct CPULinearTests {
    /// Rows, inputs, outputs: odd, tiny, and larger than every tile, panel and piece.
    static let shapes: [(rows: Int, inputs: Int, outputs: Int)] = [
        (1, 1, 1), (1, 64, 32), (2, 3, 5), (5, 33, 31), (12, 65, 33), (13, 100, 96), (17, 127, 70),
        (40, 256, 130),
        (70, 600, 64), (150, 1100, 40),
    ]

    @Test(arguments: KernelSetting.all, shapes)
    func matchesDoublePrecision(
        _ setting: KernelSetting, _ shape: (rows: Int, inputs: Int, outputs: Int)
    ) throws {
        var random = RandomNumbers(seed: 7)
        let bench = try KernelBench(setting)
        let x = random.floats(shape.rows * shape.inputs)
        let w = random.floats(shape.outputs * shape.inputs)
        let bias = random.floats(shape.outputs)
        let start = random.floats(shape.rows * shape.outputs)
        let result = try bench.linear(
            x: x, rows: shape.rows, w: w, inputs: shape.inputs, outputs: shape.outputs, bias: bias,
            start: start)
        for r in 0..<shape.rows {
            for n in 0..<shape.outputs {
                var sum = Double(bias[n]) + Double(start[r * shape.outputs + n])
                var norm = 1.0
                for k in 0..<shape.inputs {
                    let a = setting.rounded(x[r * shape.inputs + k])
                    let b = setting.rounded(w[n * shape.inputs + k])
                    sum += Double(a) * Double(b)
                    norm += abs(Double(a) * Double(b))
                }
                let tolerance = 0x1p-23 * Double(shape.inputs + 2) * norm
                try #require(abs(Double(result[r * shape.outputs + n]) - sum) <= tolerance)
            }
        }
    }
}
