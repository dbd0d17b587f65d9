import Foundation

/// Weights `[outputs, inputs]`.
package final class CUDAMatrix {
    enum Storage {
        /// As products take them: bfloat16, or float32.
        case widened(CUDAMemory)
        case stored(CUDAStoredWeights)
    }

    package let outputs: Int
    package let inputs: Int
    /// Outputs of each stacked part.
    let parts: [Int]
    let storage: Storage
    /// Why quantised weights were widened though they were to be kept.
    let widenedBecause: String?
    /// Of the mixture whose first expert's gate and up these weights are; since its first step.
    var expertTables: CUDADevice.ExpertTables?

    init(
        _ runtime: any CUDARuntime, inputs: Int, parts: [MatrixSource], keepsQuantised: Bool,
        uploader: CUDAUploader
    ) throws(DeviceError) {
        self.inputs = inputs
        self.parts = parts.map(\.outputs)
        outputs = self.parts.reduce(0, +)
        var plan: CUDAStoredWeights.Plan?
        var obstacle: String?
        if keepsQuantised {
            do throws(CUDAGroupLayout.Obstacle) { plan = try CUDAStoredWeights.plan(parts) } catch {
                obstacle = error.reason
            }
        }
        widenedBecause = obstacle
        if let plan {
            storage = .stored(try CUDAStoredWeights(runtime, parts: parts, plan, uploader: uploader))
            return
        }
        let elementBytes = uploader.computeType.elementBytes
        let memory = try CUDAMemory(
            runtime, bytes: outputs * inputs * elementBytes, for: "weights \(parts[0].name)")
        var target = memory.address
        for part in parts {
            switch part.weights {
            case .tensor(let tensor): try uploader.widen(tensor, part, into: target)
            case .groups(let groups):
                guard uploader.computeType == .bfloat16 else {
                    throw .unsupported("GPTQ and AWQ weights in float32 on a GPU; leave --dtype out")
                }
                try uploader.widen(groups, into: target)
            }
            target += CUDAAddress(part.outputs * inputs * elementBytes)
        }
        storage = .widened(memory)
    }
}

/// Float32 parameters.
package final class CUDAVector {
    package let count: Int
    private let memory: CUDAMemory

    init(_ runtime: any CUDARuntime, _ values: [Float]) throws(DeviceError) {
        count = values.count
        memory = try CUDAMemory(runtime, bytes: values.count * 4, for: "a vector")
        try runtime.uploadNow(values, to: memory.address)
    }

    var address: CUDAAddress { memory.address }
}

/// Rows in checkpoint form.
package final class CUDATable {
    let rows: Int
    let columns: Int
    let type: TensorType
    let rowBytes: Int
    private let memory: CUDAMemory

    init(_ runtime: any CUDARuntime, _ tensor: WeightTensor) throws(DeviceError) {
        rows = tensor.rows
        columns = tensor.columns
        type = tensor.type
        rowBytes = tensor.rowBytes
        let bytes = rows * rowBytes
        memory = try CUDAMemory(runtime, bytes: bytes, for: "table \(tensor.name)")
        try runtime.upload(UnsafeRawBufferPointer(rebasing: tensor.bytes[..<bytes]), to: memory.address)
        try runtime.synchronize()
        (tensor.owner as? any DiscardablePages)?.discard(tensor.bytes)
    }

    var address: CUDAAddress { memory.address }
}

/// A buffer `[maxRows, width]`, in the form that its last writer gave it. Both forms stay where they are once they were
/// asked for.
package final class CUDAActivation {
    package let maxRows: Int
    package let width: Int
    private let runtime: any CUDARuntime
    private let inputBytes: Int
    private var floats: CUDAMemory?
    private var rounded: CUDAMemory?
    /// Whether the form that products take is the one that counts.
    package var isRounded = false

    init(_ runtime: any CUDARuntime, maxRows: Int, width: Int, inputBytes: Int) {
        self.runtime = runtime
        self.maxRows = maxRows
        self.width = width
        self.inputBytes = inputBytes
    }

    /// The float32 form's place.
    package func floatAddress() throws(DeviceError) -> CUDAAddress {
        if let floats { return floats.address }
        let memory = try CUDAMemory(runtime, bytes: maxRows * width * 4, for: "an activation of \(maxRows) rows")
        floats = memory
        return memory.address
    }

    /// The place of the form that products take.
    package func roundedAddress() throws(DeviceError) -> CUDAAddress {
        if let rounded { return rounded.address }
        let memory = try CUDAMemory(
            runtime, bytes: maxRows * width * inputBytes, for: "an activation of \(maxRows) rows")
        rounded = memory
        return memory.address
    }
}

/// cos and sin of every position, `[positions, pairs]` float32.
package final class CUDARotation {
    let pairs: Int
    let maxPositions: Int
    private let cosineMemory: CUDAMemory
    private let sineMemory: CUDAMemory

    init(
        _ runtime: any CUDARuntime, inverseFrequencies: [Float], scale: Float, maxPositions: Int
    ) throws(DeviceError) {
        pairs = inverseFrequencies.count
        self.maxPositions = maxPositions
        var (cosines, sines): ([Float], [Float]) = ([], [])
        cosines.reserveCapacity(maxPositions * pairs)
        sines.reserveCapacity(maxPositions * pairs)
        for position in 0..<maxPositions {
            for frequency in inverseFrequencies {
                // The angle is rounded to float32 as PyTorch's float32 rotary embeddings round it.
                let angle = Double(Float(position) * frequency)
                cosines.append(Float(cos(angle)) * scale)
                sines.append(Float(sin(angle)) * scale)
            }
        }
        cosineMemory = try CUDAMemory(runtime, bytes: cosines.count * 4, for: "a rotation table")
        sineMemory = try CUDAMemory(runtime, bytes: sines.count * 4, for: "a rotation table")
        try runtime.uploadNow(cosines, to: cosineMemory.address)
        try runtime.uploadNow(sines, to: sineMemory.address)
    }

    var cosines: CUDAAddress { cosineMemory.address }
    var sines: CUDAAddress { sineMemory.address }
}

/// Paged keys and values: for each layer keys, then values, each `[blocks, kvHeads, blockSize, headWidth]`.
package final class CUDACache {
    let shape: CacheShape
    let type: CacheType
    private let memory: CUDAMemory

    init(_ runtime: any CUDARuntime, _ shape: CacheShape, _ type: CacheType) throws(DeviceError) {
        self.shape = shape
        self.type = type
        memory = try CUDAMemory(
            runtime, bytes: 2 * shape.layers * shape.blockCount * Self.blockBytes(shape, type), for: "the KV cache")
    }

    /// A block's keys, or values, in one layer.
    static func blockBytes(_ shape: CacheShape, _ type: CacheType) -> Int {
        shape.keyValueHeads * shape.blockSize * shape.headWidth * type.elementBytes
    }

    private var planeBytes: Int { shape.blockCount * Self.blockBytes(shape, type) }

    /// For kernels that read or write it.
    var macros: [String: Int] { type == .fp8 ? ["MR_CACHE_FP8": 1] : [:] }

    func keys(_ layer: Int) -> CUDAAddress { memory.address + CUDAAddress(2 * layer * planeBytes) }
    func values(_ layer: Int) -> CUDAAddress { memory.address + CUDAAddress((2 * layer + 1) * planeBytes) }
    /// All of it, for tests that poison it.
    var address: CUDAAddress { memory.address }
    var bytes: Int { memory.bytes }
}

extension CUDARuntime {
    /// Copies and waits, so that `values` may go.
    package func uploadNow<T>(_ values: [T], to address: CUDAAddress) throws(DeviceError) {
        guard !values.isEmpty else { return }
        let pointer = UnsafeMutablePointer<T>.allocate(capacity: values.count)
        pointer.initialize(from: values, count: values.count)
        defer {
            pointer.deinitialize(count: values.count)
            pointer.deallocate()
        }
        try upload(UnsafeRawBufferPointer(UnsafeBufferPointer(start: pointer, count: values.count)), to: address)
        try synchronize()
    }
}
