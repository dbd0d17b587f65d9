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
