import Kernels
import Models

/// Bytes and operations of a decoder's parts, from its shape alone. Weights are read once a step, whatever the rows;
/// activations are taken to stay in caches.
package struct DecoderWork: Sendable {
    package let configuration: DecoderConfiguration
    /// Of a weight, a key or a value as products read them.
    package let elementBytes: Int

    package init(_ configuration: DecoderConfiguration, computeType: ComputeType) {
        self.configuration = configuration
        elementBytes = computeType == .bfloat16 ? 2 : 4
    }

    /// One matrix of the model, by name: inputs, and outputs of all its parts.
    package struct Matrix: Sendable, Equatable {
        package var name: String
        package var inputs: Int
        package var outputs: Int
        /// Two where gate and up are computed together.
        package var parts = 1

        package var elements: Int { inputs * outputs }
    }

    /// Those of one layer. Of a mixture, those of one expert.
    package var layerMatrices: [Matrix] {
        let c = configuration
        let parts = c.gated ? 2 : 1
        return [
            Matrix(name: "query, key, value", inputs: c.hidden, outputs: c.queryKeyValueWidth),
            Matrix(name: "attention output", inputs: c.heads * c.headWidth, outputs: c.hidden),
            Matrix(
                name: c.gated ? "gate, up" : "up", inputs: c.hidden, outputs: parts * c.feedForward, parts: parts),
            Matrix(name: "down", inputs: c.feedForward, outputs: c.hidden),
        ]
    }

    package var head: Matrix {
        Matrix(name: "logits", inputs: configuration.hidden, outputs: configuration.vocabulary)
    }

    package func work(_ matrix: Matrix, rows: Int) -> Work {
        Work(
            bytes: Double(matrix.elements * elementBytes), operations: 2 * Double(matrix.elements) * Double(rows))
    }

    /// Attention of one layer, for a row that sees `positions` (fewer where a window is narrower).
    package func attention(layer: Int, positions: Int) -> Work {
        let c = configuration
        let seen = Double(min(positions, c.layers[layer].window ?? positions))
        return Work(
            bytes: seen * Double(2 * c.keyValueHeads * c.headWidth * elementBytes),
            operations: seen * Double(4 * c.heads * c.headWidth))
    }

    /// A step of `rows` sequences, each with its one token at the end of a context of `positions`; every row's logits
    /// are wanted. Nil for mixtures, where it depends on the text which experts are read.
    package func decodeStep(rows: Int, positions: Int) -> Work? {
        guard configuration.mixture == nil else { return nil }
        var total = work(head, rows: rows)
        for layer in configuration.layers.indices {
            for matrix in layerMatrices { total = total + work(matrix, rows: rows) }
            let row = attention(layer: layer, positions: positions)
            total = total + Work(bytes: row.bytes * Double(rows), operations: row.operations * Double(rows))
        }
        return total
    }
}
