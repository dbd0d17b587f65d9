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
    var head: WeightTensor
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
        parts.append(MatrixSource(head))
        return parts.reduce(embedding.byteCount + (positions?.byteCount ?? 0)) { $0 + $1.byteCount }
    }
}

extension WeightTensor {
    var byteCount: Int { rows * rowBytes }
}

extension MatrixSource {
    /// Its rows alone, where it is a part of a tensor.
    var byteCount: Int { rowOrder.map { $0.count * tensor.rowBytes } ?? tensor.byteCount }
}
