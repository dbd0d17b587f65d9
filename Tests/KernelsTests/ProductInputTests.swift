import DeviceChecks
import Testing

@testable import Kernels

/// Activations that only products read: rounded where they are made, and to the bits that the product would round to.
@Suite struct ProductInputTests {
    private static let rows = 37

    private struct Bench {
        let bench: KernelBench
        let setting: KernelSetting
        var random = RandomNumbers(seed: 11)
        var device: CPUDevice { bench.device }

        init(_ setting: KernelSetting) throws {
            self.setting = setting
            bench = try KernelBench(setting, threads: 3)
            try device.begin(.single(rows: rows))
        }

        mutating func activation(_ width: Int) throws -> CPUActivation {
            try bench.activation(random.floats(rows * width, in: -2...2), rows: rows)
        }

        /// `make` into both kinds of activation: the same but for rounding; and the same products of both.
        mutating func compare(width: Int, pieces: Int, _ make: (CPUDevice, CPUActivation) throws -> Void) throws {
            let plain = try device.makeActivation(maxRows: rows, width: width)
            let input = try device.makeProductInput(maxRows: rows, width: width, pieces: pieces)
            let isRounded = setting.computeType == .bfloat16 && !setting.quantizesWeights && pieces % 32 == 0
            #expect((input.rounding != nil) == isRounded)
            try make(device, plain)
            try make(device, input)
            let matrix = try bench.matrix(random.floats(40 * width), inputs: width)
            let (y, z) = (
                try bench.poisoned(rows: rows, width: 40), try bench.poisoned(rows: rows, width: 40)
            )
            device.linear(plain, matrix, bias: nil, accumulate: false, into: y)
            device.linear(input, matrix, bias: nil, accumulate: false, into: z)
            for row in 0..<rows {
                let expected = isRounded ? plain[row].map(bfloat16) : plain[row]
                try #require(input[row].map(\.bitPattern) == expected.map(\.bitPattern), "row \(row)")
                try #require(z[row].map(\.bitPattern) == y[row].map(\.bitPattern), "row \(row)'s products")
            }
            bench.expectNoFaults()
        }
    }

    private static let settings = KernelSetting.all + KernelSetting.bytes

    @Test(arguments: settings, [64, 96, 40, 2080]) func norms(_ setting: KernelSetting, _ width: Int) throws {
        var test = try Bench(setting)
        let x = try test.activation(width)
        let weight = try test.device.makeVector(test.random.floats(width))
        let bias = try test.device.makeVector(test.random.floats(width))
        try test.compare(width: width, pieces: width) { device, y in
            device.rmsNorm(x, weight: weight, epsilon: 1e-5, into: y)
        }
        try test.compare(width: width, pieces: width) { device, y in
            device.layerNorm(x, weight: weight, bias: bias, epsilon: 1e-5, into: y)
        }
    }

    @Test(arguments: settings, [32, 96, 70, 320]) func gatedProducts(_ setting: KernelSetting, _ width: Int) throws {
        var test = try Bench(setting)
        let x = try test.activation(64)
        let matrix = try test.bench.matrix(
            test.random.floats(width * 64), test.random.floats(width * 64), inputs: 64)
        let bias = try test.device.makeVector(test.random.floats(2 * width))
        try test.compare(width: width, pieces: width) { device, y in
            device.gatedLinear(x, matrix, bias: bias, function: .silu, into: y)
        }
    }

    /// Groups of 3 and of 20, which is more than a tile of queries has.
    @Test(arguments: settings, [(6, 2, 32), (20, 1, 64), (4, 2, 20)])
    func attention(_ setting: KernelSetting, _ heads: (queries: Int, keyValues: Int, width: Int)) throws {
        var test = try Bench(setting)
        let qkv = try test.activation((heads.queries + 2 * heads.keyValues) * heads.width)
        let cache = try test.device.makeCache(
            CacheShape(layers: 1, keyValueHeads: heads.keyValues, headWidth: heads.width, blockCount: 4))
        test.device.rotateAndStore(qkv, rotation: nil, cache: cache, layer: 0)
        let shape = AttentionShape(
            queryHeads: heads.queries, keyValueHeads: heads.keyValues, headWidth: heads.width, scale: 0.2)
        try test.compare(width: heads.queries * heads.width, pieces: heads.width) { device, y in
            device.attention(qkv, cache: cache, layer: 0, shape, into: y)
        }
    }

    @Test(arguments: settings) func gatheredRows(_ setting: KernelSetting) throws {
        var test = try Bench(setting)
        let x = try test.activation(64)
        let weight = try test.device.makeVector(test.random.floats(64))
        try test.compare(width: 64, pieces: 64) { device, y in
            let normed =
                try y.rounding == nil
                ? device.makeActivation(maxRows: Self.rows, width: 64)
                : device.makeProductInput(maxRows: Self.rows, width: 64, pieces: 64)
            device.rmsNorm(x, weight: weight, epsilon: 1e-5, into: normed)
            device.gatherLogitRows(normed, range: 0..<Self.rows, into: y)
        }
    }
}
