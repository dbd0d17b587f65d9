import Kernels

/// Runs a decoder-only transformer on a device: every architecture that `DecoderConfiguration` can
/// describe.
package final class DecoderRunner<D: Device>: ModelRunner {
    package private(set) var shape: ModelShape
    private let configuration: DecoderConfiguration
    private let device: D
    private let weights: DecoderWeights<D>
    private let rotations: [D.Rotation]
    /// nil only while it is made anew.
    private var cache: D.Cache!
    private let buffers: Buffers

    /// Activations of a step, float32. All have `maxRows` rows but `logitRows`, which has `maxLogitRows`.
    private struct Buffers {
        /// The residual stream, `[rows, hidden]`.
        let stream: D.Activation
        /// Input of a block, `[rows, hidden]`.
        let block: D.Activation
        /// Output of a block that has a norm after it, `[rows, hidden]`; nil: there is none.
        let projected: D.Activation?
        /// `[rows, (heads + 2 keyValueHeads) * headWidth]`
        let queryKeyValue: D.Activation
        /// `[rows, heads * headWidth]`
        let attended: D.Activation
        /// `[rows, feedForward]`
        let inner: D.Activation
        /// Final hidden states that logits are wanted of, `[maxLogitRows, hidden]`.
        let logitRows: D.Activation
    }

    init(
        _ sources: DecoderSources, configuration: DecoderConfiguration, shape: ModelShape, device: D,
        meter: LoadMeter
    ) throws {
        self.configuration = configuration
        self.shape = shape
        self.device = device
        let c = configuration
        func buffer(_ width: Int) throws -> D.Activation {
            try device.makeActivation(maxRows: shape.maxRows, width: width)
        }
        weights = try DecoderWeights(sources, configuration: c, on: device, meter: meter)
        rotations = try c.rotaries.map {
            try device.makeRotation(
                inverseFrequencies: $0.inverseFrequencies, scale: $0.attentionFactor,
                maxPositions: shape.contextLength)
        }
        cache = try device.makeCache(
            c.cacheShape(blockCount: shape.blockCount, blockSize: shape.blockSize))
        /// What only products read.
        func input(_ width: Int, pieces: Int, rows: Int = shape.maxRows) throws -> D.Activation {
            try device.makeProductInput(maxRows: rows, width: width, pieces: pieces)
        }
        // Experts gather their rows themselves.
        let takesBlocks = c.mixture == nil
        let hasPostNorms = weights.layers.contains { $0.postAttentionNorm != nil || $0.postFeedForwardNorm != nil }
        buffers = Buffers(
            stream: try buffer(c.hidden),
            block: try takesBlocks ? input(c.hidden, pieces: c.hidden) : buffer(c.hidden),
            projected: try hasPostNorms ? buffer(c.hidden) : nil,
            queryKeyValue: try buffer(c.queryKeyValueWidth),
            attended: try input(c.heads * c.headWidth, pieces: c.headWidth),
            inner: try c.gated ? input(c.feedForward, pieces: c.feedForward) : buffer(c.feedForward),
            logitRows: try takesBlocks
                ? input(c.hidden, pieces: c.hidden, rows: shape.maxLogitRows)
                : device.makeActivation(maxRows: shape.maxLogitRows, width: c.hidden))
    }

    /// Gives the cache this share of what the device has left after a step of the largest size, so that nothing the
    /// model needs later is missing.
    func growCache(toShare share: Double) throws {
        try runLargestStep()
        let blockBytes = device.cacheBlockBytes(
            configuration.cacheShape(blockCount: 1, blockSize: shape.blockSize))
        cache = nil
        let available = device.availableBytes ?? 0
        let wanted = Int(Double(available) * share) / max(blockBytes, 1)
        let most = Int(Int32.max) / shape.blockSize
        guard wanted >= shape.blockCount else {
            throw DeviceError.outOfDeviceMemory(
                what: "a key/value cache of \(shape.blockCount) blocks", bytes: shape.blockCount * blockBytes,
                available: available, total: available)
        }
        shape.blockCount = min(wanted, most)
        shape.contextLength = min(shape.contextLength, shape.blockCount * shape.blockSize)
        cache = try device.makeCache(
            configuration.cacheShape(blockCount: shape.blockCount, blockSize: shape.blockSize))
    }

    /// Sequences of one token over and over; they share their blocks, since nobody reads what they write.
    private func runLargestStep() throws {
        var batch = PackedBatch()
        let length = min(shape.contextLength, shape.maxRows)
        let blocks = (0..<Int32((length + shape.blockSize - 1) / shape.blockSize))
        while batch.rowCount < shape.maxRows {
            let count = min(length, shape.maxRows - batch.rowCount)
            batch.append(
                Array(repeating: Int32(0), count: count), at: 0, blocks: blocks, blockSize: shape.blockSize,
                logits: .all)
        }
        try forward(batch)
        _ = try logits(0..<shape.maxLogitRows)
    }

    package func forward(_ batch: PackedBatch) throws {
        precondition(batch.rowCount <= shape.maxRows, "\(batch.rowCount) rows exceed \(shape.maxRows)")
        let stream = buffers.stream
        try device.begin(batch)
        device.embed(weights.embedding, scale: configuration.embeddingScale, into: stream)
        if let positions = weights.positions { device.addPositions(positions, offset: 0, to: stream) }
        for (number, layer) in weights.layers.enumerated() {
            attend(layer, number)
            feedForward(layer)
        }
        normalise(stream, weights.finalNorm, into: buffers.block)
        try device.submit()
    }

    package func logits(_ range: Range<Int>) throws -> Logits {
        precondition(range.count <= shape.maxLogitRows, "\(range.count) rows exceed \(shape.maxLogitRows)")
        device.gatherLogitRows(buffers.block, range: range, into: buffers.logitRows)
        return try device.logits(
            buffers.logitRows, rows: range.count, weights.head, bias: nil,
            softCap: configuration.logitSoftCap)
    }

    package var choosesTokens: Bool { device.choosesTokens }

    package func startChoosing(_ range: Range<Int>, _ rows: CUDASamplingBatch) throws {
        precondition(range.count <= shape.maxLogitRows, "\(range.count) rows exceed \(shape.maxLogitRows)")
        device.gatherLogitRows(buffers.block, range: range, into: buffers.logitRows)
        try device.startChoosing(
            buffers.logitRows, rows: range.count, weights.head, bias: nil, softCap: configuration.logitSoftCap, rows)
    }

    package func finishChoosing() throws -> [CUDASamplingBatch.Choice] { try device.finishChoosing() }

    /// stream += output(attention(norm(stream)))
    private func attend(_ layer: DecoderWeights<D>.Layer, _ number: Int) {
        let c = configuration
        let kind = c.layers[number]
        let qkv = buffers.queryKeyValue
        normalise(buffers.stream, layer.attentionNorm, into: buffers.block)
        device.linear(
            buffers.block, layer.queryKeyValue.matrix, bias: layer.queryKeyValue.bias, accumulate: false,
            into: qkv)
        if let queryNorm = layer.queryNorm, let keyNorm = layer.keyNorm {
            device.rmsNormHeads(
                qkv, heads: 0..<c.heads, headWidth: c.headWidth, weight: queryNorm, epsilon: c.normEpsilon)
            device.rmsNormHeads(
                qkv, heads: c.heads..<c.heads + c.keyValueHeads, headWidth: c.headWidth, weight: keyNorm,
                epsilon: c.normEpsilon)
        }
        device.rotateAndStore(qkv, rotation: kind.rotary.map { rotations[$0] }, cache: cache, layer: number)
        device.attention(
            qkv, cache: cache, layer: number,
            AttentionShape(
                queryHeads: c.heads, keyValueHeads: c.keyValueHeads, headWidth: c.headWidth,
                scale: kind.attentionScale, window: kind.window, softCap: c.attentionSoftCap),
            into: buffers.attended)
        add(buffers.attended, layer.attentionOutput, postNorm: layer.postAttentionNorm)
    }

    /// stream += down(function(gate) * up), of norm(stream)
    private func feedForward(_ layer: DecoderWeights<D>.Layer) {
        let c = configuration
        normalise(buffers.stream, layer.feedForwardNorm, into: buffers.block)
        switch layer.feedForward {
        case .mixture(let router, let gateUp, let down, let shape):
            device.addMixture(
                buffers.block, router: router, gateUp: gateUp, down: down, shape, to: buffers.stream)
        case .dense(let up, let down):
            if c.gated {
                device.gatedLinear(
                    buffers.block, up.matrix, bias: up.bias, function: c.activation, into: buffers.inner)
            } else {
                device.linear(
                    buffers.block, up.matrix, bias: up.bias, accumulate: false, into: buffers.inner)
                device.activate(buffers.inner, function: c.activation)
            }
            add(buffers.inner, down, postNorm: layer.postFeedForwardNorm)
        }
    }

    /// stream += linear(x), or norm(linear(x)) where there is a norm after the block.
    private func add(_ x: D.Activation, _ linear: DecoderWeights<D>.Linear, postNorm: D.Vector?) {
        guard let postNorm, let projected = buffers.projected else {
            device.linear(x, linear.matrix, bias: linear.bias, accumulate: true, into: buffers.stream)
            return
        }
        device.linear(x, linear.matrix, bias: linear.bias, accumulate: false, into: projected)
        device.addRMSNorm(
            projected, weight: postNorm, epsilon: configuration.normEpsilon, to: buffers.stream)
    }

    private func normalise(_ x: D.Activation, _ norm: DecoderWeights<D>.Norm, into y: D.Activation) {
        if let bias = norm.bias {
            device.layerNorm(
                x, weight: norm.weight, bias: bias, epsilon: configuration.normEpsilon, into: y)
        } else {
            device.rmsNorm(x, weight: norm.weight, epsilon: configuration.normEpsilon, into: y)
        }
    }
}
