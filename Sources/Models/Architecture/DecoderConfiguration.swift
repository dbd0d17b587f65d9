import Kernels

/// The computation of a decoder-only transformer, whatever file it came from: what `DecoderRunner` runs.
package struct DecoderConfiguration: Sendable, Equatable {
    package enum Family: String, Sendable, CaseIterable {
        case llama, mistral, mixtral, qwen2, qwen3, gemma, gemma2, gemma3, gpt2
    }

    package enum NormKind: String, Sendable {
        /// Scale by the root mean square; a weight, no bias.
        case rms
        /// Subtract the mean, divide by the deviation; weight and bias.
        case layer
    }

    /// What differs from layer to layer.
    package struct Layer: Sendable, Equatable {
        /// A query sees itself and the `window - 1` positions before it; nil sees all.
        package var window: Int?
        /// Which of `rotaries` turns queries and keys; nil: none.
        package var rotary: Int?
        /// Multiplies q·k.
        package var attentionScale: Float
    }

    /// Which linear layers have biases.
    package struct Biases: Sendable, Equatable {
        package var queryKeyValue = false
        package var attentionOutput = false
        package var feedForward = false
    }

    package var family: Family
    package var vocabulary: Int
    package var hidden: Int
    package var heads: Int
    package var keyValueHeads: Int
    package var headWidth: Int
    package var feedForward: Int
    /// Positions that the model was made for.
    package var contextLength: Int
    package var layers: [Layer]
    package var rotaries: [Rotary]
    /// Positions are looked up in a table and added to the embedding (GPT-2).
    package var learnedPositions = false
    package var norm: NormKind = .rms
    package var normEpsilon: Float
    /// Added to the norm weights of the file: 1 where they are stored as the difference from 1 (Gemma's
    /// in Hugging Face checkpoints; GGUF files have the sum).
    package var normOffset: Float = 0
    /// Norms after attention and feed-forward, before their residuals (Gemma 2 and 3).
    package var postNorms = false
    /// Queries and keys are RMS-normalised head by head before the rotation.
    package var queryKeyNorms = false
    package var biases = Biases()
    package var activation: ActivationFunction
    /// The feed-forward is down(function(gate) * up); otherwise down(function(up)).
    package var gated = true
    package var mixture: MixtureShape?
    package var embeddingScale: Float = 1
    package var attentionSoftCap: Float?
    package var logitSoftCap: Float?
    /// Without a tensor of its own, the head is the embedding; false demands one.
    package var tiedHead: Bool

    /// Width of a row of queries, keys and values together.
    package var queryKeyValueWidth: Int { (heads + 2 * keyValueHeads) * headWidth }

    /// One line for people: "llama: 30 layers of 576, 9 heads of 64 over 3 key/value heads, …".
    package var summary: String {
        let sliding = layers.compactMap(\.window)
        var parts = [
            "\(layers.count) layers of \(hidden)",
            "\(heads) heads of \(headWidth) over \(keyValueHeads) key/value heads",
            "feed-forward \(feedForward)", "vocabulary \(vocabulary)", "context \(contextLength)",
        ]
        if let mixture { parts.append("\(mixture.chosen) of \(mixture.experts) experts") }
        if let window = sliding.first {
            parts.append("window \(window) in \(sliding.count) layers")
        }
        return "\(family.rawValue): " + parts.joined(separator: ", ")
    }
}

extension DecoderConfiguration {
    /// Refuses sizes that contradict each other or that no model has, before anything is allocated from
    /// them.
    func validate(file: String) throws(ModelError) {
        func require(_ holds: Bool, _ field: String, _ reason: String) throws(ModelError) {
            guard holds else { throw .malformed(file: file, field: field, reason: reason) }
        }
        let sizes = [
            ("vocabulary", vocabulary), ("hidden size", hidden), ("attention heads", heads),
            ("key/value heads", keyValueHeads), ("head width", headWidth),
            ("feed-forward width", feedForward),
            ("context length", contextLength),
        ]
        for (field, size) in sizes {
            try require((1...1 << 24).contains(size), field, "\(size) is not from 1 to \(1 << 24)")
        }
        try require(
            (1...4096).contains(layers.count), "layers", "\(layers.count) is not from 1 to 4096")
        try require(
            heads <= 1 << 12 && headWidth <= 1 << 12, "head width", "\(heads) heads of \(headWidth)"
        )
        try require(
            heads % keyValueHeads == 0, "key/value heads",
            "\(heads) attention heads are not a multiple of \(keyValueHeads)")
        try require(headWidth % 2 == 0 || rotaries.isEmpty, "head width", "\(headWidth) is odd")
        try require(normEpsilon.isFinite && normEpsilon >= 0, "norm epsilon", "\(normEpsilon)")
        for rotary in rotaries { try rotary.validate(file: file) }
        for (number, layer) in layers.enumerated() {
            try require(layer.attentionScale.isFinite, "attention scale", "\(layer.attentionScale)")
            try require(
                (layer.window ?? 1) >= 1, "window of layer \(number)", "\(layer.window ?? 1)")
        }
        for (field, cap) in [
            ("attention soft cap", attentionSoftCap), ("final soft cap", logitSoftCap),
        ] {
            if let cap { try require(cap.isFinite && cap > 0, field, "\(cap) is not positive") }
        }
        if let mixture {
            try require(
                (1...4096).contains(mixture.experts)
                    && (1...mixture.experts).contains(mixture.chosen),
                "experts", "\(mixture.chosen) of \(mixture.experts)")
        }
    }
}
