import CKernels

/// A checkpoint tensor of 32-bit words, `[rows, columns]` or `[count]`, as it lies in the mapped file.
package struct WordTensor: @unchecked Sendable {
    // @unchecked: `bytes` points into a private read-only mapping that nobody writes and that `owner` keeps mapped.
    package let name: String
    package let shape: [Int]
    package let bytes: UnsafeRawBufferPointer
    package let owner: AnyObject

    package init(name: String, shape: [Int], bytes: UnsafeRawBufferPointer, owner: AnyObject) {
        self.name = name
        self.shape = shape
        self.bytes = bytes
        self.owner = owner
    }

    /// All of them, as signed numbers.
    package var values: [Int32] {
        (0..<bytes.count / 4).map { Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
    }
}

/// A linear layer's weights as GPTQ and AWQ checkpoints have them: numbers of 4 or 8 bits in words, and a scale and a
/// zero point for each output of each group of inputs:
///
///     weight[output][input] = scale[g][output] * (number[input][output] - zero[g][output]), g the input's group
///
/// That is exact in float32 where scales have 16 bits; nothing is rounded on the way.
/// GPTQ: https://arxiv.org/abs/2210.17323, packed as https://github.com/AutoGPTQ/AutoGPTQ does;
/// AWQ: https://arxiv.org/abs/2306.00978, packed as https://github.com/casper-hansen/AutoAWQ does for its "gemm".
package struct GroupedWeights: Sendable {
    package enum Packing: Sendable {
        /// A word has numbers of neighbouring inputs, the first lowest: `[inputs * bits / 32, outputs]`. Zero points
        /// are packed along outputs, likewise: `[groups, outputs * bits / 32]`.
        case gptq
        /// A word has 8 neighbouring outputs, in its places from the lowest outputs 0 2 4 6 1 3 5 7:
        /// `[inputs, outputs / 8]`; zero points alike.
        case awq
    }

    package let name: String
    package let packing: Packing
    package let bits: Int
    package let outputs: Int
    package let inputs: Int
    package let numbers: WordTensor
    package let zeros: WordTensor
    /// `[groups, outputs]`
    package let scales: WeightTensor
    /// Of each input, below the number of groups.
    package let groupOf: [Int32]
    /// Added to each word of zero points, carries and all: GPTQ's first format has them one less.
    package let zeroOffset: UInt32

    package init(
        name: String, packing: Packing, bits: Int, outputs: Int, inputs: Int, numbers: WordTensor, zeros: WordTensor,
        scales: WeightTensor, groupOf: [Int32], zeroOffset: UInt32
    ) {
        self.name = name
        self.packing = packing
        self.bits = bits
        self.outputs = outputs
        self.inputs = inputs
        self.numbers = numbers
        self.zeros = zeros
        self.scales = scales
        self.groupOf = groupOf
        self.zeroOffset = zeroOffset
    }

    package var groups: Int { scales.rows }

    /// Numbers in a word.
    package var perWord: Int { 32 / bits }

    /// Calls `body` with the weights as the kernels see them.
    func withKernel<R>(_ body: (inout mr_groups) -> R) -> R {
        groupOf.withUnsafeBufferPointer { groupOf in
            var kernel = mr_groups(
                numbers: numbers.bytes.baseAddress?.assumingMemoryBound(to: UInt32.self),
                zeros: zeros.bytes.baseAddress?.assumingMemoryBound(to: UInt32.self),
                scales: scales.bytes.baseAddress, scale_type: scales.type.rawValue, group_of: groupOf.baseAddress,
                outputs: Int32(outputs), inputs: Int32(inputs), bits: Int32(bits), awq: packing == .awq,
                zero_offset: zeroOffset)
            return body(&kernel)
        }
    }

    /// All weights as float32, `[outputs, inputs]`.
    package func dequantize() -> [Float] {
        [Float](unsafeUninitializedCapacity: outputs * inputs) { buffer, initialized in
            withKernel { mr_dequantize_groups(&$0, buffer.baseAddress) }
            initialized = outputs * inputs
        }
    }

    /// Its pages are not needed any more, once a device has what it wants of them.
    func discard() {
        for (owner, bytes) in [
            (numbers.owner, numbers.bytes), (zeros.owner, zeros.bytes), (scales.owner, scales.bytes),
        ] { (owner as? any DiscardablePages)?.discard(bytes) }
    }
}

extension GroupedWeights {
    /// That all parts have the sizes that the layer's asks for, so that kernels stay inside them.
    func check() throws(DeviceError) {
        func require(_ holds: Bool, _ reason: String) throws(DeviceError) {
            guard holds else { throw .badTensor(name: name, reason: reason) }
        }
        try require(bits == 8 || bits == 4, "numbers of \(bits) bits")
        try require(packing == .gptq || bits == 4, "AWQ of \(bits) bits")
        try require(
            outputs > 0 && inputs > 0 && outputs <= Int(Int32.max) / 2 && inputs <= Int(Int32.max) / 2,
            "\(outputs) outputs of \(inputs) inputs")
        try require(
            outputs % perWord == 0 && (packing == .awq || inputs % perWord == 0), "no whole number of words")
        try scales.check()
        try require([.f16, .bf16, .f32].contains(scales.type), "scales of type \(scales.type.name)")
        try require(scales.columns == outputs, "scales of \(scales.columns) outputs where there are \(outputs)")
        try require(numbers.bytes.count == outputs * inputs / perWord * 4, "\(numbers.bytes.count) bytes of numbers")
        try require(zeros.bytes.count == groups * outputs / perWord * 4, "\(zeros.bytes.count) bytes of zero points")
        try require(
            groupOf.count == inputs && groupOf.allSatisfy { (0..<groups).contains(Int($0)) },
            "groups of inputs outside 0..<\(groups)")
    }
}
