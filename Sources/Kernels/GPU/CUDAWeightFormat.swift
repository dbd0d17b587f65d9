/// How rows of weights lie in a device's memory that products widen as they read them: GGUF's blocks, or groups that
/// groups.cu makes of GPTQ's and AWQ's weights.
package enum CUDAWeightFormat: Hashable, Sendable {
    case blocks(TensorType)
    /// 32, 64 or 128 elements of 4 or 8 bits.
    case groups(size: Int, bits: Int)

    /// Whether products can read blocks of this type; others are widened when loaded.
    package static func takes(_ type: TensorType) -> Bool {
        switch type {
        case .f32, .f16, .bf16: false
        default: true
        }
    }

    /// The kernels' MR_WEIGHT_TYPE.
    package var number: Int {
        switch self {
        case .blocks(let type): Int(type.rawValue)
        case .groups(let size, let bits): (bits == 4 ? 100 : 103) + (size == 128 ? 0 : size == 64 ? 1 : 2)
        }
    }

    package var blockElements: Int {
        switch self {
        case .blocks(let type): type.blockElements
        case .groups(let size, _): size
        }
    }

    package var blockBytes: Int {
        switch self {
        case .blocks(let type): type.blockBytes
        case .groups(let size, let bits): 4 + size * bits / 8
        }
    }

    package func rowBytes(_ inputs: Int) -> Int { inputs / blockElements * blockBytes }
}

/// Where a device puts grouped weights: as they are, or with inputs of one group next to each other.
package struct CUDAGroupLayout: Equatable, Sendable {
    package let format: CUDAWeightFormat
    /// Input at each position; nil: in order.
    package let order: [Int32]?

    /// What has no layout that products can read.
    package struct Obstacle: Error { package let reason: String }

    package init(_ weights: GroupedWeights) throws(Obstacle) {
        let groupOf = weights.groupOf
        var order: [Int32]?
        if zip(groupOf, groupOf.dropFirst()).contains(where: { $0 > $1 }) {
            order = groupOf.indices.sorted { (groupOf[$0], $0) < (groupOf[$1], $1) }.map(Int32.init)
        }
        func group(_ position: Int) -> Int32 { groupOf[order.map { Int($0[position]) } ?? position] }
        func fits(_ size: Int) -> Bool {
            groupOf.count % size == 0
                && stride(from: 0, to: groupOf.count, by: size).allSatisfy { group($0) == group($0 + size - 1) }
        }
        guard weights.scales.type != .f32 else { throw Obstacle(reason: "its scales are float32") }
        guard let size = [128, 64, 32].first(where: fits) else {
            throw Obstacle(reason: "its groups are no multiples of 32 inputs")
        }
        format = .groups(size: size, bits: weights.bits)
        self.order = order
    }
}
