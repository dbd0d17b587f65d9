import JSON

/// Reads the rotary embedding of a config.json: `rope_parameters` (transformers 5, flat or by kind of
/// layer), or `rope_theta`, `rope_scaling` and `rope_local_base_freq` (transformers 4).
struct RotaryParameters {
    let keys: ConfigurationKeys
    let headWidth: Int
    let context: Int
    /// The family's default base.
    let base: Double
    /// Gemma 3: sliding layers have a base of their own and no scaling.
    let dual: Bool

    private static let known: Set<String> = [
        "rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "attention_factor",
        "beta_fast", "beta_slow", "low_freq_factor", "high_freq_factor", "mscale", "mscale_all_dim",
        "truncate",
        "partial_rotary_factor",
    ]

    /// - Returns: the distinct variants, and which one each kind of layer uses.
    func read(kinds: [AttentionKind]) throws(ModelError) -> ([Rotary], [AttentionKind: Int]) {
        var rotaries: [Rotary] = []
        var index: [AttentionKind: Int] = [:]
        for kind in [AttentionKind.full, .sliding] where kinds.contains(kind) {
            let rotary = try rotary(for: kind)
            index[kind] = rotaries.firstIndex(of: rotary) ?? rotaries.count
            if index[kind] == rotaries.count { rotaries.append(rotary) }
        }
        return (rotaries, index)
    }

    private func rotary(for kind: AttentionKind) throws(ModelError) -> Rotary {
        let parameters = try keys.keys("rope_parameters")
        let scaling = try keys.keys("rope_scaling")
        if dual { return try dualRotary(for: kind, parameters: parameters, scaling: scaling) }
        var chosen = scaling ?? parameters
        if let nested = chosen,
            nested.has(AttentionKind.full.rawValue) || nested.has(AttentionKind.sliding.rawValue)
        {
            chosen = try nested.keys(kind.rawValue)
            guard chosen != nil else { throw nested.malformed(kind.rawValue, "is missing") }
        }
        return try rotary(chosen, base: try keys.number("rope_theta") ?? base)
    }

    private func dualRotary(
        for kind: AttentionKind, parameters: ConfigurationKeys?, scaling: ConfigurationKeys?
    ) throws(ModelError) -> Rotary {
        let nested = try parameters?.keys(kind.rawValue)
        if let parameters, !parameters.object.isEmpty, !parameters.has(AttentionKind.full.rawValue),
            !parameters.has(AttentionKind.sliding.rawValue)
        {
            throw parameters.malformed(
                "full_attention", "is missing; Gemma 3 has parameters for each kind of layer")
        }
        switch kind {
        case .full:
            let outer = try keys.number("rope_theta") ?? base
            return try rotary(scaling ?? nested, base: try nested?.number("rope_theta") ?? outer)
        case .sliding: return try rotary(nested, base: try keys.number("rope_local_base_freq") ?? 10_000)
        }
    }

    private func rotary(_ parameters: ConfigurationKeys?, base absent: Double) throws(ModelError) -> Rotary
    {
        guard let parameters else { return Rotary(base: absent, width: headWidth) }
        if let unknown = parameters.object.names.first(where: { !Self.known.contains($0) }) {
            throw parameters.unsupported(unknown, "is not known")
        }
        if let partial = try parameters.number("partial_rotary_factor"), partial != 1 {
            throw parameters.unsupported("partial_rotary_factor", "\(partial) is not supported")
        }
        return Rotary(
            base: try parameters.number("rope_theta") ?? absent, width: headWidth,
            scaling: try scaling(parameters))
    }

    private func scaling(_ parameters: ConfigurationKeys) throws(ModelError) -> Rotary.Scaling {
        let type = try parameters.text("rope_type", "type") ?? "default"
        func required(_ name: String) throws(ModelError) -> Double {
            guard let value = try parameters.number(name) else {
                throw parameters.malformed(name, "is missing")
            }
            return value
        }
        let outer = try keys.int("original_max_position_embeddings")
        let inner = try parameters.int("original_max_position_embeddings")
        let original = outer ?? inner ?? context
        switch type {
        case "default": return .none
        // Changes angles only beyond max_position_embeddings, where this engine does not go.
        case "dynamic": return .none
        case "linear": return .linear(factor: try required("factor"))
        case "llama3":
            return .llama3(
                factor: try required("factor"), lowFrequency: try required("low_freq_factor"),
                highFrequency: try required("high_freq_factor"), originalContext: original)
        case "yarn":
            let factor = try parameters.number("factor") ?? Double(context) / Double(max(original, 1))
            return .yarn(
                factor: factor, originalContext: original,
                betaFast: try nonzero(parameters, "beta_fast") ?? 32,
                betaSlow: try nonzero(parameters, "beta_slow") ?? 1,
                attention: try yarnAttention(parameters, factor: factor),
                truncate: try parameters.flag("truncate") ?? true)
        default:
            throw parameters.unsupported(
                "rope_type",
                "\(type) is not supported; supported are default, linear, dynamic, llama3, yarn")
        }
    }

    private func nonzero(_ parameters: ConfigurationKeys, _ name: String) throws(ModelError) -> Double? {
        try parameters.number(name).flatMap { $0 == 0 ? nil : $0 }
    }

    private func yarnAttention(_ parameters: ConfigurationKeys, factor: Double) throws(ModelError) -> Double
    {
        if let given = try parameters.number("attention_factor") { return given }
        guard let numerator = try nonzero(parameters, "mscale"),
            let denominator = try nonzero(parameters, "mscale_all_dim")
        else { return Rotary.yarnAttention(factor: factor) }
        return Rotary.yarnAttention(factor: factor, scale: numerator)
            / Rotary.yarnAttention(factor: factor, scale: denominator)
    }
}
