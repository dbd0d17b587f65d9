import Kernels

/// The weights of a decoder as they lie in the checkpoint, sorted by use: what a device's matrices are
/// made from.
struct DecoderSources {
    struct Norm {
        var weight: [Float]
        /// Of layer norms.
        var bias: [Float]?
    }

    struct Linear {
        /// Stacked by outputs.
        var parts: [MatrixSource]
        var bias: [Float]?
    }

    enum FeedForward {
        /// `up` is gate and up stacked where the configuration is gated.
        case dense(up: Linear, down: Linear)
        case mixture(router: Linear, gateUp: [Linear], down: [Linear])
    }

    struct Layer {
        var attentionNorm: Norm
        /// Queries, keys and values stacked.
        var queryKeyValue: Linear
        /// `[headWidth]`
        var queryNorm: [Float]?
        var keyNorm: [Float]?
        var attentionOutput: Linear
        var postAttentionNorm: Norm?
        var feedForwardNorm: Norm
        var feedForward: FeedForward
        var postFeedForwardNorm: Norm?
    }

    /// `[vocabulary, hidden]`
    var embedding: WeightTensor
    /// `[contextLength, hidden]`
    var positions: WeightTensor?
    var layers: [Layer]
    var finalNorm: Norm
    /// `[vocabulary, hidden]`; the embedding where they are tied.
    var head: MatrixSource
}

extension DecoderSources {
    /// All matrices, in the order of the layers.
    private var matrices: [MatrixSource] {
        layers.flatMap { layer in
            var linears = [layer.queryKeyValue, layer.attentionOutput]
            switch layer.feedForward {
            case .dense(let up, let down): linears += [up, down]
            case .mixture(let router, let gateUp, let down): linears += [router] + gateUp + down
            }
            return linears.flatMap(\.parts)
        } + [head]
    }

    /// Those whose weights are packed in words.
    var groupedWeights: [GroupedWeights] {
        matrices.compactMap { if case .groups(let groups) = $0.weights { groups } else { nil } }
    }
}

extension DecoderSources {
    /// What a device is given of tables and matrices; norms and biases are nothing beside it.
    var byteCount: Int {
        var parts = layers.flatMap { layer in
            let inner =
                switch layer.feedForward {
                case .dense(let up, let down): [up, down]
                case .mixture(let router, let gateUp, let down): [router] + gateUp + down
                }
            return ([layer.queryKeyValue, layer.attentionOutput] + inner).flatMap(\.parts)
        }
        parts.append(head)
        return parts.reduce(embedding.byteCount + (positions?.byteCount ?? 0)) { $0 + $1.byteCount }
    }
}

extension WeightTensor {
    var byteCount: Int { rows * rowBytes }
}

extension GroupedWeights {
    var byteCount: Int { outputs * inputs * bits / 8 }
}

extension MatrixSource {
    /// Its rows alone, where it is a part of a tensor.
    var byteCount: Int {
        switch weights {
        case .tensor(let tensor): rowOrder.map { $0.count * tensor.rowBytes } ?? tensor.byteCount
        case .groups(let groups): groups.byteCount
        }
    }
}
