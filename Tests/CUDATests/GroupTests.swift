import CUDAEmulation
import DeviceChecks
import Kernels
import Testing

/// 4-bit weights as GPTQ and AWQ store them: repacked, widened, multiplied.
@Suite(.serialized) struct GroupTests {
    struct Case: CustomTestStringConvertible {
        var isAWQ: Bool
        /// Ours, and the checkpoint's.
        var group, stored: Int
        var inputs: Int
        var isWide = false
        var testDescription: String { "\(isAWQ ? "AWQ" : "GPTQ"), \(group) of \(stored), \(inputs) inputs" }
    }

    static let cases = [
        Case(isAWQ: false, group: 128, stored: 128, inputs: 384),
        Case(isAWQ: true, group: 128, stored: 128, inputs: 256),
        Case(isAWQ: false, group: 64, stored: 64, inputs: 192, isWide: true),
        Case(isAWQ: true, group: 32, stored: 32, inputs: 96), Case(isAWQ: false, group: 32, stored: 96, inputs: 96),
        Case(isAWQ: true, group: 128, stored: 512, inputs: 512, isWide: true),
    ]

    /// Quants 0...15 by output and input, zeros and scales by stored group and output, and their checkpoint form.
    struct Weights {
        let outputs = 72
        let test: Case
        let quants: [[Int]]
        let zeros: [[Int]]
        let scales: [[UInt16]]

        init(_ test: Case) {
            self.test = test
            var random = RandomNumbers(seed: UInt64(test.inputs + test.group))
            let (outputs, groups) = (outputs, test.inputs / test.stored)
            quants = (0..<outputs).map { _ in (0..<test.inputs).map { _ in random.below(16) } }
            // GPTQ's are stored one less.
            zeros = (0..<groups).map { _ in (0..<outputs).map { _ in random.below(16) + (test.isAWQ ? 0 : 1) } }
            scales = (0..<groups).map { _ in
                (0..<outputs).map { _ in
                    let value = random.float(in: 0.01...0.1)
                    return test.isWide ? BFloat16(value).bits : Float16(value).bitPattern
                }
            }
        }

        private static let places = [0, 2, 4, 6, 1, 3, 5, 7]

        /// Eight nibbles, the first lowest.
        private func word(_ nibble: (Int) -> Int) -> UInt32 {
            var word: UInt32 = 0
            for place in 0..<8 { word |= UInt32(nibble(place)) << UInt32(4 * place) }
            return word
        }

        /// A row of nibbles along outputs.
        private func packed(_ values: (Int) -> Int) -> [UInt32] {
            (0..<outputs / 8).map { index in
                word { values(8 * index + (test.isAWQ ? Self.places[$0] : $0)) }
            }
        }

        var packedQuants: [UInt32] {
            if test.isAWQ { return (0..<test.inputs).flatMap { input in packed { quants[$0][input] } } }
            return (0..<test.inputs / 8).flatMap { index in
                (0..<outputs).map { output in word { quants[output][8 * index + $0] } }
            }
        }

        var packedZeros: [UInt32] { zeros.flatMap { row in packed { row[$0] - (test.isAWQ ? 0 : 1) } } }

        func value(_ output: Int, _ input: Int) -> BFloat16 {
            let group = input / test.stored
            let bits = scales[group][output]
            let scale = test.isWide ? Float(bitPattern: UInt32(bits) << 16) : Float(Float16(bitPattern: bits))
            return BFloat16(scale * Float(quants[output][input] - zeros[group][output]))
        }

        func repack() throws -> EmulatedBuffer<UInt8> {
            let bytes = outputs * (test.inputs / test.group) * CUDALaunchGemmQuantized.groupBytes(test.group)
            let groups = EmulatedBuffer<UInt8>(count: bytes)
            try emulate(
                "mr_repack_groups", grid: ((outputs + 127) / 128, test.inputs / test.group, 1), block: 128,
                .buffer(EmulatedBuffer(packedQuants)), .buffer(EmulatedBuffer(packedZeros)),
                .buffer(EmulatedBuffer(scales.flatMap { $0 })), .buffer(groups), .int(outputs), .int(test.inputs),
                .int(test.group), .int(test.stored), .int(test.isAWQ ? 1 : 0), .int(test.isAWQ ? 0 : 1),
                .int(test.isWide ? 1 : 0))
            return groups
        }
    }

    @Test(arguments: cases)
    func groupsHoldTheCheckpointsValues(_ test: Case) throws {
        let weights = Weights(test)
        let groups = try weights.repack()
        let widened = EmulatedBuffer<BFloat16>(count: weights.outputs * test.inputs)
        try emulate(
            "mr_widen_groups", grid: (weights.outputs, 1, 1), block: 128, .buffer(groups), .buffer(widened),
            .int(test.inputs), .int(test.group))
        let exact = (0..<weights.outputs).flatMap { output in
            (0..<test.inputs).map { weights.value(output, $0) }
        }
        #expect(widened.values == exact)
    }

    @Test(arguments: cases)
    func productsHaveTheBitsOfWidenedWeights(_ test: Case) throws {
        let weights = Weights(test)
        let groups = try weights.repack()
        let padded = EmulatedBuffer(groups.values + [UInt8](repeating: 0xff, count: 16))
        let (rows, outputs) = (19, weights.outputs)
        var random = RandomNumbers(seed: 3)
        let x = EmulatedBuffer(random.floats(rows * test.inputs).map(BFloat16.init))
        let widened = EmulatedBuffer((0..<outputs).flatMap { o in (0..<test.inputs).map { weights.value(o, $0) } })
        let found = EmulatedBuffer<Float>(count: rows * outputs)
        let wanted = EmulatedBuffer<Float>(count: rows * outputs)
        let rest: [KernelArgument] = [
            .pointer(nil), .pointer(nil), .int(rows), .int(outputs), .int(test.inputs), .int(1), .int(0),
        ]
        try emulate(
            "mr_gemm_32", grid: (1, 1, 1), block: 128, sharedBytes: 4 * (128 + 32) * 128,
            arguments: [.buffer(x), .buffer(widened), .pointer(nil), .buffer(wanted)] + rest)
        try emulate(
            "mr_gemm_quantized_32_\(CUDALaunchGemmQuantized.weightType(group: test.group))", grid: (1, 1, 1),
            block: 128,
            sharedBytes: CUDALaunchGemmQuantized.sharedBytes(group: test.group, tokens: 32),
            arguments: [
                .buffer(x), .buffer(padded),
                .longLong(test.inputs / test.group * CUDALaunchGemmQuantized.groupBytes(test.group)), .pointer(nil),
                .buffer(found), .int(outputs),
            ] + rest)
        #expect(found.values == wanted.values)
    }
}
