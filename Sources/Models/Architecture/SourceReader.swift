import Kernels

/// Takes the tensors of a checkpoint that a configuration asks for, checking each one's shape.
struct SourceReader {
    let tensors: CheckpointTensors
    let names: TensorNames
    let configuration: DecoderConfiguration

    func read() throws(ModelError) -> DecoderSources {
        let c = configuration
        let embedding = try tensors.take(names.embedding + ".weight", shape: [c.vocabulary, c.hidden])
        let positions = try names.positions.map { name throws(ModelError) in
            try tensors.take(name + ".weight", shape: [c.contextLength, c.hidden])
        }
        var layers: [DecoderSources.Layer] = []
        for number in c.layers.indices { layers.append(try layer(number)) }
        let head: WeightTensor
        if tensors.has(names.head + ".weight") {
            head = try tensors.take(names.head + ".weight", shape: [c.vocabulary, c.hidden])
        } else if c.tiedHead {
            head = embedding
        } else {
            throw .malformed(
                file: tensors.file, field: "tensor \(names.head).weight",
                reason: "is missing, and the configuration does not tie the head to the embedding")
        }
        return DecoderSources(
            embedding: embedding, positions: positions, layers: layers,
            finalNorm: try norm(names.finalNorm), head: head)
    }

    private func layer(_ number: Int) throws(ModelError) -> DecoderSources.Layer {
        func name(_ template: String) -> String { template.replacing("#", with: String(number)) }
        let c = configuration
        var queryNorm: [Float]?
        var keyNorm: [Float]?
        if c.queryKeyNorms {
            queryNorm = try normWeight(name(names.queryNorm), count: c.headWidth)
            keyNorm = try normWeight(name(names.keyNorm), count: c.headWidth)
        }
        return DecoderSources.Layer(
            attentionNorm: try norm(name(names.attentionNorm)), queryKeyValue: try queryKeyValue(name),
            queryNorm: queryNorm, keyNorm: keyNorm,
            attentionOutput: try linear(
                [name(names.attentionOutput)], outputs: c.hidden, inputs: c.heads * c.headWidth,
                biased: c.biases.attentionOutput),
            postAttentionNorm: c.postNorms ? try norm(name(names.postAttentionNorm)) : nil,
            feedForwardNorm: try norm(name(names.feedForwardNorm)),
            feedForward: try feedForward(name),
            postFeedForwardNorm: c.postNorms ? try norm(name(names.postFeedForwardNorm)) : nil)
    }

    // MARK: Norms

    private func norm(_ name: String) throws(ModelError) -> DecoderSources.Norm {
        DecoderSources.Norm(
            weight: try normWeight(name, count: configuration.hidden),
            bias: configuration.norm == .layer
                ? try tensors.takeVector(name + ".bias", count: configuration.hidden) : nil)
    }

    private func normWeight(_ name: String, count: Int) throws(ModelError) -> [Float] {
        let weight = try tensors.takeVector(name + ".weight", count: count)
        return configuration.normOffset == 0 ? weight : weight.map { $0 + configuration.normOffset }
    }

    // MARK: Linear layers

    private func queryKeyValue(_ name: (String) -> String) throws(ModelError) -> DecoderSources.Linear {
        let c = configuration
        if let fused = names.queryKeyValue {
            return try linear(
                [name(fused)], outputs: c.queryKeyValueWidth, inputs: c.hidden,
                biased: c.biases.queryKeyValue)
        }
        let biased = c.biases.queryKeyValue
        let query = try rotated(name(names.query), heads: c.heads, biased: biased)
        let key = try rotated(name(names.key), heads: c.keyValueHeads, biased: biased)
        let value = try linear(
            [name(names.value)], outputs: c.keyValueHeads * c.headWidth, inputs: c.hidden, biased: biased)
        return DecoderSources.Linear(
            parts: query.parts + key.parts + value.parts,
            bias: biased ? (query.bias ?? []) + (key.bias ?? []) + (value.bias ?? []) : nil)
    }

    /// Queries or keys in the "half" order, whichever order the file has.
    private func rotated(_ name: String, heads: Int, biased: Bool) throws(ModelError)
        -> DecoderSources.Linear
    {
        let width = configuration.headWidth
        var linear = try linear(
            [name], outputs: heads * width, inputs: configuration.hidden, biased: biased)
        guard names.interleavedRotary else { return linear }
        let order = (0..<heads).flatMap { head in
            (0..<width).map { head * width + $0 % (width / 2) * 2 + $0 / (width / 2) }
        }
        linear.parts[0].rowOrder = order
        linear.bias = linear.bias.map { bias in order.map { bias[$0] } }
        return linear
    }

    /// Tensors of `outputs` each, stacked.
    private func linear(
        _ names: [String], outputs: Int, inputs: Int, biased: Bool
    ) throws(ModelError) -> DecoderSources.Linear {
        let transposed = self.names.transposed
        var linear = DecoderSources.Linear(parts: [], bias: biased ? [] : nil)
        for name in names {
            let shape = transposed ? [inputs, outputs] : [outputs, inputs]
            linear.parts.append(
                MatrixSource(try tensors.take(name + ".weight", shape: shape), transposed: transposed))
            if biased {
                linear.bias?.append(contentsOf: try tensors.takeVector(name + ".bias", count: outputs))
            }
        }
        return linear
    }

    private func feedForward(_ name: (String) -> String) throws(ModelError) -> DecoderSources.FeedForward {
        let c = configuration
        if let mixture = c.mixture { return try experts(name, mixture) }
        return .dense(
            up: try linear(
                c.gated ? [name(names.gate), name(names.up)] : [name(names.up)], outputs: c.feedForward,
                inputs: c.hidden, biased: c.biases.feedForward),
            down: try linear(
                [name(names.down)], outputs: c.hidden, inputs: c.feedForward, biased: c.biases.feedForward))
    }

    private func experts(
        _ name: (String) -> String, _ mixture: MixtureShape
    ) throws(ModelError) -> DecoderSources.FeedForward {
        let c = configuration
        let router = try linear(
            [name(names.router)], outputs: mixture.experts, inputs: c.hidden, biased: false)
        let gates = try expertMatrices(
            name(names.expertGate), mixture, outputs: c.feedForward, inputs: c.hidden)
        let ups = try expertMatrices(
            name(names.expertUp), mixture, outputs: c.feedForward, inputs: c.hidden)
        let downs = try expertMatrices(
            name(names.expertDown), mixture, outputs: c.hidden, inputs: c.feedForward)
        return .mixture(
            router: router,
            gateUp: zip(gates, ups).map {
                DecoderSources.Linear(parts: [MatrixSource($0), MatrixSource($1)])
            },
            down: downs.map { DecoderSources.Linear(parts: [MatrixSource($0)]) })
    }

    private func expertMatrices(
        _ name: String, _ mixture: MixtureShape, outputs: Int, inputs: Int
    ) throws(ModelError) -> [WeightTensor] {
        guard !names.stackedExperts else {
            let stacked = try tensors.take(name + ".weight", shape: [mixture.experts, outputs, inputs])
            return (0..<mixture.experts).map { stacked.matrix($0) }
        }
        return try (0..<mixture.experts).map { expert throws(ModelError) in
            try tensors.take(
                name.replacing("@", with: String(expert)) + ".weight", shape: [outputs, inputs])
        }
    }
}
