/// An NVIDIA GPU: our kernels, compiled for it at start, and NVIDIA's matrix products where they are there.
///
/// Activations are float32, as on the CPU, and rounded to bfloat16 where they enter a matrix product; that is done
/// by the kernel that makes them, so an activation has up to two forms. Weights and KV cache are bfloat16, sums
/// float32. With `computeType` float32 nothing is rounded, by plain kernels: to compare with, not for speed.
package final class CUDADevice: Device {
    package typealias Matrix = CUDAMatrix
    package typealias Vector = CUDAVector
    package typealias Table = CUDATable
    package typealias Activation = CUDAActivation
    package typealias Rotation = CUDARotation
    package typealias Cache = CUDACache

    package let computeType: ComputeType
    package let runtime: any CUDARuntime
    /// The first failure of a step's operations, which cannot throw: `begin`, `submit` and `logits` tell it.
    private var failure: DeviceError?
    private(set) var batchMemory: CUDABatch?
    var packed = PackedBatch()
    var step = CUDAStep()
    var graphs = CUDAStepGraphs()
    /// Steps that were begun and that nothing has waited for yet.
    var stepsUnderWay = 0
    var choice: ChoiceUnderWay?
    private var activationRows = 0
    private var uploader: CUDAUploader?
    var scratch: [Scratch: CUDAMemory] = [:]
    private var logitsMemory: UnsafeMutableRawPointer?
    private var logitsBytes = 0
    private var samplingMemory: UnsafeMutableRawPointer?
    private var samplingBytes = 0

    /// Buffers that operations share within a step.
    enum Scratch: Hashable {
        case gateUp, queries, logits, partial, statistics, productPartial, productCounters, widened
        case choices, chosenTokens
        /// Rows whose inputs are in the order of grouped weights.
        case ordered
        case argmaxKeys, argmaxArrived, samplingParameters, samplingScratch, mixture(Int)
    }

    /// Quantised weights stay as they are in memory.
    private let keepsQuantised: Bool
    let cacheType: CacheType
    /// Those that could not, and why.
    private var widened: [String] = []

    /// - Parameters:
    ///   - graphs: decode steps are recorded and replayed; takes it that the device runs one model.
    ///   - keepsQuantised: quantised weights stay as they are in memory, instead of being widened to bfloat16.
    package init(
        _ runtime: any CUDARuntime, computeType: ComputeType = .bfloat16, graphs: Bool = true,
        keepsQuantised: Bool = false, cacheType: CacheType? = nil
    ) {
        precondition(computeType == .bfloat16 || !keepsQuantised && cacheType == nil)
        self.runtime = runtime
        self.computeType = computeType
        self.keepsQuantised = keepsQuantised
        self.cacheType = cacheType ?? (computeType == .float32 ? .float32 : .bfloat16)
        self.graphs.isEnabled = graphs
    }

    deinit {
        // Copies to the host may be under way.
        try? runtime.synchronize()
        for memory in [logitsMemory, samplingMemory] { if let memory { runtime.freeHost(memory) } }
    }

    package var description: String {
        let p = runtime.properties
        return "cuda:\(p.ordinal) \(p.name), \(p.totalBytes >> 20) MiB, \(p.architecture), "
            + "\(runtime.products == nil ? "own products" : "cuBLASLt"), \(computeType)"
            + (cacheType == .fp8 ? ", fp8 KV cache" : "")
    }

    package var availableBytes: Int? { runtime.availableBytes }

    /// Of an element of what enters products.
    var inputBytes: Int { computeType.elementBytes }

    package var remarks: [String] {
        guard let first = widened.first else { return [] }
        let many = widened.count == 1 ? "matrix was" : "matrices were"
        return ["\(widened.count) quantised \(many) widened to bfloat16; the first is \(first)"]
    }

    // MARK: Failures

    /// Runs part of a step's operation, unless the step failed before or a graph stands in for it.
    func attempt(_ body: () throws(DeviceError) -> Void) {
        guard failure == nil, step.mode != .replaying else { return }
        do throws(DeviceError) { try body() } catch { failure = error }
    }

    func throwFailure() throws(DeviceError) {
        if let failure { throw failure }
    }

    // MARK: Loading

    package func makeMatrix(stacking parts: [MatrixSource]) throws -> CUDAMatrix {
        guard let first = parts.first else { throw DeviceError.unsupported("a matrix without parts") }
        for part in parts { try part.check(inputs: first.inputs) }
        let uploader = try self.uploader ?? CUDAUploader(runtime, computeType)
        self.uploader = uploader
        let matrix = try CUDAMatrix(
            runtime, inputs: first.inputs, parts: parts, keepsQuantised: keepsQuantised, uploader: uploader)
        if let reason = matrix.widenedBecause { widened.append("\(first.name): \(reason)") }
        return matrix
    }

    package func makeVector(_ values: [Float]) throws -> CUDAVector { try CUDAVector(runtime, values) }

    package func makeTable(_ tensor: WeightTensor) throws -> CUDATable {
        try tensor.check()
        return try CUDATable(runtime, tensor)
    }

    package func makeActivation(maxRows: Int, width: Int) throws -> CUDAActivation {
        activationRows = max(activationRows, maxRows)
        return CUDAActivation(runtime, maxRows: CUDAStep.padded(maxRows), width: width, inputBytes: inputBytes)
    }

    package func makeRotation(inverseFrequencies: [Float], scale: Float, maxPositions: Int) throws
        -> CUDARotation
    {
        try CUDARotation(
            runtime, inverseFrequencies: inverseFrequencies, scale: scale, maxPositions: maxPositions)
    }

    package func makeCache(_ shape: CacheShape) throws -> CUDACache {
        guard shape.blockSize > 0, shape.blockSize % 16 == 0 else {
            throw DeviceError.unsupported(
                "KV blocks of \(shape.blockSize) positions; the GPU takes multiples of 16")
        }
        guard shape.headWidth <= 256 else {
            throw DeviceError.unsupported("heads \(shape.headWidth) wide; the GPU takes up to 256")
        }
        guard shape.blockCount <= Int(Int32.max) / shape.blockSize else {
            throw DeviceError.unsupported("\(shape.blockCount) KV blocks of \(shape.blockSize)")
        }
        return try CUDACache(runtime, shape, cacheType)
    }

    package func cacheBlockBytes(_ shape: CacheShape) -> Int {
        2 * shape.layers * CUDACache.blockBytes(shape, cacheType)
    }

    /// The batch's arrays, made once the largest activation is known.
    func batch() throws(DeviceError) -> CUDABatch {
        if let batchMemory, batchMemory.maxRows >= activationRows { return batchMemory }
        let made = try CUDABatch(runtime, maxRows: CUDAStep.padded(max(activationRows, 1)))
        batchMemory = made
        return made
    }

    /// A shared buffer of at least `bytes`. It never moves while a graph is recorded: what a graph needs was asked for
    /// by the eager step before.
    func scratch(_ name: Scratch, bytes: Int, zeroed: Bool = false) throws(DeviceError) -> CUDAAddress {
        if let memory = scratch[name], memory.bytes >= bytes { return memory.address }
        precondition(step.mode != .recording, "scratch grows while a graph is recorded")
        if scratch[name] != nil {
            try runtime.synchronize()
            graphs.forgetAll()
        }
        scratch[name] = nil
        let memory = try CUDAMemory(runtime, bytes: bytes, for: "scratch")
        if zeroed { try runtime.fill(memory.address, with: 0, count: memory.bytes) }
        scratch[name] = memory
        return memory.address
    }

    /// Host memory for logits, page-locked.
    func logitsBuffer(bytes: Int) throws(DeviceError) -> UnsafeMutableRawPointer {
        if let logitsMemory, logitsBytes >= bytes { return logitsMemory }
        if let logitsMemory { runtime.freeHost(logitsMemory) }
        logitsMemory = nil
        let memory = try runtime.allocateHost(bytes, for: "logits")
        (logitsMemory, logitsBytes) = (memory, bytes)
        return memory
    }

    /// Page-locked memory for what the sampler reads; free again once its results are there.
    func samplingStaging(bytes: Int) throws(DeviceError) -> UnsafeMutableRawPointer {
        if let samplingMemory, samplingBytes >= bytes { return samplingMemory }
        if let samplingMemory { runtime.freeHost(samplingMemory) }
        samplingMemory = nil
        let memory = try runtime.allocateHost(2 * bytes, for: "sampling parameters")
        (samplingMemory, samplingBytes) = (memory, 2 * bytes)
        return memory
    }
}

extension ComputeType {
    /// Of what enters products.
    var elementBytes: Int { self == .float32 ? 4 : 2 }
    /// For kernels that make it.
    var macros: [String: Int] { self == .float32 ? ["MR_INPUT_BITS": 32] : [:] }
}
