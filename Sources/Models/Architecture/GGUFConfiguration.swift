import Kernels

/// Reads the metadata of a GGUF file into a `DecoderConfiguration`. Keys:
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; what files leave out is as llama.cpp fills
/// it in.
struct GGUFConfiguration {
    private let metadata: GGUFMetadata
    private let file: String
    private let architecture: String
    private let family: DecoderConfiguration.Family
    private let tensors: CheckpointTensors

    /// Hyperparameters that are read, or that say nothing about the computation. Any other is an error.
    private static let known: Set<String> = [
        "vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length",
        "tensor_data_layout", "expert_count", "expert_used_count", "attention.head_count",
        "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon", "attention.sliding_window",
        "attention.sliding_window_pattern", "attention.scale", "attention.causal", "attn_logit_softcapping",
        "final_logit_softcapping", "rope.dimension_count", "rope.freq_base", "rope.freq_base_swa",
        "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.attn_factor",
        "rope.scaling.original_context_length", "rope.scaling.finetuned", "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_log_multiplier",
    ]

    static func read(_ gguf: GGUFFile, tensors: CheckpointTensors) throws(ModelError)
        -> DecoderConfiguration
    {
        let file = tensors.file
        guard let name = gguf.metadata.string("general.architecture") else {
            throw .malformed(
                file: file, field: "general.architecture", reason: "is missing or not a string")
        }
        // Mistral and Mixtral files say "llama".
        let named = DecoderConfiguration.Family(rawValue: name)
        guard let family = named, ![.mistral, .mixtral].contains(family) else {
            let supported = DecoderConfiguration.Family.allCases.map(\.rawValue)
                .filter { !["mistral", "mixtral"].contains($0) }.joined(separator: ", ")
            throw .unsupported(
                file: file, field: "general.architecture",
                reason: "\(name) is not supported; supported are \(supported)")
        }
        for key in gguf.metadata.values.keys.sorted() where key.hasPrefix(name + ".") {
            guard known.contains(String(key.dropFirst(name.count + 1))) else {
                throw .unsupported(file: file, field: key, reason: "this hyperparameter is not known")
            }
        }
        let reader = GGUFConfiguration(
            metadata: gguf.metadata, file: file, architecture: name, family: family, tensors: tensors)
        let configuration = try reader.configuration()
        try configuration.validate(file: file)
        return configuration
    }

    // MARK: Values

    private func key(_ name: String) -> String { "\(architecture).\(name)" }

    private func malformed(_ name: String, _ reason: String) -> ModelError {
        .malformed(file: file, field: key(name), reason: reason)
    }

    private func unsupported(_ name: String, _ reason: String) -> ModelError {
        .unsupported(file: file, field: key(name), reason: reason)
    }

    /// A whole number; a list of them, one for each layer, where they are all the same.
    private func int(_ name: String) throws(ModelError) -> Int? {
        guard let value = metadata[key(name)] else { return nil }
        if let int = metadata.int(key(name)) { return int }
        guard case .ints(let list) = value, let first = list.first else {
            throw malformed(name, "must be a whole number")
        }
        guard list.allSatisfy({ $0 == first }) else {
            throw unsupported(name, "differs from layer to layer")
        }
        return Int(first)
    }

    private func required(_ name: String) throws(ModelError) -> Int {
        guard let value = try int(name) else { throw malformed(name, "is missing") }
        return value
    }

    /// The first of `names` that is there.
    private func number(_ names: String...) throws(ModelError) -> Double? {
        guard let name = names.first(where: { metadata[key($0)] != nil }) else { return nil }
        guard let value = metadata.double(key(name)) else { throw malformed(name, "must be a number") }
        return value
    }

    // MARK: Configuration

    private func configuration() throws(ModelError) -> DecoderConfiguration {
        let hidden = try required("embedding_length")
        let heads = try required("attention.head_count")
        guard hidden > 0, heads > 0 else {
            throw malformed("attention.head_count", "\(heads) of \(hidden)")
        }
        let headWidth = try int("attention.key_length") ?? hidden / heads
        guard try int("attention.value_length") ?? headWidth == headWidth else {
            throw unsupported("attention.value_length", "differs from the key length, \(headWidth)")
        }
        guard let embedding = tensors.shape("token_embd.weight"), embedding.count == 2 else {
            throw .malformed(
                file: file, field: "tensor token_embd.weight", reason: "is missing or not a matrix")
        }
        let rms = family != .gpt2
        guard let epsilon = try number("attention.layer_norm_\(rms ? "rms_" : "")epsilon") else {
            throw malformed("attention.layer_norm_\(rms ? "rms_" : "")epsilon", "is missing")
        }
        if metadata.bool(key("attention.causal")) == false {
            throw unsupported("attention.causal", "only causal attention is supported")
        }
        let (layers, rotaries) = try self.layers(hidden: hidden, heads: heads, headWidth: headWidth)
        let feedForward = try required("feed_forward_length")
        var configuration = DecoderConfiguration(
            family: family, vocabulary: embedding[0], hidden: hidden, heads: heads,
            keyValueHeads: try int("attention.head_count_kv") ?? heads, headWidth: headWidth,
            feedForward: feedForward, contextLength: try required("context_length"), layers: layers,
            rotaries: rotaries, learnedPositions: !rms, norm: rms ? .rms : .layer,
            normEpsilon: Float(epsilon),
            activation: .silu, gated: rms, tiedHead: true)
        try addFamilyFeatures(&configuration)
        return configuration
    }

    private func addFamilyFeatures(_ configuration: inout DecoderConfiguration) throws(ModelError) {
        configuration.biases = .init(
            queryKeyValue: tensors.has("blk.0.attn_q.bias") || tensors.has("blk.0.attn_qkv.bias"),
            attentionOutput: tensors.has("blk.0.attn_output.bias"),
            feedForward: tensors.has("blk.0.ffn_up.bias"))
        switch family {
        case .gemma, .gemma2, .gemma3:
            configuration.activation = .geluTanh
            configuration.embeddingScale = Float(Double(configuration.hidden).squareRoot())
            configuration.postNorms = family != .gemma
            configuration.queryKeyNorms = family == .gemma3
            let two = family == .gemma2
            let caps = (try number("attn_logit_softcapping"), try number("final_logit_softcapping"))
            configuration.attentionSoftCap = (caps.0 ?? (two ? 50 : nil)).map { Float($0) }
            configuration.logitSoftCap = (caps.1 ?? (two ? 30 : nil)).map { Float($0) }
        case .qwen3: configuration.queryKeyNorms = true
        case .gpt2: configuration.activation = .geluTanh
        case .llama, .mistral, .mixtral, .qwen2: break
        }
        if let experts = try int("expert_count"), experts > 0 {
            configuration.mixture = MixtureShape(
                experts: experts, chosen: try required("expert_used_count"), renormalise: true,
                function: configuration.activation)
        }
    }

    private func layers(
        hidden: Int, heads: Int, headWidth: Int
    ) throws(ModelError) -> ([DecoderConfiguration.Layer], [Rotary]) {
        let count = try required("block_count")
        guard (1...4096).contains(count) else {
            throw malformed("block_count", "\(count) is not from 1 to 4096")
        }
        let scale = try attentionScale(layers: count, hidden: hidden, heads: heads, headWidth: headWidth)
        let windows = try self.windows(layers: count)
        guard family != .gpt2 else {
            return (windows.map { .init(window: $0, attentionScale: scale) }, [])
        }
        guard try int("rope.dimension_count") ?? headWidth == headWidth else {
            throw unsupported("rope.dimension_count", "turning only a part of a head is not supported")
        }
        let base = try number("rope.freq_base") ?? 10_000
        var rotaries = [Rotary(base: base, width: headWidth, scaling: try scaling(headWidth: headWidth))]
        if family == .gemma3 {
            rotaries.append(Rotary(base: try number("rope.freq_base_swa") ?? 10_000, width: headWidth))
        } else if let local = try number("rope.freq_base_swa"), local != base {
            throw unsupported("rope.freq_base_swa", "only Gemma 3 has a base for sliding layers")
        }
        let local = rotaries.count - 1
        return (
            windows.map { .init(window: $0, rotary: $0 == nil ? 0 : local, attentionScale: scale) },
            rotaries
        )
    }

    private func attentionScale(layers: Int, hidden: Int, heads: Int, headWidth: Int) throws(ModelError)
        -> Float
    {
        if let scale = try number("attention.scale"), scale != 0 { return Float(scale) }
        // The 27B models scale by hidden / heads; the files do not say so.
        let byHidden = (family == .gemma2 && layers == 46) || (family == .gemma3 && layers == 62)
        return Float(1 / Double(byHidden ? hidden / heads : headWidth).squareRoot())
    }

    private func windows(layers: Int) throws(ModelError) -> [Int?] {
        var window = try int("attention.sliding_window").flatMap { $0 == 0 ? nil : $0 }
        let period: Int
        switch family {
        case .gemma2: (window, period) = (window ?? 4096, 2)
        case .gemma3: period = 6
        default: period = .max
        }
        guard let window else { return Array(repeating: nil, count: layers) }
        let patternKey = "attention.sliding_window_pattern"
        if let slides = slidingLayers(patternKey) {
            guard slides.count == layers else {
                throw malformed(patternKey, "\(slides.count) for \(layers) layers")
            }
            return slides.map { $0 ? window : nil }
        }
        let pattern = try int(patternKey) ?? period
        guard pattern >= 0 else { throw malformed(patternKey, "\(pattern) is negative") }
        return (0..<layers).map { pattern == 0 || ($0 + 1) % pattern != 0 ? window : nil }
    }

    /// Which layers slide, where the file lists them.
    private func slidingLayers(_ name: String) -> [Bool]? {
        switch metadata[key(name)] {
        case .bools(let slides): slides
        case .ints(let slides): slides.map { $0 != 0 }
        default: nil
        }
    }

    private func scaling(headWidth: Int) throws(ModelError) -> Rotary.Scaling {
        if let tensor = try tensors.takeIfPresent("rope_freqs.weight") {
            return .factors(try tensor.floats(file: file))
        }
        let type = metadata.string(key("rope.scaling.type"))
        let factor = try number("rope.scaling.factor", "rope.scale_linear")
        switch type ?? (factor == nil ? "none" : "linear") {
        case "none": return .none
        case "linear":
            guard let factor, factor != 0 else { throw malformed("rope.scaling.factor", "is missing") }
            return factor == 1 ? .none : .linear(factor: factor)
        case "yarn": return try yarn(factor: factor ?? 1)
        default:
            throw unsupported(
                "rope.scaling.type", "\(type ?? "") is not supported; supported are none, linear, yarn")
        }
    }

    private func yarn(factor: Double) throws(ModelError) -> Rotary.Scaling {
        guard try number("rope.scaling.yarn_ext_factor") ?? 1 == 1 else {
            throw unsupported("rope.scaling.yarn_ext_factor", "other than 1 is not supported")
        }
        let context = try required("context_length")
        let original = try int("rope.scaling.original_context_length")
        var attention = Rotary.yarnAttention(factor: factor)
        if let multiplier = try number("rope.scaling.yarn_log_multiplier"), multiplier != 0 {
            attention /= Rotary.yarnAttention(factor: factor, scale: multiplier)
        }
        // Where a checkpoint states its attention factor, the converter writes it here, as a whole.
        attention = try number("rope.scaling.yarn_attn_factor") ?? attention
        return .yarn(
            factor: factor, originalContext: original ?? context,
            betaFast: try number("rope.scaling.yarn_beta_fast") ?? 32,
            betaSlow: try number("rope.scaling.yarn_beta_slow") ?? 1,
            attention: attention * (try number("rope.scaling.attn_factor") ?? 1), truncate: true)
    }
}
