/// How a checkpoint names and lays out the weights of a decoder. `#` stands for the layer, `@` for the
/// expert.
struct TensorNames {
    var embedding: String
    var positions: String?
    var finalNorm: String
    var head: String
    var attentionNorm: String
    /// One tensor for queries, keys and values, where the file fuses them.
    var queryKeyValue: String?
    var query: String
    var key: String
    var value: String
    var queryNorm: String
    var keyNorm: String
    var attentionOutput: String
    var postAttentionNorm: String
    var feedForwardNorm: String
    var postFeedForwardNorm: String
    var gate: String
    var up: String
    var down: String
    var router: String
    var expertGate: String
    var expertUp: String
    var expertDown: String
    /// The experts' matrices are stacked in one tensor `[experts, outputs, inputs]`, where the file has it.
    var stackedExperts = false
    /// Linear layers lie as `[inputs, outputs]`.
    var transposed = false
    /// Query and key rows are ordered for interleaved rotation: pair i of a head is rows 2i and 2i + 1.
    var interleavedRotary = false

    /// - Parameters:
    ///   - prefix: before the decoder's tensors: "model.".
    ///   - headPrefix: before the head: "language_model." in multimodal files.
    static func huggingFace(
        _ family: DecoderConfiguration.Family, prefix: String, headPrefix: String
    ) -> TensorNames {
        let layer = prefix + "layers.#."
        // Gemma 2 and 3 have a norm before the feed-forward besides the one after attention, which in
        // others comes before the feed-forward for all its name.
        let both = family == .gemma2 || family == .gemma3
        return TensorNames(
            embedding: prefix + "embed_tokens", positions: nil, finalNorm: prefix + "norm",
            head: headPrefix + "lm_head", attentionNorm: layer + "input_layernorm",
            query: layer + "self_attn.q_proj", key: layer + "self_attn.k_proj",
            value: layer + "self_attn.v_proj",
            queryNorm: layer + "self_attn.q_norm", keyNorm: layer + "self_attn.k_norm",
            attentionOutput: layer + "self_attn.o_proj",
            postAttentionNorm: layer + "post_attention_layernorm",
            feedForwardNorm: layer + (both ? "pre_feedforward_layernorm" : "post_attention_layernorm"),
            postFeedForwardNorm: layer + "post_feedforward_layernorm", gate: layer + "mlp.gate_proj",
            up: layer + "mlp.up_proj", down: layer + "mlp.down_proj",
            router: layer + "block_sparse_moe.gate",
            expertGate: layer + "block_sparse_moe.experts.@.w1",
            expertUp: layer + "block_sparse_moe.experts.@.w3",
            expertDown: layer + "block_sparse_moe.experts.@.w2")
    }

    static func huggingFaceGPT2(prefix: String) -> TensorNames {
        let layer = prefix + "h.#."
        return TensorNames(
            embedding: prefix + "wte", positions: prefix + "wpe", finalNorm: prefix + "ln_f",
            head: "lm_head",
            attentionNorm: layer + "ln_1", queryKeyValue: layer + "attn.c_attn", query: "", key: "",
            value: "",
            queryNorm: "", keyNorm: "", attentionOutput: layer + "attn.c_proj", postAttentionNorm: "",
            feedForwardNorm: layer + "ln_2", postFeedForwardNorm: "", gate: "", up: layer + "mlp.c_fc",
            down: layer + "mlp.c_proj", router: "", expertGate: "", expertUp: "", expertDown: "",
            transposed: true)
    }

    /// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#standardized-tensor-names
    static func gguf(_ family: DecoderConfiguration.Family, stackedExperts: Bool) -> TensorNames {
        let layer = "blk.#."
        return TensorNames(
            embedding: "token_embd", positions: family == .gpt2 ? "position_embd" : nil,
            finalNorm: "output_norm",
            head: "output", attentionNorm: layer + "attn_norm",
            queryKeyValue: family == .gpt2 ? layer + "attn_qkv" : nil, query: layer + "attn_q",
            key: layer + "attn_k", value: layer + "attn_v", queryNorm: layer + "attn_q_norm",
            keyNorm: layer + "attn_k_norm", attentionOutput: layer + "attn_output",
            postAttentionNorm: layer + "post_attention_norm", feedForwardNorm: layer + "ffn_norm",
            postFeedForwardNorm: layer + "post_ffw_norm", gate: layer + "ffn_gate", up: layer + "ffn_up",
            down: layer + "ffn_down", router: layer + "ffn_gate_inp",
            expertGate: layer + (stackedExperts ? "ffn_gate_exps" : "ffn_gate.@"),
            expertUp: layer + (stackedExperts ? "ffn_up_exps" : "ffn_up.@"),
            expertDown: layer + (stackedExperts ? "ffn_down_exps" : "ffn_down.@"),
            stackedExperts: stackedExperts,
            interleavedRotary: family == .llama)
    }

    /// Tensors that files carry and no computation needs: buffers that older programs saved.
    static func isIgnored(_ name: String) -> Bool {
        // Frequencies, computed from the configuration; causal masks of GPT-2.
        name.hasSuffix("rotary_emb.inv_freq") || name.hasSuffix(".attn.bias")
            || name.hasSuffix(".attn.masked_bias")
            || name.hasSuffix(".attn_rot_embd.weight")
    }
}

extension TensorNames {
    /// The names that a Hugging Face checkpoint uses: prefixes differ with the program that saved it.
    static func detect(
        _ family: DecoderConfiguration.Family, in tensors: CheckpointTensors
    ) throws(ModelError) -> TensorNames {
        if family == .gpt2 {
            return huggingFaceGPT2(prefix: tensors.has("transformer.wte.weight") ? "transformer." : "")
        }
        let prefixes = [
            ("model.", ""), ("language_model.model.", "language_model."), ("model.language_model.", ""),
            ("", ""),
        ]
        for (prefix, headPrefix) in prefixes where tensors.has(prefix + "embed_tokens.weight") {
            return huggingFace(family, prefix: prefix, headPrefix: headPrefix)
        }
        throw .malformed(
            file: tensors.file, field: "tensor model.embed_tokens.weight", reason: "is missing")
    }

    /// Tensors of the image encoder of a multimodal checkpoint, of which only the text part is run.
    static func isOfImages(_ name: String) -> Bool {
        let name = name.hasPrefix("model.") ? name.dropFirst("model.".count) : name[...]
        return name.hasPrefix("vision_tower.") || name.hasPrefix("multi_modal_projector.")
    }
}
