import Foundation
import Kernels
import Models
import Testing

/// Metadata of GGUF files as configurations.
@Suite struct GGUFConfigurationTests {
    /// A model's metadata over one embedding of 4 tokens, 8 wide; enough to reach every check of the
    /// configuration.
    static func sample(_ architecture: String = "llama") -> GGUFBuilder {
        var builder = GGUFBuilder()
        builder.key("general.architecture", architecture)
        for (name, value) in [
            ("block_count", 2), ("context_length", 32), ("embedding_length", 8),
            ("feed_forward_length", 8),
            ("attention.head_count", 2),
        ] { builder.key("\(architecture).\(name)", UInt32(value)) }
        builder.key(
            "\(architecture).attention.layer_norm_rms_epsilon", type: 6,
            GGUFBuilder.bytes(Float(1e-5)))
        builder.tensor("token_embd.weight", [8, 4], type: 0, byteCount: 128)
        return builder
    }

    static func refusal(_ builder: GGUFBuilder) throws -> String {
        try CheckpointTests.refusal(ScratchFolder().write("x.gguf", builder.file))
    }

    static func refusal(_ architecture: String = "llama", _ change: (inout GGUFBuilder) -> Void)
        throws -> String
    {
        var builder = sample(architecture)
        change(&builder)
        return try refusal(builder)
    }

    @Test func whatIsNotUnderstoodIsRefused() throws {
        #expect(
            try Self.refusal("mamba") { _ in }.contains(
                "mamba is not supported; supported are llama"))
        #expect(
            try Self.refusal { $0.key("llama.attention.clamp_kqv", 1) }
                .contains("llama.attention.clamp_kqv: this hyperparameter is not known"))
        #expect(
            try Self.refusal { $0.keys.removeAll { $0.name == "llama.block_count" } }
                .contains("llama.block_count: is missing"))
        #expect(
            try Self.refusal { $0.key("llama.rope.dimension_count", 2) }.contains(
                "rope.dimension_count"))
        #expect(
            try Self.refusal { $0.key("llama.attention.value_length", 2) }.contains("value_length"))
        #expect(
            try Self.refusal { $0.key("llama.rope.scaling.type", "longrope") }.contains("longrope"))
        #expect(
            try Self.refusal { $0.key("llama.attention.head_count_kv", 0) }.contains(
                "key/value heads"))
        #expect(
            try Self.refusal { $0.key("llama.vocab_size", "many") }.contains("attn_norm") == true)
        #expect(
            try Self.refusal { $0.tensors[0].name = "other.weight" }.contains("token_embd.weight"))
        // A list of one value for each layer is that value; of different ones it is not supported.
        let list = { (values: [UInt32]) in
            GGUFBuilder.bytes(UInt32(4)) + GGUFBuilder.bytes(UInt64(values.count))
                + values.flatMap { GGUFBuilder.bytes($0) }
        }
        #expect(
            try Self.refusal { $0.key("llama.attention.head_count_kv", type: 9, list([1, 2])) }
                .contains("differs from layer to layer"))
        #expect(
            try Self.refusal { $0.key("llama.attention.head_count_kv", type: 9, list([1, 1])) }
                .contains("blk.0.attn_norm.weight: is missing"))
    }

    @Test func windowsFollowThePattern() throws {
        let path = Fixtures.folder + "/corpus/valid-gemma3.gguf"
        let configuration = try Checkpoint(path: path).configuration
        #expect(configuration.layers.map(\.window) == [8, nil])
        #expect(configuration.layers.map(\.rotary) == [1, 0])
        #expect(
            configuration.rotaries[0]
                == Rotary(base: 1_000_000, width: 4, scaling: .linear(factor: 8)))
        #expect(configuration.rotaries[1] == Rotary(base: 10_000, width: 4))
        #expect(configuration.logitSoftCap == 30)
        let tiny = try Checkpoint(path: Fixtures.folder + "/tiny_gguf/gemma3-a.f32.gguf")
            .configuration
        #expect(
            tiny.layers.map { $0.window == nil } == [
                false, false, false, false, false, true, false, false,
            ])
    }

    @Test func scalingsAreRead() throws {
        let yarn = try Checkpoint(path: Fixtures.folder + "/corpus/valid-mixture.gguf")
            .configuration
        #expect(
            yarn.rotaries == [
                Rotary(
                    base: 10_000, width: 4,
                    scaling: .yarn(
                        factor: 4, originalContext: 16, betaFast: 32, betaSlow: 1,
                        attention: 0.1 * log(4) + 1, truncate: true))
            ])
        #expect(
            yarn.mixture == MixtureShape(experts: 2, chosen: 1, renormalise: true, function: .silu))
        let llama3 = try Checkpoint(path: Fixtures.folder + "/tiny_gguf/llama-rope3-a.f32.gguf")
            .configuration
        let config = try ArchitectureTests.read(Fixtures.config("llama-rope3-a"))
        for (a, b) in zip(
            llama3.rotaries[0].inverseFrequencies, config.rotaries[0].inverseFrequencies)
        {
            #expect(abs(a / b - 1) < 1e-6)
        }
        #expect(llama3.summary == config.summary)
    }
}
