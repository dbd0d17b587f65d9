import DeviceChecks
import Kernels
import Testing

/// A layer's random numbers, zero points and scales, and their checkpoint form.
struct RandomGroups: CustomTestStringConvertible, Sendable {
    var packing: GroupedWeights.Packing
    var bits = 4
    /// Inputs of a group.
    var size: Int
    var inputs: Int
    var outputs = 72
    var scales = TensorType.f16
    /// Inputs lie in their groups in random order.
    var isShuffled = false

    var testDescription: String {
        "\(packing) \(bits) bits, groups of \(size), \(inputs) inputs, \(scales.name)\(isShuffled ? ", shuffled" : "")"
    }

    private final class Owner {
        let buffer: UnsafeMutableRawBufferPointer
        init(_ bytes: UnsafeRawBufferPointer) {
            buffer = .allocate(byteCount: max(bytes.count, 64), alignment: 64)
            buffer.copyMemory(from: bytes)
        }
        deinit { buffer.deallocate() }
    }

    private static func words(_ values: [UInt32], _ shape: [Int]) -> WordTensor {
        let owner = values.withUnsafeBytes(Owner.init)
        return WordTensor(
            name: "words", shape: shape, bytes: UnsafeRawBufferPointer(rebasing: owner.buffer[..<(values.count * 4)]),
            owner: owner)
    }

    /// The layer and its exact weights, `[outputs, inputs]`.
    func make(seed: UInt64 = 5) -> (weights: GroupedWeights, values: [Float]) {
        var random = RandomNumbers(seed: seed &+ UInt64(inputs + size))
        let groups = (inputs + size - 1) / size
        let top = 1 << bits
        let numbers = (0..<outputs).map { _ in (0..<inputs).map { _ in random.below(top) } }
        // GPTQ's first format: one less, and below zero only where a word may borrow.
        let isOneLess = packing == .gptq && bits == 4
        let zeros = (0..<groups).map { _ in (0..<outputs).map { _ in random.below(top) } }
        let scaleBits: [UInt32] = (0..<groups * outputs).map { _ in
            let value = random.float(in: 0.01...0.1)
            switch scales {
            case .f16: return UInt32(Float16(value).bitPattern)
            case .bf16: return UInt32(BFloat16(value).bits)
            default: return value.bitPattern
            }
        }
        var groupOf = (0..<inputs).map { Int32($0 / size) }
        if isShuffled {
            for index in groupOf.indices.reversed() { groupOf.swapAt(index, random.below(index + 1)) }
        }
        let values = (0..<outputs).flatMap { output in
            (0..<inputs).map { input -> Float in
                let group = Int(groupOf[input])
                return scale(scaleBits[group * outputs + output]) * Float(numbers[output][input] - zeros[group][output])
            }
        }
        let offset: UInt32 = isOneLess ? 0x1111_1111 : 0
        let packedZeros = zeros.flatMap { row in alongOutputs { row[$0] } }.map { $0 &- offset }
        let weights = GroupedWeights(
            name: "check", packing: packing, bits: bits, outputs: outputs, inputs: inputs,
            numbers: Self.words(packed(numbers), [1]), zeros: Self.words(packedZeros, [1]),
            scales: tensor(scaleBits, groups: groups), groupOf: groupOf, zeroOffset: offset)
        return (weights, values)
    }

    private func scale(_ bits: UInt32) -> Float {
        switch scales {
        case .f16: Float(Float16(bitPattern: UInt16(bits)))
        case .bf16: BFloat16(bits: UInt16(bits)).float
        default: Float(bitPattern: bits)
        }
    }

    private func tensor(_ bits: [UInt32], groups: Int) -> WeightTensor {
        let width = scales == .f32 ? 4 : 2
        let bytes = bits.flatMap { value in (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) } }
        let owner = bytes.withUnsafeBytes(Owner.init)
        return WeightTensor(
            name: "scales", type: scales, shape: [groups, outputs],
            bytes: UnsafeRawBufferPointer(rebasing: owner.buffer[..<bytes.count]), owner: owner)
    }

    private static let places = [0, 2, 4, 6, 1, 3, 5, 7]

    private func word(_ number: (Int) -> Int) -> UInt32 {
        (0..<32 / bits).reduce(0) { $0 | UInt32(number($1)) << UInt32(bits * $1) }
    }

    private func alongOutputs(_ value: (Int) -> Int) -> [UInt32] {
        let count = 32 / bits
        return (0..<outputs / count).map { index in
            word { value(count * index + (packing == .awq ? Self.places[$0] : $0)) }
        }
    }

    private func packed(_ numbers: [[Int]]) -> [UInt32] {
        let count = 32 / bits
        if packing == .awq { return (0..<inputs).flatMap { input in alongOutputs { numbers[$0][input] } } }
        return (0..<inputs / count).flatMap { index in
            (0..<outputs).map { output in word { numbers[output][count * index + $0] } }
        }
    }
}

extension GroupedWeights {
    /// Arguments that kernels of groups.cu begin with, in memory of the emulation.
    var emulated: (numbers: KernelArgument, zeros: KernelArgument, scales: KernelArgument, groupOf: KernelArgument) {
        (
            .buffer(EmulatedBuffer(Array(numbers.bytes))), .buffer(EmulatedBuffer(Array(zeros.bytes))),
            .buffer(EmulatedBuffer(Array(scales.bytes))), .buffer(EmulatedBuffer(groupOf))
        )
    }

    /// Arguments that say how words are packed.
    var packingArguments: [KernelArgument] {
        [.int(bits), .int(packing == .awq ? 1 : 0), .int(Int(Int32(bitPattern: zeroOffset)))]
    }

    /// Rows of groups, and behind them what products may read but must not use.
    func repack(_ layout: CUDAGroupLayout) throws -> EmulatedBuffer<UInt8> {
        let bytes = outputs * layout.format.rowBytes(inputs)
        let size = layout.format.blockElements
        let groups = EmulatedBuffer<UInt8>(count: bytes)
        let order = layout.order.map { EmulatedBuffer($0) }
        let stored = emulated
        try emulate(
            "mr_repack_groups", grid: ((outputs + 127) / 128, inputs / size, 1), block: 128,
            arguments: [
                stored.numbers, stored.zeros, stored.scales, stored.groupOf, .buffer(order), .buffer(groups),
                .int(outputs), .int(inputs), .int(size),
            ] + packingArguments + [.int(scales.type == .bf16 ? 1 : 0)])
        return EmulatedBuffer(groups.values + [UInt8](repeating: 0xff, count: 16))
    }
}
