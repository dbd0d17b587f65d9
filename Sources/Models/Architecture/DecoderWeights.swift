import Kernels

/// The weights of a decoder in the form that a device computes with.
struct DecoderWeights<D: Device> {
    struct Norm {
        let weight: D.Vector
        let bias: D.Vector?
    }

    struct Linear {
        let matrix: D.Matrix
        let bias: D.Vector?
    }

    enum FeedForward {
        case dense(up: Linear, down: Linear)
        case mixture(router: D.Matrix, gateUp: [D.Matrix], down: [D.Matrix], MixtureShape)
    }

    struct Layer {
        let attentionNorm: Norm
        let queryKeyValue: Linear
        let queryNorm: D.Vector?
        let keyNorm: D.Vector?
        let attentionOutput: Linear
        let postAttentionNorm: D.Vector?
        let feedForwardNorm: Norm
        let feedForward: FeedForward
        let postFeedForwardNorm: D.Vector?
    }

    let embedding: D.Table
    let positions: D.Table?
    let layers: [Layer]
    let finalNorm: Norm
    let head: D.Matrix

    init(
        _ sources: DecoderSources, configuration: DecoderConfiguration, on device: D, meter: LoadMeter
    ) throws {
        meter.begin(bytes: sources.byteCount)
        let maker = Maker(device: device, meter: meter)
        embedding = try maker.table(sources.embedding)
        positions = try sources.positions.map(maker.table)
        layers = try sources.layers.map { try maker.layer($0, mixture: configuration.mixture) }
        finalNorm = try maker.norm(sources.finalNorm)
        head = try maker.exactMatrix([sources.head])
    }

    private struct Maker {
        let device: D
        let meter: LoadMeter

        func table(_ source: WeightTensor) throws -> D.Table {
            let table = try device.makeTable(source)
            meter.add(bytes: source.byteCount)
            return table
        }

        func layer(_ source: DecoderSources.Layer, mixture: MixtureShape?) throws -> Layer {
            Layer(
                attentionNorm: try norm(source.attentionNorm),
                queryKeyValue: try linear(source.queryKeyValue),
                queryNorm: try source.queryNorm.map(device.makeVector),
                keyNorm: try source.keyNorm.map(device.makeVector),
                attentionOutput: try linear(source.attentionOutput),
                postAttentionNorm: try source.postAttentionNorm.map { try device.makeVector($0.weight) },
                feedForwardNorm: try norm(source.feedForwardNorm),
                feedForward: try feedForward(source.feedForward, mixture: mixture),
                postFeedForwardNorm: try source.postFeedForwardNorm.map { try device.makeVector($0.weight) }
            )
        }

        private func feedForward(
            _ source: DecoderSources.FeedForward, mixture: MixtureShape?
        ) throws -> FeedForward {
            switch (source, mixture) {
            case (.mixture(let router, let gateUp, let down), let shape?):
                return .mixture(
                    router: try exactMatrix(router.parts), gateUp: try gateUp.map { try matrix($0.parts) },
                    down: try down.map { try matrix($0.parts) }, shape)
            case (.dense(let up, let down), _): return .dense(up: try linear(up), down: try linear(down))
            case (.mixture, nil): preconditionFailure("a mixture of experts without its shape")
            }
        }

        func norm(_ source: DecoderSources.Norm) throws -> Norm {
            Norm(weight: try device.makeVector(source.weight), bias: try source.bias.map(device.makeVector))
        }

        private func linear(_ source: DecoderSources.Linear) throws -> Linear {
            Linear(matrix: try matrix(source.parts), bias: try source.bias.map(device.makeVector))
        }

        func matrix(_ parts: [MatrixSource]) throws -> D.Matrix {
            let matrix = try device.makeMatrix(stacking: parts)
            meter.add(bytes: parts.reduce(0) { $0 + $1.byteCount })
            return matrix
        }

        /// What decides between tokens, or experts, is rounded no further than the compute type.
        func exactMatrix(_ parts: [MatrixSource]) throws -> D.Matrix {
            try matrix(
                parts.map {
                    var part = $0
                    part.keepsPrecision = true
                    return part
                })
        }
    }
}

extension DecoderConfiguration {
    package func cacheShape(blockCount: Int, blockSize: Int) -> CacheShape {
        CacheShape(
            layers: layers.count, keyValueHeads: keyValueHeads, headWidth: headWidth,
            blockCount: blockCount,
            blockSize: blockSize)
    }
}
