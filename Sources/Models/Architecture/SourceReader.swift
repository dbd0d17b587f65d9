import Kernels

/// Takes the tensors of a checkpoint that a configuration asks for, checking each one's shape.
struct SourceReader {
    let tensors: CheckpointTensors
    let names: TensorNames
    let configuration: DecoderConfiguration
    /// How linear layers are quantised that have words in place of weights.
    var quantization: WeightQuantization?

    func read() throws(ModelError) -> DecoderSources {
        let c = configuration
        let embedding = try tensors.take(names.embedding + ".weight", shape: [c.vocabulary, c.hidden])
        let positions = try names.positions.map { name throws(ModelError) in
            try tensors.take(name + ".weight", shape: [c.contextLength, c.hidden])
        }
        var layers: [DecoderSources.Layer] = []
        for number in c.layers.indices { layers.append(try layer(number)) }
        let head: MatrixSource
        if tensors.has(names.head + ".weight") || GroupedReader.has(names.head, in: tensors) {
            head = try matrix(names.head, outputs: c.vocabulary, inputs: c.hidden, transposed: false)
        } else if c.tiedHead {
            head = MatrixSource(embedding)
        } else {
            throw .malformed(
                file: tensors.file, field: "tensor \(names.head).weight",
                reason: "is missing, and the configuration does not tie the head to the embedding")
        }
        let sources = DecoderSources(
            embedding: embedding, positions: positions, layers: layers,
            finalNorm: try norm(names.finalNorm), head: head)
        if let quantization, sources.groupedWeights.isEmpty {
            throw .malformed(
                file: tensors.file, field: "tensors",
                reason: "none is quantised, though the configuration says \(quantization.summary)")
        }
        return sources
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
        // No file that interleaves has weights in groups.
        linear.parts[0].rowOrder = order
        linear.bias = linear.bias.map { bias in order.map { bias[$0] } }
        return linear
    }

    /// Layers of `outputs` each, stacked.
    private func linear(
        _ names: [String], outputs: Int, inputs: Int, biased: Bool
    ) throws(ModelError) -> DecoderSources.Linear {
        var linear = DecoderSources.Linear(parts: [], bias: biased ? [] : nil)
        for name in names {
            linear.parts.append(
                try matrix(name, outputs: outputs, inputs: inputs, transposed: self.names.transposed, biased: biased))
            if biased {
                linear.bias?.append(contentsOf: try tensors.takeVector(name + ".bias", count: outputs))
            }
        }
        return linear
    }

    /// One layer's weights, quantised or not, which differs from layer to layer.
    private func matrix(
        _ name: String, outputs: Int, inputs: Int, transposed: Bool, biased: Bool = false
    ) throws(ModelError) -> MatrixSource {
        guard GroupedReader.has(name, in: tensors) else {
            let shape = transposed ? [inputs, outputs] : [outputs, inputs]
            return MatrixSource(try tensors.take(name + ".weight", shape: shape), transposed: transposed)
        }
        guard let quantization else {
            throw .unsupported(
                file: tensors.file, field: "tensor \(name).qweight",
                reason: "nothing says how it is quantised: config.json has no \(WeightQuantization.configName), and "
                    + "there is no \(WeightQuantization.olderDocuments.map(\.name).joined(separator: " or "))")
        }
        let reader = GroupedReader(tensors: tensors, quantization: quantization)
        if !biased { try reader.checkNoBias(name, outputs: outputs) }
        return MatrixSource(try reader.take(name, outputs: outputs, inputs: inputs))
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
            gateUp: zip(gates, ups).map { DecoderSources.Linear(parts: [$0, $1]) },
            down: downs.map { DecoderSources.Linear(parts: [$0]) })
    }

    private func expertMatrices(
        _ name: String, _ mixture: MixtureShape, outputs: Int, inputs: Int
    ) throws(ModelError) -> [MatrixSource] {
        guard !names.stackedExperts else {
            let stacked = try tensors.take(name + ".weight", shape: [mixture.experts, outputs, inputs])
            return (0..<mixture.experts).map { MatrixSource(stacked.matrix($0)) }
        }
        return try (0..<mixture.experts).map { expert throws(ModelError) in
            var source = try matrix(
                name.replacing("@", with: String(expert)), outputs: outputs, inputs: inputs, transposed: false)
            source.isExpert = true
            return source
        }
    }
}
