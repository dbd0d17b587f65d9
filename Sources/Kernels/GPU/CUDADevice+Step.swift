/// A step's operations: shapes are checked here, once an operation, and trap; the kernels trust them.
extension CUDADevice {
    package func begin(_ batch: PackedBatch) throws {
        try throwFailure()
        packed = batch
        let memory = try self.batch()
        // Batches are loaded from two places in turn; the copy from this one must be over before it is written again.
        if stepsUnderWay == 2 {
            try runtime.synchronize()
            stepsUnderWay = 0
        }
        stepsUnderWay += 1
        choice?.stepsAfter += 1
        let decodes = !batch.sequences.isEmpty && batch.sequences.allSatisfy { $0.rows.count == 1 }
        step.mode = .eager
        step.isDecode = decodes && CUDAStep.bucket(batch.rowCount) <= memory.maxRows
        step.rows = step.isDecode ? CUDAStep.bucket(batch.rowCount) : batch.rowCount
        step.sequences = step.isDecode ? step.rows : batch.sequences.count
        step.productRows =
            step.isDecode ? max(step.rows, CUDAStep.leastProductRows) : CUDAStep.padded(batch.rowCount)
        try memory.load(batch, paddedRows: step.rows, paddedSequences: step.sequences)
        if !batch.chosen.isEmpty { try takeTokens(batch.chosen) }
        step.splits = CUDAStep.splits(positions: memory.positionEnd)
        step.tileCount = nil
        graphs.beginUngraphed()
        guard step.isDecode else { return }
        let kind = CUDAStepGraphs.Kind(rows: step.rows, splits: step.splits, generation: memory.generation)
        step.mode = graphs.begin(kind)
        if step.mode == .recording { try runtime.beginCapture() }
    }

    package func submit() throws {
        defer { step.mode = .eager }
        switch step.mode {
        case .eager: try throwFailure()
        case .recording:
            let graph = try runtime.endCapture()
            try throwFailure()
            graphs.store(graph)
            try runtime.launch(graph)
        case .replaying:
            guard let graph = graphs.graph else { preconditionFailure("a replay without a graph") }
            try runtime.launch(graph)
        }
    }

    private var indices: CUDABatch { batchMemory! }

    private func check(_ activation: CUDAActivation, width: Int) {
        precondition(
            activation.width == width, "an activation is \(activation.width) wide where \(width) is needed")
        precondition(
            activation.maxRows >= step.rows, "an activation holds \(activation.maxRows) rows of \(step.rows)")
    }

    private func check(_ vector: CUDAVector?, count: Int) {
        precondition(vector?.count ?? count == count, "a vector has not \(count) values")
    }

    func launch(
        _ name: String, _ geometry: CUDAGeometry, of source: CUDASource = .elementwise, macros: [String: Int] = [:],
        _ arguments: CUDAArgument...
    ) throws(DeviceError) {
        let macros = source == .elementwise ? macros.merging(computeType.macros) { $1 } : macros
        try runtime.launch(runtime.kernel(name, of: source, macros: macros), geometry, arguments)
    }

    // MARK: Rows

    package func embed(_ table: CUDATable, scale: Float, into x: CUDAActivation) {
        check(x, width: table.columns)
        precondition(indices.tokenEnd <= table.rows, "a token id lies outside the embedding table")
        x.isRounded = false
        attempt { () throws(DeviceError) in
            try launch(
                "mr_embed", CUDALaunch.rows(step.rows, width: x.width, block: 128), of: .tables,
                .address(table.address), .int(Int(table.type.rawValue)), .long(table.rowBytes),
                .address(indices.tokens), .float(scale), .address(x.floatAddress()), .int(x.width))
        }
    }

    package func addPositions(_ table: CUDATable, offset: Int, to x: CUDAActivation) {
        check(x, width: table.columns)
        precondition(
            offset >= 0 && indices.positionEnd + offset <= table.rows, "a position has no embedding")
        precondition(!x.isRounded)
        attempt { () throws(DeviceError) in
            try launch(
                "mr_add_positions", CUDALaunch.rows(step.rows, width: x.width, block: 128), of: .tables,
                .address(table.address), .int(Int(table.type.rawValue)), .long(table.rowBytes),
                .address(indices.positions), .int(offset), .address(x.floatAddress()), .int(x.width))
        }
    }

    package func rmsNorm(_ x: CUDAActivation, weight: CUDAVector, epsilon: Float, into y: CUDAActivation) {
        check(x, width: weight.count)
        check(y, width: weight.count)
        precondition(!x.isRounded)
        y.isRounded = true
        attempt { () throws(DeviceError) in
            try launch(
                "mr_rms_norm", CUDALaunch.row(step.rows), .address(x.floatAddress()), .address(weight.address),
                .float(epsilon),
                .address(y.roundedAddress()), .int(x.width))
        }
    }

    package func addRMSNorm(_ y: CUDAActivation, weight: CUDAVector, epsilon: Float, to x: CUDAActivation) {
        check(x, width: weight.count)
        check(y, width: weight.count)
        precondition(!x.isRounded && !y.isRounded)
        attempt { () throws(DeviceError) in
            try launch(
                "mr_add_rms_norm", CUDALaunch.row(step.rows), .address(y.floatAddress()), .address(weight.address),
                .float(epsilon),
                .address(x.floatAddress()), .int(x.width))
        }
    }

    package func layerNorm(
        _ x: CUDAActivation, weight: CUDAVector, bias: CUDAVector, epsilon: Float, into y: CUDAActivation
    ) {
        check(x, width: weight.count)
        check(y, width: weight.count)
        check(bias, count: weight.count)
        precondition(!x.isRounded)
        y.isRounded = true
        attempt { () throws(DeviceError) in
            try launch(
                "mr_layer_norm", CUDALaunch.row(step.rows), .address(x.floatAddress()), .address(weight.address),
                .address(bias.address),
                .float(epsilon), .address(y.roundedAddress()), .int(x.width))
        }
    }

    package func activate(_ x: CUDAActivation, function: ActivationFunction) {
        check(x, width: x.width)
        precondition(!x.isRounded)
        x.isRounded = true
        attempt { () throws(DeviceError) in
            let count = step.rows * x.width
            try launch(
                "mr_activate", CUDALaunch.elements(count), .address(x.floatAddress()), .int(function.cuda),
                .address(x.roundedAddress()), .long(count))
        }
    }

    package func rmsNormHeads(
        _ qkv: CUDAActivation, heads: Range<Int>, headWidth: Int, weight: CUDAVector, epsilon: Float
    ) {
        check(qkv, width: qkv.width)
        check(weight, count: headWidth)
        precondition(heads.lowerBound >= 0 && heads.upperBound * headWidth <= qkv.width && !qkv.isRounded)
        attempt { () throws(DeviceError) in
            try launch(
                "mr_rms_norm_heads",
                CUDALaunch.heads(step.rows, heads.count),
                .address(qkv.floatAddress()), .int(qkv.width), .int(heads.lowerBound), .int(headWidth),
                .address(weight.address), .float(epsilon))
        }
    }

    // MARK: Products

    package func linear(
        _ x: CUDAActivation, _ matrix: CUDAMatrix, bias: CUDAVector?, accumulate: Bool, into y: CUDAActivation
    ) {
        check(x, width: matrix.inputs)
        check(y, width: matrix.outputs)
        check(bias, count: matrix.outputs)
        precondition(x !== y && !(accumulate && y.isRounded))
        y.isRounded = false
        attempt { () throws(DeviceError) in
            try multiply(
                input(x), rows: step.rows, padded: step.productRows, matrix, bias: bias, accumulate: accumulate,
                into: y.floatAddress())
        }
    }

    package func gatedLinear(
        _ x: CUDAActivation, _ matrix: CUDAMatrix, bias: CUDAVector?, function: ActivationFunction,
        into y: CUDAActivation
    ) {
        check(x, width: matrix.inputs)
        check(y, width: matrix.outputs / 2)
        check(bias, count: matrix.outputs)
        precondition(
            matrix.parts.count == 2 && matrix.parts[0] == matrix.parts[1],
            "a gated matrix is stacked from two parts, gate and up, of as many outputs")
        precondition(x !== y)
        y.isRounded = true
        attempt { () throws(DeviceError) in
            switch matrix.storage {
            case .stored(let stored):
                return try multiplyGatedStored(
                    input(x), rows: step.rows, matrix, stored, bias: bias, function: function,
                    into: y.roundedAddress())
            case .widened(let weights) where runtime.products == nil && computeType == .bfloat16:
                return try multiplyGatedByOwnKernel(
                    input(x), rows: step.rows, matrix, weights: weights.address, bias: bias, function: function,
                    into: y.roundedAddress())
            case .widened: break
            }
            let both = try scratch(.gateUp, bytes: y.maxRows * matrix.outputs * 4)
            try multiply(
                input(x), rows: step.rows, padded: step.productRows, matrix, bias: nil, accumulate: false,
                into: both)
            try launch(
                "mr_gate", CUDALaunch.rows(step.rows, width: y.width), .address(both), .address(bias?.address ?? 0),
                .int(function.cuda),
                .address(y.roundedAddress()), .int(y.width))
        }
    }

    /// The form of x that products take; rounded here where its writer did not.
    func input(_ x: CUDAActivation) throws(DeviceError) -> CUDAAddress {
        if x.isRounded { return try x.roundedAddress() }
        let count = step.rows * x.width
        try launch(
            "mr_round", CUDALaunch.elements(count), .address(x.floatAddress()), .address(x.roundedAddress()),
            .long(count))
        return try x.roundedAddress()
    }

    /// y = x·Wᵀ + bias, or += that. Both hold `padded` rows; what lies behind `rows` is anyone's.
    func multiply(
        _ x: CUDAAddress, rows: Int, padded: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, accumulate: Bool,
        into y: CUDAAddress
    ) throws(DeviceError) {
        switch matrix.storage {
        case .stored(let stored):
            try multiplyStored(x, rows: rows, matrix, stored, bias: bias, accumulate: accumulate, into: y)
        case .widened(let weights) where computeType == .float32:
            try launch(
                "mr_gemm_float",
                CUDAGeometry(grid: ((matrix.outputs + 63) / 64, (rows + 63) / 64, 1), block: 256), of: .gemmFloat,
                .address(x), .address(weights.address), .address(bias?.address ?? 0), .address(y), .int(rows),
                .int(matrix.outputs), .int(matrix.inputs), .int(accumulate ? 1 : 0))
        case .widened(let weights):
            guard let products = runtime.products,
                try products.multiply(
                    x, rows: padded, by: weights.address, inputs: matrix.inputs, outputs: matrix.outputs,
                    accumulate: accumulate, into: y)
            else {
                return try multiplyByOwnKernel(
                    x, rows: rows, matrix, weights: weights.address, bias: bias, accumulate: accumulate, into: y)
            }
            guard let bias else { return }
            try launch(
                "mr_add_bias", CUDALaunch.rows(rows, width: matrix.outputs), .address(y), .address(bias.address),
                .int(matrix.outputs))
        }
    }

    // MARK: Attention

    package func rotateAndStore(_ qkv: CUDAActivation, rotation: CUDARotation?, cache: CUDACache, layer: Int) {
        let shape = cache.shape
        let queryWidth = qkv.width - 2 * shape.keyValueHeads * shape.headWidth
        check(qkv, width: qkv.width)
        precondition(
            queryWidth > 0 && queryWidth % shape.headWidth == 0, "qkv rows do not fit the cache's heads")
        precondition(layer >= 0 && layer < shape.layers && !qkv.isRounded)
        precondition(indices.slotEnd <= shape.blockCount * shape.blockSize, "a slot lies outside the cache")
        precondition(indices.positionEnd <= rotation?.maxPositions ?? .max, "a position is beyond the rotation's")
        precondition((rotation?.pairs ?? 0) * 2 <= shape.headWidth, "a rotation is wider than a head")
        attempt { () throws(DeviceError) in
            try launch(
                "mr_rotate_and_store", CUDALaunch.rows(step.rows, width: qkv.width), macros: cache.macros,
                .address(qkv.floatAddress()),
                .int(queryWidth / shape.headWidth),
                .int(shape.keyValueHeads), .int(shape.headWidth), .address(rotation?.cosines ?? 0),
                .address(rotation?.sines ?? 0), .int(rotation?.pairs ?? 0), .address(indices.positions),
                .address(indices.slots),
                .address(scratch(.queries, bytes: qkv.maxRows * queryWidth * inputBytes)),
                .address(cache.keys(layer)), .address(cache.values(layer)), .int(shape.blockSize))
        }
    }

    package func attention(
        _ qkv: CUDAActivation, cache: CUDACache, layer: Int, _ shape: AttentionShape, into y: CUDAActivation
    ) {
        precondition(
            shape.keyValueHeads == cache.shape.keyValueHeads && shape.headWidth == cache.shape.headWidth)
        precondition(shape.queryHeads > 0 && shape.queryHeads % shape.keyValueHeads == 0)
        precondition(layer >= 0 && layer < cache.shape.layers && shape.window ?? 1 > 0)
        check(qkv, width: (shape.queryHeads + 2 * shape.keyValueHeads) * shape.headWidth)
        check(y, width: shape.queryHeads * shape.headWidth)
        precondition(indices.blockEnd <= cache.shape.blockCount, "a block lies outside the cache")
        packed.checkTables(blockSize: cache.shape.blockSize)
        y.isRounded = true
        attempt { () throws(DeviceError) in
            let queries = try scratch(.queries, bytes: qkv.maxRows * y.width * inputBytes)
            try attend(queries, cache, layer: layer, shape, into: y.roundedAddress())
        }
    }

    // MARK: Logits

    package func gatherLogitRows(_ x: CUDAActivation, range: Range<Int>, into y: CUDAActivation) {
        precondition(x.width == y.width && x.isRounded, "logits are made of the final norm's rows")
        precondition(
            range.lowerBound >= 0 && range.upperBound <= indices.logitRows && range.count <= y.maxRows)
        y.isRounded = true
        attempt { () throws(DeviceError) in
            try launch(
                "mr_gather_rows", CUDALaunch.rows(range.count, width: x.width, block: 128),
                .address(x.roundedAddress()), .address(indices.wanted + CUDAAddress(range.lowerBound * 4)),
                .address(y.roundedAddress()), .int(x.width))
        }
    }

    /// Logits in device memory, `[rows, vocabulary]`, valid until the next call.
    func deviceLogits(
        _ x: CUDAActivation, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, softCap: Float?
    ) throws -> CUDAAddress {
        precondition(x.width == matrix.inputs && rows >= 0 && rows <= x.maxRows && x.isRounded)
        check(bias, count: matrix.outputs)
        try throwFailure()
        let padded = min(CUDAStep.padded(rows), x.maxRows)
        let target = try scratch(.logits, bytes: x.maxRows * matrix.outputs * 4)
        try multiply(
            x.roundedAddress(), rows: rows, padded: padded, matrix, bias: bias, accumulate: false, into: target)
        if let softCap {
            let count = rows * matrix.outputs
            try launch(
                "mr_soft_cap", CUDALaunch.elements(count), .address(target), .float(softCap), .long(count))
        }
        return target
    }

    package func logits(
        _ x: CUDAActivation, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, softCap: Float?
    ) throws -> Logits {
        let source = try deviceLogits(x, rows: rows, matrix, bias: bias, softCap: softCap)
        let bytes = rows * matrix.outputs * 4
        let buffer = try logitsBuffer(bytes: max(bytes, x.maxRows * matrix.outputs * 4))
        try runtime.download(source, into: UnsafeMutableRawBufferPointer(start: buffer, count: bytes))
        stepsUnderWay = 0
        return Logits(rows: rows, vocabulary: matrix.outputs, base: buffer.assumingMemoryBound(to: Float.self))
    }
}

extension ActivationFunction {
    /// As kernels number it (mr.cuh).
    var cuda: Int {
        switch self {
        case .silu: 0
        case .geluTanh: 1
        case .gelu: 2
        case .relu: 3
        }
    }
}
