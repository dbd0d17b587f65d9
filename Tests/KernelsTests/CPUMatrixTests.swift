import DeviceChecks
import Foundation
import Testing

@testable import Kernels

/// What matrices are made of: stacked parts, row orders, transposed tensors, every tensor type; gates, caps, experts.
@Suite struct CPUMatrixTests {
    @Test(arguments: KernelSetting.all)
    func partsRowOrdersAndTransposesAreUndone(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 21)
        let inputs = 45
        let rows = 3
        let first = random.floats(40 * inputs)
        let second = random.floats(inputs * 35)
        let x = random.floats(rows * inputs)
        let order = [39, 3, 3, 0, 17]
        let columns = [34, 1, 0]
        let bench = try KernelBench(setting)
        let matrix = try bench.device.makeMatrix(stacking: [
            MatrixSource(WeightTensor(first, shape: [40, inputs]), rowOrder: order),
            MatrixSource(WeightTensor(second, shape: [inputs, 35]), transposed: true),
            MatrixSource(WeightTensor(first, shape: [40, inputs])),
            MatrixSource(WeightTensor(second, shape: [inputs, 35]), transposed: true, rowOrder: columns),
        ])
        #expect(matrix.outputs == 5 + 35 + 40 + 3)
        var plain = order.flatMap { first[$0 * inputs..<($0 + 1) * inputs] }
        plain += (0..<35).flatMap { column in (0..<inputs).map { second[$0 * 35 + column] } }
        plain += first
        plain += columns.flatMap { column in (0..<inputs).map { second[$0 * 35 + column] } }
        let expected = try bench.linear(x: x, rows: rows, w: plain, inputs: inputs, outputs: 83)
        let y = try bench.poisoned(rows: rows, width: 83)
        bench.device.linear(
            try bench.activation(x, rows: rows), matrix, bias: nil, accumulate: false, into: y)
        #expect(bench.values(y, rows: rows) == expected)
    }

    /// Each tensor type, repacked: equal to multiplying by its dequantised values.
    @Test(arguments: KernelSetting.all, TensorType.allCases)
    func everyTypeIsRepacked(_ setting: KernelSetting, _ type: TensorType) throws {
        var random = RandomNumbers(seed: UInt64(type.rawValue))
        let inputs = 512
        let outputs = 37
        let rows = 2
        let tensor = Self.tensor(of: type, rows: outputs, columns: inputs, &random)
        let values = (0..<outputs).flatMap {
            type.dequantize(
                UnsafeRawBufferPointer(rebasing: tensor.bytes[($0 * tensor.rowBytes)...]), count: inputs)
        }
        let x = random.floats(rows * inputs)
        let bench = try KernelBench(setting)
        let expected = try bench.linear(x: x, rows: rows, w: values, inputs: inputs, outputs: outputs)
        let y = try bench.poisoned(rows: rows, width: outputs)
        let matrix = try bench.device.makeMatrix(stacking: [MatrixSource(tensor)])
        bench.device.linear(
            try bench.activation(x, rows: rows), matrix, bias: nil, accumulate: false, into: y)
        #expect(bench.values(y, rows: rows) == expected)
        #expect(expected.allSatisfy { $0.isFinite })
    }

    /// Random quants with finite scales: every 16-bit field of a block that could be a float is made a small one.
    static func tensor(of type: TensorType, rows: Int, columns: Int, _ random: inout RandomNumbers)
        -> WeightTensor
    {
        let blocks = rows * columns / type.blockElements
        var bytes = (0..<blocks * type.blockBytes).map { _ in UInt8(truncatingIfNeeded: random.bits()) }
        let scaleOffsets: [Int] =
            switch type {
            case .f32, .bf16, .f16: []
            case .q8_0, .q4_0, .q5_0, .iq4_NL, .iq4_XS: [0]
            case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
            case .q2_K: [80, 82]
            case .q3_K: [108]
            case .q6_K: [208]
            }
        for block in 0..<blocks {
            for offset in scaleOffsets {
                let half = Float16(random.float() * 0.01).bitPattern
                bytes[block * type.blockBytes + offset] = UInt8(half & 255)
                bytes[block * type.blockBytes + offset + 1] = UInt8(half >> 8)
            }
            guard scaleOffsets.isEmpty else { continue }
            let value = random.float()
            let stored: [UInt8] =
                switch type {
                case .f16: withUnsafeBytes(of: Float16(value).bitPattern) { Array($0) }
                case .bf16: withUnsafeBytes(of: UInt16(bfloat16(value).bitPattern >> 16)) { Array($0) }
                default: withUnsafeBytes(of: value.bitPattern) { Array($0) }
                }
            bytes.replaceSubrange(block * type.blockBytes..<(block + 1) * type.blockBytes, with: stored)
        }
        let owner = TensorBytes(bytes)
        return WeightTensor(
            name: type.name, type: type, shape: [rows, columns], bytes: UnsafeRawBufferPointer(owner.buffer),
            owner: owner)
    }

    @Test(arguments: KernelSetting.all, [ActivationFunction.silu, .geluTanh, .gelu, .relu])
    func gatesMatchTheirParts(_ setting: KernelSetting, _ function: ActivationFunction) throws {
        var random = RandomNumbers(seed: 23)
        let rows = 14
        let inputs = 70
        let outputs = 45
        let x = random.floats(rows * inputs)
        let bias = random.floats(2 * outputs)
        let gate = random.floats(outputs * inputs)
        let up = random.floats(outputs * inputs)
        let bench = try KernelBench(setting)
        let result = try bench.gatedLinear(
            x: x, rows: rows, gate: gate, up: up, inputs: inputs, outputs: outputs, bias: bias,
            function: function)
        let g = try bench.linear(
            x: x, rows: rows, w: gate, inputs: inputs, outputs: outputs, bias: Array(bias[..<outputs]))
        let u = try bench.linear(
            x: x, rows: rows, w: up, inputs: inputs, outputs: outputs, bias: Array(bias[outputs...]))
        for index in result.indices {
            let exact = CPURowTests.exact(function, Double(g[index])) * Double(u[index])
            let scale = abs(Double(g[index]) * Double(u[index]))
            try #require(abs(Double(result[index]) - exact) <= 5e-7 * scale + 1e-30)
        }
    }

    @Test(arguments: KernelSetting.all)
    func logitsAreGatheredAndCapped(_ setting: KernelSetting) throws {
        var random = RandomNumbers(seed: 24)
        let rows = 6
        let inputs = 50
        let outputs = 77
        let x = random.floats(rows * inputs, in: -9...9)
        let w = random.floats(outputs * inputs)
        let bench = try KernelBench(setting)
        let plain = try bench.linear(x: x, rows: rows, w: w, inputs: inputs, outputs: outputs)
        var batch = PackedBatch.single(rows: rows)
        batch.logitRows = [1, 2, 5]
        try bench.device.begin(batch)
        let gathered = try bench.poisoned(rows: 2, width: inputs)
        bench.device.gatherLogitRows(try bench.activation(x, rows: rows), range: 1..<3, into: gathered)
        let matrix = try bench.matrix(w, inputs: inputs)
        for cap in [nil, Float(30)] {
            let logits = try bench.device.logits(gathered, rows: 2, matrix, bias: nil, softCap: cap)
            #expect(logits.rows == 2 && logits.vocabulary == outputs)
            for (index, row) in [2, 5].enumerated() {
                logits.withRow(index) { values in
                    for (n, value) in values.enumerated() {
                        let raw = plain[row * outputs + n]
                        let exact = cap.map { $0 * Float(tanh(Double(raw / $0))) } ?? raw
                        #expect(abs(value - exact) <= 3e-6 * 30)
                    }
                }
            }
        }
    }

    @Test(arguments: KernelSetting.all, [true, false])
    func expertsAreChosenAndAdded(_ setting: KernelSetting, _ renormalise: Bool) throws {
        var random = RandomNumbers(seed: 25)
        let rows = 9
        let hidden = 40
        let inner = 24
        let experts = 6
        let chosen = 2
        let x = random.floats(rows * hidden)
        let router = random.floats(experts * hidden)
        let gates = (0..<experts).map { _ in random.floats(2 * inner * hidden) }
        let downs = (0..<experts).map { _ in random.floats(inner * hidden) }
        let bench = try KernelBench(setting)
        let result = try bench.mixture(
            x: x, rows: rows, router: router, gates: gates, downs: downs, inner: inner,
            MixtureShape(experts: experts, chosen: chosen, renormalise: renormalise, function: .silu))
        let scores = try bench.linear(x: x, rows: rows, w: router, inputs: hidden, outputs: experts)
        for row in 0..<rows {
            let own = (0..<experts).map { exp(Double(scores[row * experts + $0])) }
            let best = (0..<experts).sorted { own[$0] > own[$1] }.prefix(chosen)
            let total = renormalise ? best.map { own[$0] }.reduce(0, +) : own.reduce(0, +)
            var expected = [Double](repeating: 0, count: hidden)
            for expert in best {
                let middle = try bench.gatedLinear(
                    x: Array(x[row * hidden..<(row + 1) * hidden]), rows: 1,
                    gate: Array(gates[expert][..<(inner * hidden)]),
                    up: Array(gates[expert][(inner * hidden)...]), inputs: hidden, outputs: inner,
                    function: .silu)
                let out = try bench.linear(
                    x: middle, rows: 1, w: downs[expert], inputs: inner, outputs: hidden)
                for d in 0..<hidden { expected[d] += own[expert] / total * Double(out[d]) }
            }
            for d in 0..<hidden {
                try #require(
                    abs(Double(result[row * hidden + d]) - expected[d]) <= 2e-6 * max(1, abs(expected[d])))
            }
        }
    }

    @Test func unusableTensorsAreRefused() throws {
        let device = try CPUDevice(threads: 1)
        let good = WeightTensor([Float](repeating: 1, count: 64), shape: [2, 32])
        #expect(throws: DeviceError.self) { try device.makeMatrix(stacking: []) }
        #expect(throws: DeviceError.self) {
            try device.makeMatrix(stacking: [MatrixSource(good), MatrixSource(good, transposed: true)])
        }
        #expect(throws: DeviceError.self) {
            try device.makeMatrix(stacking: [MatrixSource(good, rowOrder: [0, 2])])
        }
        let short = WeightTensor(
            name: "short", type: .f32, shape: [3, 32], bytes: good.bytes, owner: good.owner)
        #expect(throws: DeviceError.self) { try device.makeMatrix(stacking: [MatrixSource(short)]) }
        let ragged = WeightTensor(
            name: "ragged", type: .q8_0, shape: [1, 33], bytes: good.bytes, owner: good.owner)
        #expect(throws: DeviceError.self) { try device.makeTable(ragged) }
        #expect(throws: DeviceError.self) {
            try device.makeCache(
                CacheShape(layers: 1, keyValueHeads: 1, headWidth: 8, blockCount: 1, blockSize: 10))
        }
    }

    @Test func instructionSetsAreNamed() throws {
        #expect(try CPUFeatures.named("scalar") == .scalar)
        #expect(throws: DeviceError.self) { try CPUFeatures.named("sse9") }
        #expect(CPUFeatures.available.first == .scalar)
        for set in CPUFeatures.InstructionSet.allCases where !set.isSupported {
            #expect(throws: DeviceError.self) { try CPUFeatures.named(set.description) }
        }
    }
}
