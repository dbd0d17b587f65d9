import DeviceChecks
import Foundation
import Testing

@testable import Kernels

/// Norms, activation functions, embeddings and rotation against double precision, on every instruction set.
@Suite struct CPURowTests {
    static let widths = [1, 7, 16, 33, 64, 100, 576]
    /// The row kernels do not depend on the compute type.
    static let settings = KernelSetting.all.filter { $0.computeType == .float32 }
    static let rows = 5

    private func expectClose(_ values: [Float], _ exact: [Double], within tolerance: Double) throws {
        try #require(values.count == exact.count)
        for (index, (value, wanted)) in zip(values, exact).enumerated() {
            try #require(
                abs(Double(value) - wanted) <= tolerance * max(1, abs(wanted)),
                "[\(index)]: \(value), exactly \(wanted)")
        }
    }

    @Test(arguments: settings, widths)
    func normsMatch(_ setting: KernelSetting, _ width: Int) throws {
        var random = RandomNumbers(seed: UInt64(width))
        let x = random.floats(Self.rows * width, in: -4...5)
        let start = random.floats(Self.rows * width)
        let weight = random.floats(width, in: 0.5...2)
        let bias = random.floats(width)
        let bench = try KernelBench(setting)
        let device = bench.device
        let w = try device.makeVector(weight)
        let b = try device.makeVector(bias)
        try device.begin(.single(rows: Self.rows))
        let input = try bench.activation(x, rows: Self.rows)
        let rms = try bench.poisoned(rows: Self.rows, width: width)
        let layer = try bench.poisoned(rows: Self.rows, width: width)
        let sum = try bench.activation(start, rows: Self.rows)
        device.rmsNorm(input, weight: w, epsilon: 1e-5, into: rms)
        device.addRMSNorm(input, weight: w, epsilon: 1e-5, to: sum)
        device.layerNorm(input, weight: w, bias: b, epsilon: 1e-5, into: layer)
        for row in 0..<Self.rows {
            let values = x[row * width..<(row + 1) * width].map(Double.init)
            let square = values.map { $0 * $0 }.reduce(0, +) / Double(width)
            let mean = values.reduce(0, +) / Double(width)
            let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(width)
            let normed = zip(values, weight).map { $0 / (square + 1e-5).squareRoot() * Double($1) }
            try expectClose(rms[row], normed, within: 2e-6)
            try expectClose(
                sum[row], (0..<width).map { normed[$0] + Double(start[row * width + $0]) }, within: 2e-6)
            let centered = (0..<width).map {
                (values[$0] - mean) / (variance + 1e-5).squareRoot() * Double(weight[$0]) + Double(bias[$0])
            }
            // With one column, x - mean is all rounding error, magnified by 1/sqrt(epsilon).
            try expectClose(layer[row], centered, within: width == 1 ? 1e-3 : 4e-6)
        }
    }

    @Test(arguments: settings, [2, 16, 40])
    func headNormsTouchTheirHeadsOnly(_ setting: KernelSetting, _ headWidth: Int) throws {
        var random = RandomNumbers(seed: 3)
        let heads = 5
        let x = random.floats(Self.rows * heads * headWidth)
        let weight = random.floats(headWidth)
        let bench = try KernelBench(setting)
        try bench.device.begin(.single(rows: Self.rows))
        let qkv = try bench.activation(x, rows: Self.rows)
        let vector = try bench.device.makeVector(weight)
        bench.device.rmsNormHeads(qkv, heads: 1..<4, headWidth: headWidth, weight: vector, epsilon: 1e-6)
        for (index, head) in (0..<Self.rows * heads).enumerated() {
            let span = head * headWidth..<(head + 1) * headWidth
            let result = Array(bench.values(qkv, rows: Self.rows)[span])
            guard (1..<4).contains(index % heads) else {
                #expect(result == Array(x[span]))
                continue
            }
            let square = x[span].map { Double($0) * Double($0) }.reduce(0, +) / Double(headWidth)
            try expectClose(
                result, zip(x[span], weight).map { Double($0) / (square + 1e-6).squareRoot() * Double($1) },
                within: 2e-6)
        }
    }

    static func exact(_ function: ActivationFunction, _ x: Double) -> Double {
        switch function {
        case .silu: x / (1 + exp(-x))
        case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .gelu: 0.5 * x * (1 + erf(x * 0.5.squareRoot()))
        case .relu: max(0, x)
        }
    }

    @Test(arguments: settings, [ActivationFunction.silu, .geluTanh, .gelu, .relu])
    func activationsMatch(_ setting: KernelSetting, _ function: ActivationFunction) throws {
        // -104...104 in small steps: saturation, the seams of the approximations, and the sign of zero.
        let inputs =
            (-20_000...20_000).map { Float($0) * 0.00052 } + [
                -104, -90, -88.5, -30, 30, 88.5, 90, 104, 0, -0.0,
            ]
        let bench = try KernelBench(setting)
        try bench.device.begin(.single(rows: 1))
        let x = try bench.activation(inputs, rows: 1)
        bench.device.activate(x, function: function)
        for (input, value) in zip(inputs, x[0]) {
            let exact = Self.exact(function, Double(input))
            // Relative to x: 1 + tanh and 1 + erf cancel for negative x, in every float32 implementation.
            try #require(
                abs(Double(value) - exact) <= 3e-7 * max(abs(Double(input)), 1e-30),
                "\(function)(\(input)) = \(value)")
        }
        let odd = try bench.activation([.nan, .infinity, 1], rows: 1)
        bench.device.activate(odd, function: function)
        #expect(odd[0][0].isNaN && odd[0][1] == .infinity)
    }

    @Test(arguments: settings)
    func embeddingsAreLookedUp(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 4)
        let width = 300
        let table = random.floats(9 * width)
        let places = random.floats(40 * width)
        let bench = try KernelBench(setting)
        var batch = PackedBatch.single(rows: 3, start: 17)
        batch.tokens = [8, 0, 3]
        try bench.device.begin(batch)
        let x = try bench.poisoned(rows: 3, width: width)
        bench.device.embed(
            try bench.device.makeTable(WeightTensor(table, shape: [9, width])), scale: 2.5, into: x)
        let positions = try bench.device.makeTable(WeightTensor(places, shape: [40, width]))
        bench.device.addPositions(positions, offset: 2, to: x)
        for (row, token) in batch.tokens.enumerated() {
            let exact = (0..<width).map {
                Double(table[Int(token) * width + $0]) * 2.5 + Double(places[(19 + row) * width + $0])
            }
            try expectClose(x[row], exact, within: 3e-7)
        }
    }

    /// Rotating q and k by their positions: scores depend on distance, and match explicit rotation.
    @Test(arguments: settings, [(32, 16), (32, 8), (20, 10), (6, 1)])
    func rotationMatches(_ setting: KernelSetting, _ shape: (headWidth: Int, pairs: Int)) throws {
        var random = RandomNumbers(seed: 6)
        let rows = 4
        let start = 300
        let width = 3 * shape.headWidth
        let qkv = random.floats(rows * width)
        let frequencies = (0..<shape.pairs).map { pow(0.01, Float($0) / Float(shape.pairs)) }
        let bench = try KernelBench(setting)
        let cache = try bench.device.makeCache(
            CacheShape(layers: 1, keyValueHeads: 1, headWidth: shape.headWidth, blockCount: 20))
        let rotation = try bench.device.makeRotation(
            inverseFrequencies: frequencies, scale: 1.25, maxPositions: 310)
        try bench.device.begin(.single(rows: rows, start: start))
        let x = try bench.activation(qkv, rows: rows)
        bench.device.rotateAndStore(x, rotation: rotation, cache: cache, layer: 0)
        for row in 0..<rows {
            var exact = qkv[row * width..<(row + 1) * width].map(Double.init)
            for head in 0..<2 {
                for pair in 0..<shape.pairs {
                    let angle = Double(Float(start + row) * frequencies[pair])
                    let i = head * shape.headWidth + pair
                    let j = i + shape.pairs
                    (exact[i], exact[j]) = (
                        1.25 * (exact[i] * cos(angle) - exact[j] * sin(angle)),
                        1.25 * (exact[j] * cos(angle) + exact[i] * sin(angle))
                    )
                }
            }
            try expectClose(x[row], exact, within: 4e-7)
        }
    }
}
