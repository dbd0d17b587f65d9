import Foundation
import JSON
import Kernels
import Models
import Testing

/// Opening checkpoints: where they are found, what is refused, and that forms of the same weights compute
/// the same.
@Suite struct CheckpointTests {
    static func refusal(_ path: String) throws -> String {
        do {
            _ = try Checkpoint(path: path)
            return ""
        } catch { return error.description }
    }

    // MARK: Finding

    @Test func saysWhatWasLookedForAndFound() throws {
        let folder = try ScratchFolder()
        #expect(try Self.refusal(folder.path + "/absent").contains("no such file"))
        #expect(try Self.refusal(folder.path).contains("holds nothing"))
        try folder.write("notes.txt", [])
        #expect(try Self.refusal(folder.path).contains("notes.txt"))
        try folder.write("a.gguf", GGUFTests.sample().file)
        #expect(try Self.refusal(folder.path).hasPrefix("a.gguf: "))
        try folder.write("b.gguf", GGUFTests.sample().file)
        #expect(try Self.refusal(folder.path).contains("2 GGUF models"))
        try folder.write("config.json", Array("{}".utf8))
        #expect(try Self.refusal(folder.path).contains("no model.safetensors"))
        try folder.write("pytorch_model.bin", [])
        #expect(try Self.refusal(folder.path).contains("pickle"))
        #expect(try Self.refusal(folder.write("w.safetensors", [])).contains("give the folder"))
    }

    @Test func aFolderWithOneGGUFIsThatModel() throws {
        let folder = try ScratchFolder()
        let source = Fixtures.folder + "/tiny_gguf/gemma3-a.f32.gguf"
        try folder.write("m.gguf", [UInt8](Data(contentsOf: URL(filePath: source))))
        let checkpoint = try Checkpoint(path: folder.path + "/")
        #expect(checkpoint.configuration.family == .gemma3)
        guard case .gguf(let metadata) = checkpoint.tokenizer else { return #expect(Bool(false)) }
        #expect(metadata.strings("tokenizer.ggml.tokens")?.count == 400)
    }

    // MARK: Refusing

    @Test func tensorsMustBeThoseOfTheConfiguration() throws {
        let config = try Fixtures.config("llama-rope3-a")
        let weights = try Fixtures.weights("llama-rope3-a")
        func refused(_ change: (inout SafetensorsBuilder) -> Void) throws -> String {
            var changed = weights
            change(&changed)
            return try Self.refusal(Fixtures.model(config, changed).path)
        }
        #expect(try refused { _ in } == "")
        #expect(
            try refused { $0.entries.removeAll { $0.name == "model.layers.1.mlp.up_proj.weight" } }
                .contains("model.layers.1.mlp.up_proj.weight: is missing"))
        #expect(
            try refused { $0.entries.removeAll { $0.name == "lm_head.weight" } }.contains("does not tie"))
        #expect(
            try refused { $0.add("model.extra.weight", "F32", [1], [0, 0, 0, 0]) }
                .contains("model.extra.weight: this architecture has no such tensor"))
        #expect(
            try refused {
                $0.add("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [1], [0, 0, 0, 0])
            } == "")
        #expect(
            try refused { builder in
                let index = builder.entries.firstIndex { $0.name == "model.norm.weight" } ?? 0
                builder.entries[index].shape = [8, 8]
            }.contains("has shape [8, 8]"))
        #expect(
            try refused { builder in
                let index = builder.entries.firstIndex { $0.name == "model.norm.weight" } ?? 0
                builder.entries[index].dtype = "I32"
            }.contains("I32"))
    }

    @Test func shardsMustBeWhereTheIndexSays() throws {
        let folder = try ScratchFolder()
        try folder.write("config.json", Array(JSON.object(Fixtures.config("llama-rope3-a")).text.utf8))
        try folder.write("one.safetensors", SafetensorsTests.sample().file)
        func refused(_ map: JSON) throws -> String {
            try folder.write(
                "model.safetensors.index.json",
                Array(JSON.object(JSONObject([("weight_map", map)])).text.utf8))
            return try Self.refusal(folder.path)
        }
        #expect(try refused(["a": "../one.safetensors"]).contains("same folder"))
        #expect(try refused(["a": "two.safetensors"]).contains("two.safetensors"))
        #expect(
            try refused(["zzz": "one.safetensors"]).contains("weight_map: zzz: is not in one.safetensors"))
        #expect(try refused([:]).contains("weight_map"))
    }

    // MARK: Forms of the same weights

    /// Weights stored in bfloat16 compute what the same values in float32 do, to the bit.
    @Test(arguments: Fixtures.tinyNames)
    func bfloat16FoldersLoad(_ name: String) throws {
        var short = SafetensorsBuilder()
        var long = SafetensorsBuilder()
        for tensor in try Fixtures.weights(name).entries {
            let type: TensorType = tensor.dtype == "F16" ? .f16 : .f32
            let values = tensor.bytes.withUnsafeBytes {
                type.dequantize($0, count: tensor.bytes.count / type.blockBytes)
            }
            let bits = values.map {
                UInt16(truncatingIfNeeded: ($0.bitPattern &+ 0x7FFF &+ ($0.bitPattern >> 16 & 1)) >> 16)
            }
            short.add(tensor.name, "BF16", tensor.shape, bits.flatMap { GGUFBuilder.bytes($0) })
            long.add(tensor.name, "F32", tensor.shape, bits.flatMap { GGUFBuilder.bytes(UInt32($0) << 16) })
        }
        let config = try Fixtures.config(name)
        let ids = try Fixtures.prompt(name)
        let logits = try Fixtures.lastLogits(Fixtures.model(config, short).path, ids)
        #expect(try logits == Fixtures.lastLogits(Fixtures.model(config, long).path, ids))
        #expect(try zip(logits, Fixtures.lastLogits(Fixtures.tiny(name), ids)).contains { $0 != $1 })
    }

    /// Weights of random bits (infinities and NaN among them) compute nonsense, but they compute.
    @Test(arguments: Fixtures.tinyNames)
    func damagedWeightsDoNotCrash(_ name: String) throws {
        var weights = try Fixtures.weights(name)
        var state: UInt64 = 7
        for index in weights.entries.indices {
            weights.entries[index].bytes = weights.entries[index].bytes.map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return UInt8(truncatingIfNeeded: state >> 56)
            }
        }
        let config = try Fixtures.config(name)
        let logits = try Fixtures.lastLogits(Fixtures.model(config, weights).path, Fixtures.prompt(name))
        #expect(logits.contains { $0.isNaN })
    }

    /// A Gemma 3 text model inside a multimodal checkpoint, by the names of both generations of
    /// transformers.
    @Test(arguments: [("language_model.model.", "language_model."), ("model.language_model.", "")])
    func multimodalGemma3LoadsItsTextPart(prefixes: (String, String)) throws {
        let plain = try Fixtures.config("gemma3-a")
        var nested = plain
        nested["architectures"] = nil
        let config = JSONObject([
            ("architectures", ["Gemma3ForConditionalGeneration"]), ("model_type", "gemma3"),
            ("text_config", .object(nested)),
        ])
        var weights = try Fixtures.weights("gemma3-a")
        for index in weights.entries.indices {
            weights.entries[index].name = prefixes.0 + weights.entries[index].name.dropFirst("model.".count)
        }
        weights.add("vision_tower.x.weight", "F32", [1], [0, 0, 0, 0])
        weights.add("multi_modal_projector.y", "F32", [1], [0, 0, 0, 0])
        let ids = try Fixtures.prompt("gemma3-a")
        let folder = try Fixtures.model(config, weights)
        #expect(
            try Fixtures.lastLogits(folder.path, ids) == Fixtures.lastLogits(Fixtures.tiny("gemma3-a"), ids)
        )
    }

    /// The first release of GPT-2 has no prefix, and masks among its weights.
    @Test func olderGPT2FilesLoad() throws {
        var weights = try Fixtures.weights("gpt2-a")
        for index in weights.entries.indices {
            weights.entries[index].name = String(
                weights.entries[index].name.dropFirst("transformer.".count))
        }
        weights.add("h.0.attn.bias", "F32", [1, 1, 1, 1], [0, 0, 128, 63])
        weights.add("h.0.attn.masked_bias", "U8", [1], [0])
        let ids = try Fixtures.prompt("gpt2-a")
        let folder = try Fixtures.model(Fixtures.config("gpt2-a"), weights)
        #expect(
            try Fixtures.lastLogits(folder.path, ids) == Fixtures.lastLogits(Fixtures.tiny("gpt2-a"), ids))
    }

    /// A head of its own counts even where the configuration says "tied"; equal to the embedding it
    /// changes nothing.
    @Test func aStoredHeadIsUsed() throws {
        let config = try Fixtures.config("qwen3-a")
        let weights = try Fixtures.weights("qwen3-a")
        let ids = try Fixtures.prompt("qwen3-a")
        let tied = try Fixtures.lastLogits(Fixtures.tiny("qwen3-a"), ids)
        let embedding = try #require(weights.entries.first { $0.name == "model.embed_tokens.weight" })
        var same = weights
        same.add("lm_head.weight", "F32", embedding.shape, embedding.bytes)
        #expect(try Fixtures.lastLogits(Fixtures.model(config, same).path, ids) == tied)
        var other = weights
        other.add("lm_head.weight", "F32", embedding.shape, embedding.bytes.reversed().map { $0 & 0x3F })
        #expect(try Fixtures.lastLogits(Fixtures.model(config, other).path, ids) != tied)
    }

    // MARK: Fingerprints

    @Test func fingerprintsFollowContentNotPlace() throws {
        let config = try Fixtures.config("qwen3-a")
        let weights = try Fixtures.weights("qwen3-a")
        let print = try Checkpoint(path: Fixtures.model(config, weights).path).fingerprint
        #expect(print.count == 16)
        #expect(try Checkpoint(path: Fixtures.model(config, weights).path).fingerprint == print)
        var changed = weights
        changed.entries[3].bytes[7] ^= 1
        #expect(try Checkpoint(path: Fixtures.model(config, changed).path).fingerprint != print)
        var other = config
        other["rope_theta"] = 20_000
        #expect(try Checkpoint(path: Fixtures.model(other, weights).path).fingerprint != print)
        let folder = try Fixtures.model(config, weights)
        try folder.write("tokenizer.json", Array("{}".utf8))
        #expect(try Checkpoint(path: folder.path).fingerprint != print)
    }

    // MARK: Loading

    @Test func cacheBudgets() throws {
        let checkpoint = try Checkpoint(path: Fixtures.tiny("qwen3-a"))
        let device = try CPUDevice(computeType: .float32, threads: 1)
        let one = try ModelLoader.load(checkpoint, on: device, budget: .blocks(1))
        #expect(one.shape.contextLength == 16)
        let model = try ModelLoader.load(checkpoint, on: device, budget: .bytes(one.blockBytes * 5 + 1))
        #expect(model.shape.blockCount == 5)
        #expect(
            try ModelLoader.load(checkpoint, on: device, budget: .blocks(99)).shape.contextLength == 256)
        #expect(throws: ModelError.self) {
            try ModelLoader.load(checkpoint, on: device, budget: .bytes(100))
        }
    }

    // MARK: Perplexity

    @Test func windowsCoverTheTextOnce() {
        let ids: [Int32] = Array(10..<21)
        #expect(Perplexity.windows(of: ids, width: 4, bos: nil) == [[10, 11, 12, 13], [14, 15, 16, 17]])
        #expect(
            Perplexity.windows(of: ids, width: 6, bos: 1) == [
                [1, 10, 11, 12, 13, 14], [1, 15, 16, 17, 18, 19],
            ])
        #expect(Perplexity.windows(of: [1, 2], width: 4, bos: nil).isEmpty)
    }

    @Test func chunksDoNotChangeLosses() throws {
        let checkpoint = try Checkpoint(path: Fixtures.tiny("gemma3-a"))
        let ids = try Fixtures.prompt("gemma3-a") + Fixtures.prompt("gemma3-a")
        let losses = try [(512, 64), (5, 2), (1, 1)].map { rows, logitRows in
            let model = try ModelLoader.load(
                checkpoint, on: CPUDevice(computeType: .float32, threads: 2), budget: .blocks(8),
                maxRows: rows,
                maxLogitRows: logitRows)
            return try Perplexity.losses(ids, with: model.runner)
        }
        #expect(losses[0].count == ids.count - 1)
        #expect(losses[0] == losses[1] && losses[0] == losses[2])
        #expect(throws: ModelError.self) {
            let model = try ModelLoader.load(checkpoint, on: CPUDevice(threads: 1), budget: .blocks(1))
            return try Perplexity.losses(ids, with: model.runner)
        }
    }
}
