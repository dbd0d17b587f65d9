import CUDAEmulation
import DeviceChecks
import Testing

@testable import Kernels

/// Weights as GPTQ and AWQ store them: widened, repacked, multiplied.
@Suite(.serialized) struct GroupTests {
    /// Such that products can read them.
    static let storable = [
        RandomGroups(packing: .gptq, size: 128, inputs: 384),
        RandomGroups(packing: .awq, size: 128, inputs: 256),
        RandomGroups(packing: .gptq, size: 64, inputs: 192, scales: .bf16),
        RandomGroups(packing: .awq, size: 32, inputs: 96),
        RandomGroups(packing: .gptq, size: 96, inputs: 96),
        RandomGroups(packing: .awq, size: 512, inputs: 512, scales: .bf16),
        RandomGroups(packing: .gptq, size: 32, inputs: 160, isShuffled: true),
        RandomGroups(packing: .gptq, size: 128, inputs: 288),
        RandomGroups(packing: .gptq, bits: 8, size: 128, inputs: 256),
        RandomGroups(packing: .gptq, bits: 8, size: 64, inputs: 192, scales: .bf16, isShuffled: true),
        RandomGroups(packing: .gptq, bits: 8, size: 32, inputs: 96),
    ]

    /// Such that they cannot.
    static let others = [
        RandomGroups(packing: .gptq, size: 24, inputs: 72), RandomGroups(packing: .awq, size: 5, inputs: 35),
        RandomGroups(packing: .gptq, bits: 8, size: 16, inputs: 68, isShuffled: true),
        RandomGroups(packing: .gptq, size: 32, inputs: 64, scales: .f32),
    ]

    @Test(arguments: storable + others)
    func theCPUUnpacksThem(_ test: RandomGroups) throws {
        let (weights, values) = test.make()
        try weights.check()
        #expect(weights.dequantize() == values)
    }

    @Test(arguments: storable + others)
    func theyAreWidened(_ test: RandomGroups) throws {
        let (weights, values) = test.make()
        let stored = weights.emulated
        let out = EmulatedBuffer<BFloat16>(count: values.count)
        try emulate(
            "mr_dequantize_groups", grid: (1, 3, 1), block: 128,
            arguments: [
                stored.numbers, stored.zeros, stored.scales, .int(Int(test.scales.rawValue)), stored.groupOf,
                .buffer(out), .int(test.outputs), .int(test.inputs),
            ] + weights.packingArguments)
        #expect(out.values == values.map { BFloat16($0) })
    }

    @Test(arguments: storable)
    func rowsOfGroupsHoldTheCheckpointsValues(_ test: RandomGroups) throws {
        let (weights, values) = test.make()
        let layout = try CUDAGroupLayout(weights)
        #expect((layout.order != nil) == test.isShuffled)
        let widened = EmulatedBuffer<BFloat16>(count: values.count)
        try emulate(
            "mr_widen_groups", grid: (test.outputs, 1, 1), block: 128, .buffer(try weights.repack(layout)),
            .buffer(widened), .int(test.inputs), .int(layout.format.number))
        #expect(widened.values == ordered(values, test, layout).map { BFloat16($0) })
    }

    @Test(arguments: others)
    func whatProductsCannotReadIsSaid(_ test: RandomGroups) throws {
        #expect(throws: CUDAGroupLayout.Obstacle.self) { try CUDAGroupLayout(test.make().weights) }
    }

    @Test(arguments: storable)
    func productsHaveTheBitsOfWidenedWeights(_ test: RandomGroups) throws {
        let (weights, values) = test.make()
        let layout = try CUDAGroupLayout(weights)
        let (rows, outputs, inputs) = (19, test.outputs, test.inputs)
        var random = RandomNumbers(seed: 3)
        let plain = EmulatedBuffer(random.floats(rows * inputs).map { BFloat16($0) })
        let x = EmulatedBuffer<BFloat16>(count: rows * inputs)
        let order = layout.order ?? (0..<Int32(inputs)).map { $0 }
        try emulate(
            "mr_reorder_inputs", grid: (rows, 2, 1), block: 128, .buffer(plain), .buffer(EmulatedBuffer(order)),
            .buffer(x), .int(inputs))
        let widened = EmulatedBuffer(ordered(values, test, layout).map { BFloat16($0) })
        let found = EmulatedBuffer<Float>(count: rows * outputs)
        let wanted = EmulatedBuffer<Float>(count: rows * outputs)
        let rest: [KernelArgument] = [
            .pointer(nil), .pointer(nil), .int(rows), .int(outputs), .int(inputs), .int(1), .int(0),
        ]
        try emulate(
            "mr_gemm_32", grid: (1, 1, 1), block: 128, sharedBytes: 4 * (128 + 32) * 128,
            arguments: [.buffer(x), .buffer(widened), .pointer(nil), .buffer(wanted)] + rest)
        try emulate(
            "mr_gemm_quantized_32_\(layout.format.number)", grid: (1, 1, 1), block: 128,
            sharedBytes: CUDALaunchGemmQuantized.sharedBytes(layout.format, tokens: 32),
            arguments: [
                .buffer(x), .buffer(try weights.repack(layout)), .longLong(layout.format.rowBytes(inputs)),
                .pointer(nil), .buffer(found), .int(outputs),
            ] + rest)
        #expect(found.values == wanted.values)
        #expect(wanted.values.contains { $0 != 0 } && wanted.values.allSatisfy { $0.isFinite })
    }

    /// Neighbours of one group are found whatever their number, and the largest size that fits is taken.
    @Test func layoutsTakeTheLargestSize() throws {
        func size(_ test: RandomGroups) throws -> Int { try CUDAGroupLayout(test.make().weights).format.blockElements }
        #expect(try size(RandomGroups(packing: .gptq, size: 384, inputs: 384)) == 128)
        #expect(try size(RandomGroups(packing: .gptq, size: 192, inputs: 384)) == 64)
        #expect(try size(RandomGroups(packing: .gptq, size: 128, inputs: 288)) == 32)
        #expect(try size(RandomGroups(packing: .gptq, size: 64, inputs: 384, isShuffled: true)) == 64)
    }

    /// What does not fit together is refused before a kernel reads outside of it.
    @Test func damagedWeightsAreRefused() throws {
        let test = RandomGroups(packing: .gptq, size: 32, inputs: 64)
        let good = test.make().weights
        func refused(
            zeros: WordTensor? = nil, groupOf: [Int32]? = nil, outputs: Int? = nil, bits: Int = 4
        ) -> Bool {
            let weights = GroupedWeights(
                name: "bad", packing: .gptq, bits: bits, outputs: outputs ?? good.outputs, inputs: good.inputs,
                numbers: good.numbers, zeros: zeros ?? good.zeros, scales: good.scales,
                groupOf: groupOf ?? good.groupOf, zeroOffset: 0)
            do throws(DeviceError) {
                try weights.check()
                return false
            } catch { return "\(error)".contains("bad") }
        }
        #expect(!refused())
        #expect(refused(zeros: good.numbers))
        #expect(refused(groupOf: good.groupOf.map { $0 + 1 }))
        #expect(refused(groupOf: good.groupOf.map { -$0 }))
        #expect(refused(groupOf: Array(good.groupOf.dropLast())))
        #expect(refused(outputs: good.outputs + 8))
        #expect(refused(bits: 8))
        #expect(refused(bits: 3))
    }

    private func ordered(_ values: [Float], _ test: RandomGroups, _ layout: CUDAGroupLayout) -> [Float] {
        guard let order = layout.order else { return values }
        return (0..<test.outputs).flatMap { output in order.map { values[output * test.inputs + Int($0)] } }
    }
}
