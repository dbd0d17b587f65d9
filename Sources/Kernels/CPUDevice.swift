import CKernels

/// The CPU: kernels in C on a pool of threads of its own (Sources/Kernels/CPU).
package final class CPUDevice: Device {
    package typealias Matrix = CPUMatrix
    package typealias Vector = CPUVector
    package typealias Table = CPUTable
    package typealias Activation = CPUActivation
    package typealias Rotation = CPURotation
    package typealias Cache = CPUCache

    package let computeType: ComputeType
    package let instructionSet: CPUFeatures.InstructionSet
    package let threads: Int
    /// Weights are rounded to bytes where that is possible, and their products' inputs, too.
    package let quantizesWeights: Bool
    /// Weights of quantised checkpoints stay as they are stored.
    package let keepsQuantised: Bool
    /// What keys and values are rounded to: as the compute type, or int8.
    package let cacheType: CacheType
    let engine: OpaquePointer
    /// The step's batch as the kernels see it, and as it was given.
    let batch = CPUBatch()
    var packed = PackedBatch()
    /// What the last `logits` returned.
    var logitsMemory: CPUMemory?

    /// `computeType` nil: the faster one, see `fasterComputeType`. `threads` nil: one for each CPU the process may
    /// run on. `instructionSet` nil: what `MILLRACE_ISA` names, else the best.
    /// `quantizesWeights`: keeps weights as bytes with a scale for each output, and rounds each row of inputs to bytes,
    /// with a scale of its own: half the time and memory of bfloat16, less exact. Not where a source says that it keeps
    /// its precision, nor for sources that lie transposed or have more than 32,768 inputs.
    /// `keepsQuantised`: a panel of weights becomes what products take when a thread needs it, the same bits that it
    /// would have been widened to when it was loaded: less memory, and fewer bytes to read for few rows.
    /// Throws `DeviceError` where a setting cannot be met or threads cannot be had.
    package init(
        computeType: ComputeType? = nil, threads: Int? = nil,
        instructionSet: CPUFeatures.InstructionSet? = nil, quantizesWeights: Bool = false,
        keepsQuantised: Bool = false, cacheType: CacheType? = nil
    ) throws {
        let set = try instructionSet ?? CPUFeatures.chosen()
        guard set.isSupported else { throw DeviceError.badSetting("this CPU cannot run \(set)") }
        let count = threads ?? CPUFeatures.onlineCPUs
        guard (1...1024).contains(count) else {
            throw DeviceError.badSetting("\(count) threads: 1 to 1024 are possible")
        }
        guard !quantizesWeights || set.multipliesBytes else {
            throw DeviceError.badSetting(
                "weights of int8 on \(set): they need a CPU with AVX-512 VNNI; leave --weights out")
        }
        guard !(quantizesWeights && keepsQuantised) else {
            throw DeviceError.badSetting("weights both as int8 and as they are stored")
        }
        self.quantizesWeights = quantizesWeights
        self.keepsQuantised = keepsQuantised
        self.instructionSet = set
        self.threads = count
        let type = computeType ?? Self.fasterComputeType(on: set)
        self.computeType = type
        self.cacheType = try Self.cacheType(cacheType, computing: type)
        guard let engine = mr_engine_create(set.kernel, self.computeType == .bfloat16, Int32(count)) else {
            throw DeviceError.outOfMemory(what: "\(count) threads", bytes: 0)
        }
        self.engine = engine
    }

    deinit { mr_engine_destroy(engine) }

    private static func cacheType(_ wanted: CacheType?, computing type: ComputeType) throws -> CacheType {
        let own: CacheType = type == .bfloat16 ? .bfloat16 : .float32
        guard let wanted, wanted != own else { return own }
        guard wanted == .int8, type == .bfloat16 else {
            throw DeviceError.badSetting(
                "a KV cache of \(wanted.rawValue) on a CPU that computes in \(type.rawValue): it can be "
                    + (type == .bfloat16 ? "bfloat16 or int8" : "float32"))
        }
        return .int8
    }

    /// bfloat16 wherever there are vector kernels. Where the CPU multiplies it, it is twice as fast. Where it is
    /// widened to float32 in registers, it costs a tenth at 64 rows and more (98 of 110 GFLOP/s a core on AVX-512,
    /// 90 of 99 on AVX2), gains half to double at 16 rows and fewer, where memory is the limit, and halves weights
    /// and cache.
    package static func fasterComputeType(on set: CPUFeatures.InstructionSet) -> ComputeType {
        set == .scalar ? .float32 : .bfloat16
    }

    package var availableBytes: Int? { nil }

    package var description: String {
        "cpu \(instructionSet), \(threads) thread\(threads == 1 ? "" : "s"), \(computeType.rawValue)"
            + (quantizesWeights ? ", int8 weights" : keepsQuantised ? ", weights as stored" : "")
            + (cacheType == .int8 ? ", int8 KV cache" : "")
    }

    // MARK: Loading

    package func makeMatrix(stacking parts: [MatrixSource]) throws -> CPUMatrix {
        guard let first = parts.first else { throw DeviceError.unsupported("a matrix without parts") }
        let inputs = first.inputs
        for part in parts { try part.check(inputs: inputs) }
        let matrix = try CPUMatrix(
            engine: engine, precision: precision(of: parts), inputs: inputs, parts: parts.map(\.outputs),
            stored: keepsQuantised ? storedTypes(of: parts) : nil)
        for (index, part) in parts.enumerated() {
            guard pack(part, index, of: matrix) else {
                throw DeviceError.outOfMemory(what: "packing \(part.name)", bytes: inputs * 4)
            }
        }
        return matrix
    }

    /// nil: one of them has none, and all are widened.
    private func storedTypes(of parts: [MatrixSource]) -> [UInt32]? {
        let types = parts.compactMap(\.storedType)
        return types.count == parts.count ? types : nil
    }

    /// Bytes of a weight in matrices whose weights stay as they are stored; nil: of this type they do not.
    package static func storedBytes(_ type: TensorType) -> Double? {
        mr_is_stored(type.rawValue) ? mr_stored_weight_bytes(type.rawValue) : nil
    }

    private func precision(of parts: [MatrixSource]) -> mr_precision {
        if quantizesWeights, parts.allSatisfy(\.canBeBytes) { return MR_INT8 }
        return computeType == .bfloat16 ? MR_BFLOAT16 : MR_FLOAT32
    }

    private func pack(_ part: MatrixSource, _ index: Int, of matrix: CPUMatrix) -> Bool {
        switch part.weights {
        case .tensor(let tensor):
            defer { (tensor.owner as? any DiscardablePages)?.discard(tensor.bytes) }
            return (part.rowOrder?.map(Int32.init)).withOptionalBuffer { order in
                var source = mr_matrix_source(
                    type: tensor.type.rawValue, data: tensor.bytes.baseAddress, row_bytes: tensor.rowBytes,
                    rows: Int32(tensor.rows), columns: Int32(tensor.columns), transposed: part.transposed,
                    row_order: order, groups: nil)
                return mr_matrix_pack(engine, matrix.handle, Int32(index), &source)
            }
        case .groups(let groups):
            defer { groups.discard() }
            return groups.withKernel { kernel in
                withUnsafePointer(to: &kernel) { kernel in
                    var source = mr_matrix_source()
                    source.groups = kernel
                    return mr_matrix_pack(engine, matrix.handle, Int32(index), &source)
                }
            }
        }
    }

    package func makeVector(_ values: [Float]) throws -> CPUVector { try CPUVector(values) }

    package func makeTable(_ tensor: WeightTensor) throws -> CPUTable {
        try tensor.check()
        return CPUTable(tensor)
    }

    package func makeActivation(maxRows: Int, width: Int) throws -> CPUActivation {
        guard mr_engine_reserve_inputs(engine, Int32(maxRows), Int32(width)) else {
            throw DeviceError.outOfMemory(
                what: "rounded inputs of \(maxRows) rows", bytes: maxRows * width * 4)
        }
        return try CPUActivation(maxRows: maxRows, width: width)
    }

    package func makeProductInput(maxRows: Int, width: Int, pieces: Int) throws -> CPUActivation {
        // Bytes are rounded by whole rows; and threads that round neighbouring pieces must not write the same words.
        let isRounded =
            computeType == .bfloat16 && !quantizesWeights && pieces % Int(MR_INPUT_STEP) == 0
            && width <= Int(MR_MAX_ROUNDED_WIDTH)
        guard isRounded else { return try makeActivation(maxRows: maxRows, width: width) }
        return try CPUActivation(maxRows: maxRows, width: width, roundedBy: engine)
    }

    package func makeRotation(inverseFrequencies: [Float], scale: Float, maxPositions: Int) throws
        -> CPURotation
    {
        try CPURotation(inverseFrequencies: inverseFrequencies, scale: scale, maxPositions: maxPositions)
    }

    package func makeCache(_ shape: CacheShape) throws -> CPUCache {
        guard shape.blockSize > 0, shape.blockSize % 16 == 0 else {
            throw DeviceError.unsupported(
                "KV blocks of \(shape.blockSize) positions; the CPU takes multiples of 16")
        }
        guard shape.headWidth <= Int(MR_MAX_HEAD_WIDTH) else {
            throw DeviceError.unsupported(
                "heads \(shape.headWidth) wide; the CPU takes up to \(MR_MAX_HEAD_WIDTH)")
        }
        // Slots are Int32.
        guard shape.blockCount <= Int(Int32.max) / shape.blockSize else {
            throw DeviceError.unsupported("\(shape.blockCount) KV blocks of \(shape.blockSize)")
        }
        let cache = try CPUCache(shape, cacheType, bytes: cacheBlockBytes(shape) * shape.blockCount)
        var kernel = cache.kernel
        mr_engine_use_cache(engine, &kernel)
        return cache
    }

    package func cacheBlockBytes(_ shape: CacheShape) -> Int {
        var kernel = mr_cache(
            data: nil, type: cacheType.kernel, layers: Int32(shape.layers), blocks: 1,
            block_size: Int32(shape.blockSize), kv_heads: Int32(shape.keyValueHeads),
            head_width: Int32(shape.headWidth))
        return mr_cache_block_bytes(&kernel)
    }
}

extension CacheType {
    var kernel: mr_cache_type {
        switch self {
        case .float32: MR_CACHE_FLOAT32
        case .bfloat16: MR_CACHE_BFLOAT16
        case .int8: MR_CACHE_INT8
        case .fp8: preconditionFailure("the CPU has no such cache")
        }
    }
}

extension Optional {
    func withOptionalBuffer<Element, R>(_ body: (UnsafePointer<Element>?) -> R) -> R where Wrapped == [Element] {
        guard let self else { return body(nil) }
        return self.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}

extension MatrixSource {
    /// GGUF's type of weights that products can widen as they need them.
    fileprivate var storedType: UInt32? {
        guard case .tensor(let tensor) = weights, !transposed, mr_is_stored(tensor.type.rawValue) else { return nil }
        return tensor.type.rawValue
    }

    /// Whether its weights may be rounded to int8.
    fileprivate var canBeBytes: Bool {
        if case .groups = weights { return false }
        return !keepsPrecision && !transposed && inputs <= Int(MR_MAX_BYTE_INPUTS)
    }
}
