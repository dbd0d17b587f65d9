import Foundation
import JSON
import Kernels
import Models
import Testing

@Suite struct ArchitectureTests {
    static func read(_ config: JSONObject) throws -> DecoderConfiguration {
        try DecoderConfiguration(huggingFace: .object(config))
    }

    /// What reading throws, as text; empty when it reads.
    static func refusal(_ name: String, _ changes: [String: JSON]) throws -> String {
        var config = try Fixtures.config(name)
        for (key, value) in changes { config[key] = value }
        do {
            _ = try read(config)
            return ""
        } catch let error as ModelError { return error.description }
    }

    @Test(arguments: Fixtures.tinyNames)
    func dialectsAgree(_ name: String) throws {
        #expect(
            try Self.read(Fixtures.config(name)) == Self.read(Fixtures.config(name, alternative: true)))
    }

    @Test func gemma3TextConfigOfTheHubIsCompletedByDefaults() throws {
        let text: JSON = [
            "hidden_size": 2560, "intermediate_size": 10_240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": ["factor": 8.0, "rope_type": "linear"],
            "sliding_window": 1024,
        ]
        let configuration = try DecoderConfiguration(huggingFace: [
            "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
            "text_config": text,
            "vision_config": ["model_type": "siglip_vision_model"],
        ])
        #expect(configuration.family == .gemma3)
        #expect(configuration.vocabulary == 262_208)
        #expect((configuration.heads, configuration.keyValueHeads, configuration.headWidth) == (8, 4, 256))
        #expect(configuration.tiedHead)
        #expect(configuration.contextLength == 131_072)
        #expect(configuration.layers[4].window == 1024)
        #expect(configuration.layers[5].window == nil)
        let global = try configuration.rotaries[#require(configuration.layers[5].rotary)]
        let local = try configuration.rotaries[#require(configuration.layers[4].rotary)]
        #expect(global == Rotary(base: 1_000_000, width: 256, scaling: .linear(factor: 8)))
        #expect(local == Rotary(base: 10_000, width: 256))
    }

    @Test func absentAndNullAreNotTheSame() throws {
        var mistral = try Fixtures.config("mistral-a")
        mistral["sliding_window"] = nil
        #expect(try Self.read(mistral).layers[0].window == 4096)
        mistral["sliding_window"] = .null
        #expect(try Self.read(mistral).layers[0].window == nil)
        var gemma2 = try Fixtures.config("gemma2-a")
        gemma2["final_logit_softcapping"] = nil
        #expect(try Self.read(gemma2).logitSoftCap == 30)
        gemma2["final_logit_softcapping"] = .null
        #expect(try Self.read(gemma2).logitSoftCap == nil)
    }

    @Test func qwenSlidesFromALayerOn() throws {
        var config = try Fixtures.config("qwen3-a")
        config["use_sliding_window"] = true
        config["sliding_window"] = 32
        config["max_window_layers"] = 1
        #expect(try Self.read(config).layers.map(\.window) == [nil, 32, 32])
        config["layer_types"] = ["sliding_attention", "full_attention", "full_attention"]
        #expect(try Self.read(config).layers.map(\.window) == [32, nil, nil])
        config["use_sliding_window"] = false
        #expect(throws: ModelError.self) { try Self.read(config) }
    }

    /// What would compute something else than the checkpoint's authors meant is refused, and named.
    @Test func whatIsNotUnderstoodIsRefused() throws {
        func refused(_ name: String, _ changes: [String: JSON], _ text: String) throws -> Bool {
            try Self.refusal(name, changes).contains(text)
        }
        #expect(
            try refused(
                "llama-bias-a", ["model_type": "mamba"], "mamba is not supported; supported are llama"))
        #expect(try refused("llama-bias-a", ["model_type": nil], "model_type"))
        #expect(try refused("llama-bias-a", ["hidden_act": "quick_gelu"], "quick_gelu"))
        #expect(try refused("llama-bias-a", ["rope_scaling": ["rope_type": "longrope"]], "longrope"))
        #expect(try refused("llama-bias-a", ["rope_scaling": ["type": "linear"]], "factor"))
        #expect(try refused("llama-bias-a", ["rope_scaling": ["type": "default", "spin": 2]], "spin"))
        #expect(try refused("llama-bias-a", ["partial_rotary_factor": 0.5], "partial_rotary_factor"))
        #expect(try refused("llama-bias-a", ["quantization_config": ["bits": 4]], "quantization_config"))
        #expect(
            try refused("llama-bias-a", ["architectures": ["LlamaForTokenClassification"]], "architectures")
        )
        #expect(
            try refused("gemma3-a", ["use_bidirectional_attention": true], "use_bidirectional_attention"))
        #expect(try refused("gemma3-a", ["layer_types": ["chunked_attention"]], "layer_types"))
        #expect(
            try refused(
                "mistral-a", ["layer_types": .array(Array(repeating: "full_attention", count: 4))], "alike")
        )
        #expect(try refused("llama-bias-a", ["num_attention_heads": 0], "num_attention_heads"))
        #expect(try refused("llama-bias-a", ["num_hidden_layers": 1_000_000], "num_hidden_layers"))
        #expect(try refused("llama-bias-a", ["hidden_size": "big"], "must be a whole number"))
        #expect(try refused("llama-bias-a", ["num_key_value_heads": 3], "key/value heads"))
        #expect(try refused("llama-bias-a", ["rope_theta": -1], "rotary embedding"))
        #expect(try refused("llama-bias-a", ["head_dim": 25], "head width"))
    }

    @Test func irrelevantMembersAreNot() throws {
        let changes: [String: JSON] = [
            "attn_implementation": "flash_attention_2", "torch_dtype": "bfloat16", "my_own_note": [1, 2],
            "use_cache": false, "quantization_config": .null,
            "rope_scaling": ["rope_type": "dynamic", "factor": 2],
        ]
        #expect(try Self.refusal("llama-bias-a", changes).isEmpty)
    }

    // MARK: Rotary embeddings

    @Test func linearAndPlainFrequencies() {
        let plain = Rotary(base: 10_000, width: 8).inverseFrequencies
        #expect(zip(plain, [1, 0.1, 0.01, 0.001]).allSatisfy { abs($0 / Float($1) - 1) < 1e-6 })
        let scaled = Rotary(base: 10_000, width: 8, scaling: .linear(factor: 4)).inverseFrequencies
        #expect(zip(plain, scaled).allSatisfy { $0 / 4 == $1 })
    }

    @Test func llama3KeepsShortAndDividesLongWavelengths() {
        let rotary = Rotary(
            base: 500_000, width: 128,
            scaling: .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, originalContext: 8192))
        let plain = Rotary(base: 500_000, width: 128).inverseFrequencies
        let scaled = rotary.inverseFrequencies
        for (a, b) in zip(plain, scaled) {
            let wavelength = 2 * Float.pi / a
            if wavelength < 8192 / 4 { #expect(b == a) }
            if wavelength > 8192 { #expect(b == a / 8) }
            #expect(b <= a && b >= a / 8)
        }
    }

    /// Figures of the YaRN paper's own setting, LLaMA 2 at a factor of 16: computed in float64.
    @Test func yarnMixes() {
        let rotary = Rotary(
            base: 10_000, width: 128,
            scaling: .yarn(
                factor: 16, originalContext: 4096, betaFast: 32, betaSlow: 1, attention: 0.1 * log(16) + 1,
                truncate: true))
        let scaled = rotary.inverseFrequencies
        let plain = Rotary(base: 10_000, width: 128).inverseFrequencies
        // Correction range: pairs floor(20.94) = 20 to ceil(45.03) = 46.
        for pair in 0...20 { #expect(scaled[pair] == plain[pair]) }
        for pair in 46..<64 { #expect(abs(scaled[pair] / (plain[pair] / 16) - 1) < 1e-6) }
        let kept = 1 - (Float(33 - 20) / 26)
        #expect(abs(scaled[33] / (plain[33] / 16 * (1 - kept) + plain[33] * kept) - 1) < 1e-6)
        #expect(abs(rotary.attentionFactor - 1.2772588) < 1e-6)
    }
}
