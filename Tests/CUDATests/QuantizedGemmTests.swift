import CUDAEmulation
import DeviceChecks
import Kernels
import Testing

/// Products of quantised weights have the bits of products of their widened form.
@Suite(.serialized) struct QuantizedGemmTests {
    struct Case: CustomTestStringConvertible {
        var type: TensorType
        var rows, outputs, blocks, splits: Int
        var accumulate = false
        /// Of 32 elements are taken four times as many and three more: a group of 128 that is not full.
        var inputs: Int { type.blockElements == 32 ? 128 * blocks + 96 : 256 * blocks }
        var testDescription: String { "\(type.name), \(rows) rows, \(inputs) -> \(outputs), \(splits) splits" }
    }

    static let cases = QuantizedWeights.types.flatMap { type in
        [
            Case(type: type, rows: 3, outputs: 130, blocks: 1, splits: 1),
            Case(type: type, rows: 40, outputs: 66, blocks: 5, splits: 2, accumulate: true),
        ]
    }

    @Test(arguments: cases)
    func bitsAreThoseOfWidenedWeights(_ test: Case) throws {
        let (outputs, inputs) = (test.outputs, test.inputs)
        let weights = try QuantizedWeights(test.type, rows: outputs, columns: inputs, seed: 7)
        var random = RandomNumbers(seed: 11)
        let x = EmulatedBuffer(random.floats(test.rows * inputs).map(BFloat16.init))
        let bias = EmulatedBuffer(random.floats(outputs))
        let start = random.floats(test.rows * outputs)
        defer { mr_emulation_order(0) }
        for (index, tokens) in [16, 32, 64].enumerated() {
            mr_emulation_order([0, 1, 77][index])
            let rowTiles = (test.rows + tokens - 1) / tokens
            for sharing in test.splits > 1 ? [false, true] : [false] {
                let tiles = (outputs + 127) / 128
                let partial = EmulatedBuffer<Float>(count: rowTiles * tiles * test.splits * 128 * tokens)
                let counters = EmulatedBuffer([Int32](repeating: 0, count: rowTiles * tiles))
                let (found, wanted) = (EmulatedBuffer(start), EmulatedBuffer(start))
                let shape: [KernelArgument] = [
                    .int(test.rows), .int(outputs), .int(inputs), .int(test.splits), .int(test.accumulate ? 1 : 0),
                ]
                let grid = (rowTiles, tiles, sharing ? test.splits : 1)
                try emulate(
                    "mr_gemm_\(tokens)", grid: grid, block: 128, sharedBytes: 4 * (128 + tokens) * 128,
                    arguments: [
                        .buffer(x), .buffer(weights.widened), .buffer(bias), .buffer(wanted), .buffer(partial),
                        .buffer(counters),
                    ] + shape)
                try emulate(
                    "mr_gemm_quantized_\(tokens)_\(test.type.rawValue)", grid: grid, block: 128,
                    sharedBytes: CUDALaunchGemmQuantized.sharedBytes(.blocks(test.type), tokens: tokens),
                    arguments: [
                        .buffer(x), .buffer(weights.blocks), .longLong(weights.rowBytes), .buffer(bias),
                        .buffer(found), .int(outputs), .buffer(partial), .buffer(counters),
                    ] + shape)
                #expect(found.values == wanted.values)
                #expect(wanted.values.allSatisfy(\.isFinite) && wanted.values != start)
            }
        }
    }

    @Test(arguments: QuantizedWeights.types)
    func gatedBitsAreThoseOfWidenedWeights(_ type: TensorType) throws {
        let (rows, outputs, inputs) = (5, 2 * 70, 512)
        let weights = try QuantizedWeights(type, rows: outputs, columns: inputs, seed: 7)
        var random = RandomNumbers(seed: 11)
        let x = EmulatedBuffer(random.floats(rows * inputs).map(BFloat16.init))
        let (found, wanted) = (
            EmulatedBuffer<BFloat16>(count: rows * outputs / 2), EmulatedBuffer<BFloat16>(count: rows * outputs / 2)
        )
        let rest: [KernelArgument] = [
            .pointer(nil), .pointer(nil), .int(rows), .int(outputs), .int(inputs), .int(1), .int(0),
        ]
        let shape = CUDALaunchGemmQuantized(
            rows: rows, outputs: outputs, inputs: inputs, format: .blocks(type), splits: 1, gated: true
        ).shape
        try emulate(
            "mr_gemm_gated_16", grid: (1, 2, 1), block: 128, sharedBytes: 4 * (128 + 16) * 128,
            arguments: [.buffer(x), .buffer(weights.widened), .pointer(nil), .buffer(wanted)] + rest)
        try emulate(
            "\(shape.kernel)_\(type.rawValue)", grid: (shape.grid.x, shape.grid.y, shape.grid.z), block: shape.block,
            sharedBytes: shape.sharedBytes,
            arguments: [
                .buffer(x), .buffer(weights.blocks), .longLong(weights.rowBytes), .pointer(nil), .buffer(found),
            ] + rest)
        #expect(found.values == wanted.values)
        #expect(wanted.values.allSatisfy { $0.float.isFinite })
    }

    @Test func launchesFitTheSmallestCards() {
        for type in QuantizedWeights.types {
            #expect(CUDALaunchGemmQuantized.sharedBytes(.blocks(type), tokens: 64) <= 99 << 10)
        }
        for size in [32, 64, 128] {
            for bits in [4, 8] {
                #expect(CUDALaunchGemmQuantized.sharedBytes(.groups(size: size, bits: bits), tokens: 64) <= 99 << 10)
            }
        }
    }
}
