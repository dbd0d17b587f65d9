import CKernels

/// A step's operations: shapes are checked here, once an operation, and trap; the kernels trust them.
extension CPUDevice {
    package func begin(_ batch: PackedBatch) throws {
        precondition(batch.chosen.isEmpty, "the CPU leaves choosing to its caller")
        var kernel = try self.batch.load(batch)
        guard mr_engine_begin(engine, &kernel) else {
            throw DeviceError.outOfMemory(what: "attention scratch", bytes: self.batch.positionEnd * 4)
        }
        packed = batch
    }

    private var rows: Int { batch.rowCount }

    private func check(_ activation: CPUActivation, width: Int) {
        precondition(
            activation.width == width, "an activation is \(activation.width) wide where \(width) is needed")
        precondition(activation.maxRows >= rows, "an activation holds \(activation.maxRows) rows of \(rows)")
    }

    private func check(_ vector: CPUVector?, count: Int) {
        precondition(vector?.count ?? count == count, "a vector has not \(count) values")
    }

    package func embed(_ table: CPUTable, scale: Float, into x: CPUActivation) {
        check(x, width: table.tensor.columns)
        precondition(batch.tokenEnd <= table.tensor.rows, "a token id lies outside the embedding table")
        var kernel = table.kernel
        mr_embed(engine, &kernel, scale, x.rows)
    }

    package func addPositions(_ table: CPUTable, offset: Int, to x: CPUActivation) {
        check(x, width: table.tensor.columns)
        precondition(
            offset >= 0 && batch.positionEnd + offset <= table.tensor.rows, "a position has no embedding")
        var kernel = table.kernel
        mr_add_positions(engine, &kernel, Int32(offset), x.rows)
    }

    package func rmsNorm(_ x: CPUActivation, weight: CPUVector, epsilon: Float, into y: CPUActivation) {
        check(x, width: weight.count)
        check(y, width: weight.count)
        mr_rms_norm(engine, x.rows, weight.pointer, epsilon, y.anyRows, Int32(weight.count))
    }

    package func addRMSNorm(_ y: CPUActivation, weight: CPUVector, epsilon: Float, to x: CPUActivation) {
        check(x, width: weight.count)
        check(y, width: weight.count)
        mr_add_rms_norm(engine, y.rows, weight.pointer, epsilon, x.rows, Int32(weight.count))
    }

    package func layerNorm(
        _ x: CPUActivation, weight: CPUVector, bias: CPUVector, epsilon: Float, into y: CPUActivation
    ) {
        check(x, width: weight.count)
        check(y, width: weight.count)
        check(bias, count: weight.count)
        mr_layer_norm(engine, x.rows, weight.pointer, bias.pointer, epsilon, y.anyRows, Int32(weight.count))
    }

    package func linear(
        _ x: CPUActivation, _ matrix: CPUMatrix, bias: CPUVector?, accumulate: Bool, into y: CPUActivation
    ) {
        check(x, width: matrix.inputs)
        check(y, width: matrix.outputs)
        check(bias, count: matrix.outputs)
        precondition(x !== y)
        mr_linear(engine, x.anyRows, Int32(rows), matrix.handle, bias?.pointer, accumulate, y.rows)
    }

    package func gatedLinear(
        _ x: CPUActivation, _ matrix: CPUMatrix, bias: CPUVector?, function: ActivationFunction,
        into y: CPUActivation
    ) {
        check(x, width: matrix.inputs)
        check(y, width: matrix.outputs / 2)
        check(bias, count: matrix.outputs)
        checkGated(matrix)
        precondition(x !== y)
        mr_gated_linear(
            engine, x.anyRows, Int32(rows), matrix.handle, bias?.pointer, function.kernel, y.anyRows)
    }

    private func checkGated(_ matrix: CPUMatrix) {
        precondition(
            matrix.parts.count == 2 && matrix.parts[0] == matrix.parts[1],
            "a gated matrix is stacked from two parts, gate and up, of as many outputs")
    }

    package func activate(_ x: CPUActivation, function: ActivationFunction) {
        check(x, width: x.width)
        mr_activate(engine, x.rows, Int32(x.width), function.kernel)
    }

    package func rmsNormHeads(
        _ qkv: CPUActivation, heads: Range<Int>, headWidth: Int, weight: CPUVector, epsilon: Float
    ) {
        check(qkv, width: qkv.width)
        check(weight, count: headWidth)
        precondition(heads.lowerBound >= 0 && heads.upperBound * headWidth <= qkv.width)
        mr_rms_norm_heads(
            engine, qkv.rows, Int32(heads.lowerBound), Int32(heads.count), Int32(headWidth), weight.pointer,
            epsilon)
    }

    package func rotateAndStore(_ qkv: CPUActivation, rotation: CPURotation?, cache: CPUCache, layer: Int) {
        let shape = cache.shape
        let queryWidth = qkv.width - 2 * shape.keyValueHeads * shape.headWidth
        check(qkv, width: qkv.width)
        precondition(
            queryWidth > 0 && queryWidth % shape.headWidth == 0, "qkv rows do not fit the cache's heads")
        precondition(layer >= 0 && layer < shape.layers)
        precondition(batch.slotEnd <= shape.blockCount * shape.blockSize, "a slot lies outside the cache")
        cache.supply(upTo: (batch.slotEnd + shape.blockSize - 1) / shape.blockSize, device: self)
        rotation?.fill(upTo: batch.positionEnd)
        var angles = rotation?.kernel ?? mr_rotation(cosines: nil, sines: nil, pairs: 0)
        precondition(Int(angles.pairs) * 2 <= shape.headWidth, "a rotation is wider than a head")
        var kernel = cache.kernel
        mr_rotate_and_store(
            engine, qkv.rows, Int32(queryWidth / shape.headWidth), &angles, &kernel, Int32(layer))
    }

    package func attention(
        _ qkv: CPUActivation, cache: CPUCache, layer: Int, _ shape: AttentionShape, into y: CPUActivation
    ) {
        precondition(
            shape.keyValueHeads == cache.shape.keyValueHeads && shape.headWidth == cache.shape.headWidth)
        precondition(shape.queryHeads > 0 && shape.queryHeads % shape.keyValueHeads == 0)
        precondition(layer >= 0 && layer < cache.shape.layers && shape.window ?? 1 > 0)
        check(qkv, width: (shape.queryHeads + 2 * shape.keyValueHeads) * shape.headWidth)
        check(y, width: shape.queryHeads * shape.headWidth)
        precondition(batch.blockEnd <= cache.shape.blockCount, "a block lies outside the cache")
        packed.checkTables(blockSize: cache.shape.blockSize)
        var kernel = cache.kernel
        // A window longer than any Int32 position sees everything.
        var how = mr_attention_shape(
            query_heads: Int32(shape.queryHeads), scale: shape.scale,
            window: Int32(min(shape.window ?? 0, Int(Int32.max / 2))), soft_cap: shape.softCap ?? 0)
        mr_attention(engine, qkv.rows, &kernel, Int32(layer), &how, y.anyRows)
    }

    /// The CPU has done everything by now.
    package func submit() {}

    package func gatherLogitRows(_ x: CPUActivation, range: Range<Int>, into y: CPUActivation) {
        check(x, width: y.width)
        precondition(
            range.lowerBound >= 0 && range.upperBound <= batch.logitRowCount && range.count <= y.maxRows)
        precondition((x.rounding == nil) == (y.rounding == nil), "rows are rounded, and their copies are not")
        mr_gather_logit_rows(
            engine, x.anyRows, Int32(range.lowerBound), Int32(range.count), y.anyRows, Int32(x.width))
    }

    package func logits(
        _ x: CPUActivation, rows: Int, _ matrix: CPUMatrix, bias: CPUVector?, softCap: Float?
    ) throws -> Logits {
        precondition(x.width == matrix.inputs && rows >= 0 && rows <= x.maxRows)
        check(bias, count: matrix.outputs)
        let stride = rowStride(matrix.outputs)
        // All that will ever be wanted, so that it is made once; pages come as they are touched.
        let bytes = x.maxRows * stride * 4
        if logitsMemory == nil || logitsMemory!.bytes < bytes {
            logitsMemory = nil
            logitsMemory = try CPUMemory(bytes: bytes, for: "\(x.maxRows) rows of logits")
        }
        let target = logitsMemory!.floats
        mr_logits(
            engine, x.anyRows, Int32(rows), matrix.handle, bias?.pointer, softCap ?? 0,
            mr_rows(data: target, stride: stride, rounded: false))
        return Logits(rows: rows, vocabulary: matrix.outputs, stride: stride, base: target)
    }

    package func addMixture(
        _ x: CPUActivation, router: CPUMatrix, gateUp: [CPUMatrix], down: [CPUMatrix], _ shape: MixtureShape,
        to y: CPUActivation
    ) {
        check(x, width: router.inputs)
        check(y, width: router.inputs)
        precondition(
            router.outputs == shape.experts && gateUp.count == shape.experts && down.count == shape.experts)
        precondition(shape.chosen > 0 && shape.chosen <= shape.experts && x !== y)
        for (gate, back) in zip(gateUp, down) {
            checkGated(gate)
            precondition(gate.inputs == router.inputs && gate.outputs == 2 * back.inputs)
            precondition(back.outputs == router.inputs && back.inputs == down[0].inputs)
        }
        var kernel = mr_mixture_shape(
            experts: Int32(shape.experts), chosen: Int32(shape.chosen), renormalise: shape.renormalise,
            function: shape.function.kernel)
        let gates: [OpaquePointer?] = gateUp.map(\.handle)
        let backs: [OpaquePointer?] = down.map(\.handle)
        let done = mr_add_mixture(engine, x.rows, router.handle, gates, backs, &kernel, y.rows)
        precondition(done, "no memory for a mixture of experts' scratch")
    }
}

extension ActivationFunction {
    var kernel: mr_function {
        switch self {
        case .silu: MR_SILU
        case .geluTanh: MR_GELU_TANH
        case .gelu: MR_GELU
        case .relu: MR_RELU
        }
    }
}
