import Kernels
import Models

/// Bytes and operations of a decoder's parts, from its shape alone. Weights are read once a step, whatever the rows;
/// activations are taken to stay in caches.
package struct DecoderWork: Sendable {
    package let configuration: DecoderConfiguration
    /// Of a weight, a key or a value as products read them.
    package let elementBytes: Int
    /// Weights of the layers are bytes.
    private let quantizesWeights: Bool
    /// Of a weight where it lies.
    private let weightBytes: Double

    /// - Parameter storedBytes: of a weight as it lies, where it is widened when it is used; nil: as products read it.
    package init(
        _ configuration: DecoderConfiguration, computeType: ComputeType, quantizesWeights: Bool = false,
        storedBytes: Double? = nil
    ) {
        self.configuration = configuration
        self.quantizesWeights = quantizesWeights
        elementBytes = computeType == .bfloat16 ? 2 : 4
        weightBytes = storedBytes ?? Double(elementBytes)
    }

    /// One matrix of the model, by name: inputs, and outputs of all its parts.
    package struct Matrix: Sendable, Equatable {
        package var name: String
        package var inputs: Int
        package var outputs: Int
        /// Two where gate and up are computed together.
        package var parts = 1
        package var isOfBytes = false

        package var elements: Int { inputs * outputs }
    }

    /// Those of one layer. Of a mixture, those of one expert.
    package var layerMatrices: [Matrix] {
        let c = configuration
        func matrix(_ name: String, _ inputs: Int, _ outputs: Int, parts: Int = 1) -> Matrix {
            Matrix(name: name, inputs: inputs, outputs: parts * outputs, parts: parts, isOfBytes: quantizesWeights)
        }
        return [
            matrix("query, key, value", c.hidden, c.queryKeyValueWidth),
            matrix("attention output", c.heads * c.headWidth, c.hidden),
            matrix(c.gated ? "gate, up" : "up", c.hidden, c.feedForward, parts: c.gated ? 2 : 1),
            matrix("down", c.feedForward, c.hidden),
        ]
    }

    package var head: Matrix {
        Matrix(name: "logits", inputs: configuration.hidden, outputs: configuration.vocabulary)
    }

    package func work(_ matrix: Matrix, rows: Int) -> Work {
        let operations = 2 * Double(matrix.elements) * Double(rows)
        guard matrix.isOfBytes else {
            return Work(bytes: Double(matrix.elements) * weightBytes, operations: operations)
        }
        return Work(bytes: Double(matrix.elements), byteOperations: operations)
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
