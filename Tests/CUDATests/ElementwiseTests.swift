import DeviceChecks
import Foundation
import Kernels
import Testing

/// Row kernels on the emulation against double precision. Buffers start as NaN, rows beside each other hold
/// NaN in turn.
@Suite struct ElementwiseTests {
    static let widths = [1, 3, 7, 8, 12, 31, 64, 100, 255, 576, 2048, 2056, 3001]
    static let rows = 3

    private struct NormCase {
        var x: [Float]
        var weight: [Float]
        var bias: [Float]
        var start: [Float]
    }

    private func normCase(width: Int) -> NormCase {
        var random = RandomNumbers(seed: UInt64(width))
        return NormCase(
            x: random.floats(Self.rows * width, in: -4...5), weight: random.floats(width, in: 0.5...2),
            bias: random.floats(width), start: random.floats(Self.rows * width))
    }

    /// The exact norms of a row: RMS, and about the mean.
    private func exactNorms(_ row: ArraySlice<Float>, _ c: NormCase) -> (rms: [Double], layer: [Double]) {
        let values = row.map(Double.init)
        let count = Double(values.count)
        let square = values.map { $0 * $0 }.reduce(0, +) / count
        let mean = values.reduce(0, +) / count
        let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / count
        let rms = zip(values, c.weight).map { $0 / (square + 1e-5).squareRoot() * Double($1) }
        let layer = values.indices.map { i in
            (values[i] - mean) / (variance + 1e-5).squareRoot() * Double(c.weight[i]) + Double(c.bias[i])
        }
        return (rms, layer)
    }

    @Test(arguments: widths)
    func normsMatch(_ width: Int) throws {
        let c = normCase(width: width)
        let (x, weight, bias) = (EmulatedBuffer(c.x), EmulatedBuffer(c.weight), EmulatedBuffer(c.bias))
        let rms = EmulatedBuffer<BFloat16>(count: Self.rows * width)
        let layer = EmulatedBuffer<BFloat16>(count: Self.rows * width)
        let sum = EmulatedBuffer(c.start)
        try emulate(
            "mr_rms_norm", grid: (Self.rows, 1, 1), block: 256, .buffer(x), .buffer(weight), .float(1e-5),
            .buffer(rms), .int(width))
        try emulate(
            "mr_add_rms_norm", grid: (Self.rows, 1, 1), block: 256, .buffer(x), .buffer(weight), .float(1e-5),
            .buffer(sum), .int(width))
        try emulate(
            "mr_layer_norm", grid: (Self.rows, 1, 1), block: 256, .buffer(x), .buffer(weight), .buffer(bias),
            .float(1e-5), .buffer(layer), .int(width))
        for row in 0..<Self.rows {
            let span = row * width..<(row + 1) * width
            let exact = exactNorms(c.x[span], c)
            try expectRounded(Array(rms.values[span]), exact.rms)
            // With one column, x - mean is all rounding error, magnified by 1/sqrt(epsilon).
            try expectRounded(Array(layer.values[span]), exact.layer, arithmetic: width == 1 ? 1e-3 : 4e-6)
            try expectClose(
                Array(sum.values[span]), zip(exact.rms, c.start[span]).map { $0 + Double($1) }, within: 2e-6)
        }
    }

    /// A row's bits depend on the row alone: not on its place, its neighbours, or the order of threads.
    @Test(arguments: ["mr_rms_norm", "mr_layer_norm", "mr_gate", "mr_add_rms_norm"], [8, 14, 576, 2056])
    func aRowStaysTheSame(_ kernel: String, _ width: Int) throws {
        let c = normCase(width: width)
        let alone = Array(c.x[width..<2 * width])
        let (weight, bias) = (EmulatedBuffer(c.weight), EmulatedBuffer(c.bias))
        // Float32 results as two halves of their bits.
        func norm(_ rows: [[Float]], order: UInt32) throws -> [[BFloat16]] {
            let x = EmulatedBuffer(rows.flatMap { $0 })
            let y = EmulatedBuffer<BFloat16>(count: rows.count * width)
            let sums = EmulatedBuffer(rows.flatMap { _ in Array(c.start[..<width]) })
            let arguments: [KernelArgument] =
                switch kernel {
                case "mr_rms_norm": [.buffer(x), .buffer(weight), .float(1e-5), .buffer(y), .int(width)]
                case "mr_layer_norm":
                    [.buffer(x), .buffer(weight), .buffer(bias), .float(1e-5), .buffer(y), .int(width)]
                case "mr_gate": [.buffer(x), .buffer(bias), .int(0), .buffer(y), .int(width / 2)]
                default: [.buffer(x), .buffer(weight), .float(1e-5), .buffer(sums), .int(width)]
                }
            try inOrder(order) {
                try emulate(kernel, grid: (rows.count, 1, 1), block: 256, arguments: arguments)
            }
            if kernel == "mr_add_rms_norm" {
                let halves = sums.values.flatMap { sum in
                    [16, 0].map { BFloat16(bits: UInt16(truncatingIfNeeded: sum.bitPattern >> $0)) }
                }
                return rows.indices.map { Array(halves[2 * $0 * width..<2 * ($0 + 1) * width]) }
            }
            let (values, share) = (y.values, kernel == "mr_gate" ? width / 2 : width)
            return rows.indices.map { Array(values[$0 * share..<($0 + 1) * share]) }
        }
        let nan = [Float](repeating: .nan, count: width)
        let expected = try norm([alone], order: 0)[0]
        for order in threadOrders {
            let among = try norm([nan, alone, nan, alone], order: order)
            #expect(among[1] == expected)
            #expect(among[3] == expected)
        }
    }

    @Test(arguments: [1, 6, 16, 40, 64, 80, 128, 256, 300])
    func headNormsTouchTheirHeadsOnly(_ headWidth: Int) throws {
        var random = RandomNumbers(seed: 3)
        let heads = 5
        let x = random.floats(Self.rows * heads * headWidth)
        let weight = random.floats(headWidth)
        let qkv = EmulatedBuffer(x)
        try emulate(
            "mr_rms_norm_heads", grid: (Self.rows, 3, 1), block: 32, .buffer(qkv), .int(heads * headWidth), .int(1),
            .int(headWidth), .buffer(EmulatedBuffer(weight)), .float(1e-6))
        for head in 0..<Self.rows * heads {
            let span = head * headWidth..<(head + 1) * headWidth
            let result = Array(qkv.values[span])
            guard (1..<4).contains(head % heads) else {
                #expect(result == Array(x[span]))
                continue
            }
            let square = x[span].map { Double($0) * Double($0) }.reduce(0, +) / Double(headWidth)
            try expectClose(
                result, zip(x[span], weight).map { Double($0) / (square + 1e-6).squareRoot() * Double($1) },
                within: 2e-6)
        }
    }

    static func exact(_ function: Int, _ x: Double) -> Double {
        switch function {
        case 0: x / (1 + exp(-x))
        case 1: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case 2: 0.5 * x * (1 + erf(x * 0.5.squareRoot()))
        default: max(0, x)
        }
    }

    static let activationInputs: [Float] =
        (-3000...3000).map { Float($0) * 0.0347 } + [-88.5, -30, 30, 88.5, 90, 104, 0, -0.0]

    @Test(arguments: 0..<4)
    func activationsMatch(_ function: Int) throws {
        let inputs = Self.activationInputs + [.nan, .infinity]
        let count = inputs.count
        let y = EmulatedBuffer<BFloat16>(count: count)
        try emulate(
            "mr_activate", grid: (3, 1, 1), block: 256, .buffer(EmulatedBuffer(inputs)), .int(function), .buffer(y),
            .longLong(count))
        let values = y.values
        for (input, value) in zip(Self.activationInputs, values) {
            // Relative to x: 1 + tanh and 1 + erf cancel for negative x, in every float32 implementation.
            try expectRounded(
                [value], [Self.exact(function, Double(input))], arithmetic: 3e-7 * max(1, abs(Double(input))))
        }
        #expect(values[count - 2].float.isNaN && values[count - 1].float == .infinity)
    }

    @Test(arguments: 0..<4, [1, 5, 8, 96, 300])
    func gatesMatch(_ function: Int, _ width: Int) throws {
        var random = RandomNumbers(seed: UInt64(width))
        let x = random.floats(Self.rows * 2 * width, in: -3...3)
        let bias = random.floats(2 * width)
        for bias in [bias, nil] {
            for columns in [1, 2] {
                let y = EmulatedBuffer<BFloat16>(count: Self.rows * width)
                try emulate(
                    "mr_gate", grid: (Self.rows, columns, 1), block: 256, .buffer(EmulatedBuffer(x)),
                    .buffer(bias.map { EmulatedBuffer($0) }), .int(function), .buffer(y), .int(width))
                let exact = (0..<Self.rows * width).map { (at: Int) -> Double in
                    let c = at % width
                    let start = at / width * 2 * width
                    let gate = Double(x[start + c]) + Double(bias?[c] ?? 0)
                    let up = Double(x[start + width + c]) + Double(bias?[width + c] ?? 0)
                    return Self.exact(function, gate) * up
                }
                try expectRounded(y.values, exact)
            }
        }
    }

    @Test(arguments: [1, 9, 16, 100, 4099])
    func smallOperationsMatch(_ width: Int) throws {
        var random = RandomNumbers(seed: UInt64(width))
        let count = Self.rows * width
        let x = random.floats(count, in: -40...40)
        let bias = random.floats(width)
        let sums = EmulatedBuffer(x)
        try emulate(
            "mr_add_bias", grid: (Self.rows, 2, 1), block: 256, .buffer(sums),
            .buffer(EmulatedBuffer(bias)), .int(width))
        let exactSums = x.indices.map { (at: Int) -> Float in x[at] + bias[at % width] }
        #expect(sums.values == exactSums)

        let capped = EmulatedBuffer(x)
        try emulate("mr_soft_cap", grid: (2, 1, 1), block: 256, .buffer(capped), .float(30), .longLong(count))
        try expectClose(capped.values, x.map { 30 * tanh(Double($0) / 30) }, within: 1e-6)

        let rounded = EmulatedBuffer<BFloat16>(count: count)
        try emulate(
            "mr_round", grid: (2, 1, 1), block: 256, .buffer(EmulatedBuffer(x)), .buffer(rounded), .longLong(count))
        let exactRounded = x.map(BFloat16.init)
        #expect(rounded.values == exactRounded)

        let wanted: [Int32] = [2, 0, 2, 1]
        let gathered = EmulatedBuffer<BFloat16>(count: wanted.count * width)
        try emulate(
            "mr_gather_rows", grid: (wanted.count, 1, 1), block: 128, .buffer(rounded), .buffer(EmulatedBuffer(wanted)),
            .buffer(gathered), .int(width))
        #expect(gathered.values == picked(wanted.map(Int.init), of: exactRounded, width: width))
    }
}
