import JSON
import Kernels

/// Reads a config.json into a `DecoderConfiguration`, in the dialects of transformers 4 and 5. Members
/// that a file leaves out have the defaults of transformers 5 (its configuration_*.py:
/// https://github.com/huggingface/transformers).
///
/// What would change the computation and is not implemented is an error, never passed over.
struct HuggingFaceConfiguration {
    let keys: ConfigurationKeys
    let family: DecoderConfiguration.Family
    let defaults: Defaults

    /// Members of config.json that turn on something that is not implemented, unless they have one of
    /// these values.
    private static let neutral: [(name: String, values: [JSON])] = [
        ("compression_config", []), ("use_bidirectional_attention", [false]),
        ("add_cross_attention", [false]), ("is_encoder_decoder", [false]), ("partial_rotary_factor", [1]),
        ("clip_qkv", []), ("attention_multiplier", [1]), ("residual_multiplier", [1]),
        ("embedding_multiplier", [1]), ("logits_scaling", [1]), ("no_rope_layers", []),
        ("attention_chunk_size", []), ("alibi", [false]), ("use_qk_norm", [false]),
        ("parallel_residual", [false]),
        ("use_parallel_residual", [false]),
    ]

    static func read(_ config: JSON, file: String) throws(ModelError)
        -> DecoderConfiguration
    {
        guard let object = config.object else {
            throw .malformed(
                file: file, field: "config", reason: "must be an object, is \(config.kindName)")
        }
        var keys = ConfigurationKeys(file: file, object)
        guard let type = try keys.text("model_type") else {
            throw keys.malformed("model_type", "is missing")
        }
        try checkArchitectures(keys)
        try checkNeutral(keys)
        // What it says is the checkpoint's business, but it must be something that is understood.
        _ = try WeightQuantization.read(config: config)
        if let nested = try keys.keys("text_config") {
            guard type == "gemma3" else { throw unknown(type, keys) }
            keys = nested
            try checkNeutral(keys)
        }
        guard let family = family(type), let defaults = Defaults.of[family] else {
            throw unknown(type, keys)
        }
        let reader = HuggingFaceConfiguration(keys: keys, family: family, defaults: defaults)
        let configuration = family == .gpt2 ? try reader.gpt2() : try reader.rotaryDecoder()
        try configuration.validate(file: file)
        return configuration
    }

    private static func family(_ type: String) -> DecoderConfiguration.Family? {
        type == "gemma3_text" ? .gemma3 : DecoderConfiguration.Family(rawValue: type)
    }

    private static func unknown(_ type: String, _ keys: ConfigurationKeys) -> ModelError {
        let supported = DecoderConfiguration.Family.allCases.map(\.rawValue).joined(separator: ", ")
        return keys.unsupported("model_type", "\(type) is not supported; supported are \(supported)")
    }

    private static func checkArchitectures(_ keys: ConfigurationKeys) throws(ModelError) {
        guard let names = keys.value("architectures")?.array?.compactMap(\.string), !names.isEmpty else {
            return
        }
        let endings = ["ForCausalLM", "LMHeadModel", "ForConditionalGeneration"]
        guard names.contains(where: { name in endings.contains(where: name.hasSuffix) }) else {
            throw keys.unsupported(
                "architectures", "\(names.joined(separator: ", ")) does not generate text")
        }
    }

    private static func checkNeutral(_ keys: ConfigurationKeys) throws(ModelError) {
        for (name, values) in neutral {
            guard let value = keys.value(name) else { continue }
            if values.contains(where: { $0.double == value.double && $0.bool == value.bool }) { continue }
            throw keys.unsupported(name, "\(value.text.prefix(80)) is not supported")
        }
    }
}

extension DecoderConfiguration {
    /// Reads a config.json; see `HuggingFaceConfiguration`.
    package init(huggingFace config: JSON, file: String = "config.json") throws(ModelError) {
        self = try HuggingFaceConfiguration.read(config, file: file)
    }
}

// MARK: - Families

extension HuggingFaceConfiguration {
    struct Defaults {
        var vocabulary: Int
        var hidden: Int
        var feedForward: Int
        var layers: Int
        var heads: Int
        /// nil: as many as heads.
        var keyValueHeads: Int?
        /// nil: hidden / heads.
        var headWidth: Int?
        var context: Int
        var epsilon = 1e-6
        var tied = false
        var base = 10_000.0
        var window: Int?

        static let of: [DecoderConfiguration.Family: Defaults] = [
            .llama: Defaults(
                vocabulary: 32_000, hidden: 4096, feedForward: 11_008, layers: 32, heads: 32, context: 2048),
            .mistral: Defaults(
                vocabulary: 32_000, hidden: 4096, feedForward: 14_336, layers: 32, heads: 32,
                keyValueHeads: 8,
                context: 131_072, window: 4096),
            .mixtral: Defaults(
                vocabulary: 32_000, hidden: 4096, feedForward: 14_336, layers: 32, heads: 32,
                keyValueHeads: 8,
                context: 131_072, epsilon: 1e-5, base: 1_000_000),
            .qwen2: Defaults(
                vocabulary: 151_936, hidden: 4096, feedForward: 22_016, layers: 32, heads: 32,
                keyValueHeads: 32,
                context: 32_768, window: 4096),
            .qwen3: Defaults(
                vocabulary: 151_936, hidden: 4096, feedForward: 22_016, layers: 32, heads: 32,
                keyValueHeads: 32,
                headWidth: 128, context: 32_768, window: 4096),
            .gemma: Defaults(
                vocabulary: 256_000, hidden: 3072, feedForward: 24_576, layers: 28, heads: 16,
                keyValueHeads: 16,
                headWidth: 256, context: 8192, tied: true),
            .gemma2: Defaults(
                vocabulary: 256_000, hidden: 2304, feedForward: 9216, layers: 26, heads: 8,
                keyValueHeads: 4,
                headWidth: 256, context: 8192, tied: true, window: 4096),
            .gemma3: Defaults(
                vocabulary: 262_208, hidden: 2304, feedForward: 9216, layers: 26, heads: 8,
                keyValueHeads: 4,
                headWidth: 256, context: 131_072, tied: true, base: 1_000_000, window: 4096),
            .gpt2: Defaults(
                vocabulary: 50_257, hidden: 768, feedForward: 3072, layers: 12, heads: 12, context: 1024,
                epsilon: 1e-5, tied: true),
        ]
    }

    /// All families but GPT-2.
    private func rotaryDecoder() throws(ModelError) -> DecoderConfiguration {
        let hidden = try keys.int("hidden_size") ?? defaults.hidden
        let heads = try keys.int("num_attention_heads") ?? defaults.heads
        guard hidden > 0, heads > 0 else {
            throw keys.malformed("num_attention_heads", "\(heads) of \(hidden)")
        }
        let keyValueHeads =
            try keys.int("num_key_value_heads")
            ?? (keys.has("num_key_value_heads") ? heads : defaults.keyValueHeads ?? heads)
        let headWidth = try keys.int("head_dim") ?? defaults.headWidth ?? hidden / heads
        let context = try keys.int("max_position_embeddings") ?? defaults.context
        let kinds = try layerKinds(count: try keys.int("num_hidden_layers") ?? defaults.layers)
        let rotary = RotaryParameters(
            keys: keys, headWidth: headWidth, context: context, base: defaults.base,
            dual: family == .gemma3)
        let (rotaries, rotaryOf) = try rotary.read(kinds: kinds.map(\.kind))
        let scale = try attentionScale(headWidth: headWidth)
        var configuration = DecoderConfiguration(
            family: family, vocabulary: try keys.int("vocab_size") ?? defaults.vocabulary, hidden: hidden,
            heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth,
            feedForward: try keys.int("intermediate_size") ?? defaults.feedForward, contextLength: context,
            layers: kinds.map {
                DecoderConfiguration.Layer(
                    window: $0.window, rotary: rotaryOf[$0.kind], attentionScale: scale)
            },
            rotaries: rotaries, normEpsilon: Float(try keys.number("rms_norm_eps") ?? defaults.epsilon),
            activation: try activation(), tiedHead: try keys.flag("tie_word_embeddings") ?? defaults.tied)
        try addFamilyFeatures(&configuration)
        return configuration
    }

    private func addFamilyFeatures(_ configuration: inout DecoderConfiguration) throws(ModelError) {
        let biased = try keys.flag("attention_bias") ?? false
        switch family {
        case .llama:
            configuration.biases = .init(
                queryKeyValue: biased, attentionOutput: biased,
                feedForward: try keys.flag("mlp_bias") ?? false)
        case .qwen2: configuration.biases = .init(queryKeyValue: true)
        case .qwen3:
            configuration.biases = .init(queryKeyValue: biased, attentionOutput: biased)
            configuration.queryKeyNorms = true
        case .mixtral:
            configuration.mixture = MixtureShape(
                experts: try keys.int("num_local_experts", "num_experts") ?? 8,
                chosen: try keys.int("num_experts_per_tok") ?? 2, renormalise: true,
                function: configuration.activation)
        case .gemma, .gemma2, .gemma3:
            configuration.biases = .init(queryKeyValue: biased, attentionOutput: biased)
            configuration.embeddingScale = Float(Double(configuration.hidden).squareRoot())
            configuration.normOffset = 1
            guard family != .gemma else { break }
            configuration.postNorms = true
            configuration.queryKeyNorms = family == .gemma3
            let two = family == .gemma2
            configuration.attentionSoftCap = try keys.number(
                "attn_logit_softcapping", absent: two ? 50 : nil
            )
            .map { Float($0) }
            configuration.logitSoftCap = try keys.number("final_logit_softcapping", absent: two ? 30 : nil)
                .map { Float($0) }
        case .mistral, .gpt2: break
        }
    }

    private func attentionScale(headWidth: Int) throws(ModelError) -> Float {
        let scalar =
            switch family {
            case .gemma2, .gemma3: try keys.number("query_pre_attn_scalar") ?? 256
            default: Double(headWidth)
            }
        guard scalar > 0 else { throw keys.malformed("query_pre_attn_scalar", "\(scalar) is not positive") }
        return Float(1 / scalar.squareRoot())
    }

    private func activation() throws(ModelError) -> ActivationFunction {
        switch family {
        case .gemma:
            // Early Gemma files say "gelu" and mean the tanh approximation.
            let name = try keys.text("hidden_activation", "hidden_act")
            return try activation(
                "hidden_act", name == "gelu" ? "gelu_pytorch_tanh" : name, "gelu_pytorch_tanh")
        case .gemma2, .gemma3:
            return try activation(
                "hidden_activation", try keys.text("hidden_activation"), "gelu_pytorch_tanh")
        case .gpt2:
            return try activation("activation_function", try keys.text("activation_function"), "gelu_new")
        default: return try activation("hidden_act", try keys.text("hidden_act"), "silu")
        }
    }

    private func activation(
        _ key: String, _ name: String?, _ absent: String
    ) throws(ModelError) -> ActivationFunction {
        switch name ?? absent {
        case "silu", "swish": return .silu
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": return .geluTanh
        case "gelu", "gelu_python": return .gelu
        case "relu": return .relu
        default: throw keys.unsupported(key, "\(name ?? absent) is not supported")
        }
    }

    private func gpt2() throws(ModelError) -> DecoderConfiguration {
        let hidden = try keys.int("n_embd", "hidden_size") ?? defaults.hidden
        let heads = try keys.int("n_head", "num_attention_heads") ?? defaults.heads
        let layers = try keys.int("n_layer", "num_hidden_layers") ?? defaults.layers
        guard (1...1 << 24).contains(hidden), heads > 0, hidden % heads == 0, (1...4096).contains(layers)
        else {
            throw keys.malformed("n_embd", "\(hidden) for \(heads) heads in \(layers) layers")
        }
        let width = hidden / heads
        let scale = try keys.flag("scale_attn_weights") ?? true ? 1 / Double(width).squareRoot() : 1
        let byLayer = try keys.flag("scale_attn_by_inverse_layer_idx") ?? false
        return DecoderConfiguration(
            family: .gpt2, vocabulary: try keys.int("vocab_size") ?? defaults.vocabulary, hidden: hidden,
            heads: heads, keyValueHeads: heads, headWidth: width,
            feedForward: try keys.int("n_inner") ?? 4 * hidden,
            contextLength: try keys.int("n_positions", "max_position_embeddings") ?? defaults.context,
            layers: (0..<layers).map {
                .init(attentionScale: Float(byLayer ? scale / Double($0 + 1) : scale))
            },
            rotaries: [], learnedPositions: true, norm: .layer,
            normEpsilon: Float(try keys.number("layer_norm_epsilon") ?? defaults.epsilon),
            biases: .init(queryKeyValue: true, attentionOutput: true, feedForward: true),
            activation: try activation(), gated: false,
            tiedHead: try keys.flag("tie_word_embeddings") ?? defaults.tied)
    }
}
