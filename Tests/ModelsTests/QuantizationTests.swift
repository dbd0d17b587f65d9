import Foundation
import JSON
import Kernels
import Testing

@testable import Models

/// GPTQ and AWQ checkpoints: Tests/Fixtures/groups was packed by a program of its own (groups_cases.py), and holds each
/// model's weights as they were before.
@Suite struct QuantizationTests {
    static let folder = Fixtures.folder + "/groups/"
    static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    static let ids: [Int32] = (0..<30).map { Int32(($0 * 37 + 5) % 384) }

    @Test func modelsAreFound() { #expect(Self.names.count >= 6) }

    // MARK: Weights

    /// Every layer, bit for bit, and nothing left out.
    @Test(arguments: names)
    func weightsAreTheExportersBitForBit(_ name: String) throws {
        let checkpoint = try Checkpoint(path: Self.folder + name)
        let plain = try SafetensorsFile(path: Self.folder + name + "/plain/model.safetensors")
        let exact = plain.tensors.filter { $0.type == .f32 }
        #expect(checkpoint.groupedWeights.count == exact.count && exact.count >= 12)
        for weights in checkpoint.groupedWeights {
            let tensor = try #require(exact.first { $0.name == weights.name + ".weight" })
            #expect(tensor.shape == [weights.outputs, weights.inputs])
            let values = tensor.type.dequantize(tensor.bytes, count: weights.outputs * weights.inputs)
            #expect(weights.dequantize().map(\.bitPattern) == values.map(\.bitPattern), "\(weights.name)")
        }
    }

    @Test(arguments: names, ComputeType.allCases)
    func logitsAreThePlainCheckpoints(_ name: String, _ type: ComputeType) throws {
        let found = try Self.logits(Self.folder + name, type)
        #expect(try found == Self.logits(Self.folder + name + "/plain", type))
        #expect(found.allSatisfy { $0.isFinite })
    }

    static func logits(_ path: String, _ type: ComputeType) throws -> [Float] {
        let model = try ModelLoader.load(
            path: path, on: CPUDevice(computeType: type, threads: 2), budget: .blocks(16), maxRows: 256)
        var batch = PackedBatch()
        batch.append(ids, at: 0, blocks: Array(0..<16), blockSize: 16, logits: .last)
        try model.runner.forward(batch)
        return try model.runner.logits(0..<1).withRow(0) { Array($0) }
    }

    @Test func parametersAreThoseOfTheModel() throws {
        for name in Self.names {
            let plain = try Checkpoint(path: Self.folder + name + "/plain")
            let found = try Checkpoint(path: Self.folder + name)
            // Older exporters' zero biases count, where they are.
            let biases = found.tensors.filter { $0.name.hasSuffix("proj.bias") && name == "gptq-4bit-llama" }
            #expect(found.parameters - biases.reduce(0) { $0 + $1.columns } == plain.parameters, "\(name)")
        }
    }

    // MARK: Where it is said

    @Test func summariesSayWhatIsThere() throws {
        let expected = [
            "awq-4bit-mistral": "AWQ, 4 bits, groups of 32", "gptq-4bit-llama": "GPTQ, 4 bits, groups of 32",
            "gptq-4bit-act-llama": "GPTQ, 4 bits, groups of 32, act-order",
            "gptq-8bit-qwen2": "GPTQ, 8 bits, a group for each output",
        ]
        for (name, summary) in expected {
            #expect(try Checkpoint(path: Self.folder + name).quantization?.summary == summary)
        }
        #expect(try Checkpoint(path: Fixtures.tiny("qwen3-a")).quantization == nil)
    }

    /// AutoGPTQ's own document, and its own name of the weights.
    @Test func documentsOfOlderExportersAreRead() throws {
        let wanted = try Self.logits(Self.folder + "gptq-4bit-llama", .float32)
        for base in ["gptq_model-4bit-32g", "mine", "model"] {
            let folder = try Self.copy("gptq-4bit-llama", weights: base) { $0["quantization_config"] = nil }
            let more = base == "mine" ? ", \"model_file_base_name\": \"mine\"" : ""
            let text = #"{"bits": 4, "group_size": 32, "desc_act": false, "damp_percent": 0.01"# + more + "}"
            try folder.write("quantize_config.json", Array(text.utf8))
            #expect(try Self.logits(folder.path, .float32) == wanted)
        }
        let folder = try Self.copy("awq-4bit-mistral") { $0["quantization_config"] = nil }
        try folder.write(
            "quant_config.json",
            Array(#"{"zero_point": true, "q_group_size": 32, "w_bit": 4, "version": "GEMM"}"#.utf8))
        #expect(try Self.logits(folder.path, .float32) == Self.logits(Self.folder + "awq-4bit-mistral", .float32))
        try folder.write("quant_config.json", Array(#"{"w_bit": 3}"#.utf8))
        #expect(
            try CheckpointTests.refusal(folder.path) == "quant_config.json: w_bit: 3 is not supported; supported is 4")
    }

    /// A model folder like one of the fixtures.
    static func copy(
        _ name: String, weights: String = "model", _ config: (inout JSONObject) -> Void = { _ in },
        tensors: (inout SafetensorsBuilder) -> Void = { _ in }
    ) throws -> ScratchFolder {
        var object =
            try JSON(parsing: [UInt8](Data(contentsOf: URL(filePath: folder + name + "/config.json")))).object
            ?? JSONObject()
        config(&object)
        var builder = SafetensorsBuilder(try SafetensorsFile(path: folder + name + "/model.safetensors"))
        tensors(&builder)
        let scratch = try ScratchFolder()
        try scratch.write("config.json", Array(JSON.object(object).text.utf8))
        try scratch.write(weights + ".safetensors", builder.file)
        return scratch
    }

    // MARK: Refusing settings

    static let refusals: [(change: [(String, JSON)], says: [String])] = [
        ([("quant_method", "fp8")], ["quantization_config.quant_method: fp8 is not supported", "awq (4 bits"]),
        ([("quant_method", "bitsandbytes")], ["quant_method: bitsandbytes"]),
        ([("quant_method", "compressed-tensors")], ["quant_method: compressed-tensors"]),
        ([("quant_method", .null)], ["quant_method: is missing"]),
        ([("quant_method", .null), ("load_in_4bit", true)], ["load_in_4bit: bitsandbytes is not supported"]),
        ([("quant_method", 4)], ["quant_method: must be a string, is 4"]),
        ([("bits", 3)], ["quantization_config.bits: 3 is not supported; supported are 4 and 8"]),
        ([("bits", .null)], ["bits: is missing"]),
        ([("bits", 8)], ["has shape [8, 64], the configuration asks for [16, 64]"]),
        ([("group_size", 0)], ["group_size: 0 is neither -1 nor positive"]),
        ([("group_size", 64)], ["qzeros: has shape [2, 8], the configuration asks for [1, 8]"]),
        ([("group_size", "x")], ["group_size: must be a whole number"]),
        ([("checkpoint_format", "marlin")], ["checkpoint_format: marlin is not supported; supported are gptq and"]),
        ([("is_marlin_format", true)], ["is_marlin_format: Marlin's"]),
        ([("pack_dtype", "int64")], ["pack_dtype: int64 is not supported; supported is int32"]),
        ([("adapter", ["lora": true])], ["adapter: adapters are not supported"]),
        ([("dynamic", ["+:.*down.*": ["bits": 8]])], ["dynamic.+:.*down.*: settings of their own"]),
        ([("desc_act", "yes")], ["desc_act: must be true or false"]),
        ([("modules_in_block_to_quantize", "q_proj")], ["modules_in_block_to_quantize: must be an array"]),
    ]

    @Test(arguments: refusals.indices)
    func settingsThatAreNotSupportedAreRefused(_ index: Int) throws {
        let (changes, says) = Self.refusals[index]
        let refusal = try CheckpointTests.refusal(Self.changed("gptq-4bit-llama", changes).path)
        for words in says { #expect(refusal.contains(words), "\(changes): \(refusal)") }
    }

    static func changed(_ name: String, _ changes: [(String, JSON)]) throws -> ScratchFolder {
        try copy(name) { config in
            var quantization = config["quantization_config"]?.object ?? JSONObject()
            for (key, value) in changes { quantization[key] = value }
            config["quantization_config"] = .object(quantization)
        }
    }

    @Test func settingsOfAWQThatAreNotSupportedAreRefused() throws {
        let cases: [([(String, JSON)], String)] = [
            ([("version", "gemv")], "version: gemv is not supported; supported is gemm"),
            ([("zero_point", false)], "zero_point: false is not supported; supported is true"),
            ([("bits", 8)], "bits: 8 is not supported; supported is 4"), ([("backend", "llm-awq")], "backend: llm-awq"),
            ([("group_size", 48)], "64 inputs are no whole number of groups of 48"),
        ]
        for (changes, words) in cases {
            let refusal = try CheckpointTests.refusal(Self.changed("awq-4bit-mistral", changes).path)
            #expect(refusal.contains(words), "\(changes): \(refusal)")
        }
        #expect(
            try CheckpointTests.refusal(Self.copy("awq-4bit-mistral") { $0["compression_config"] = [:] }.path)
                .contains("compression_config"))
    }

    /// What changes nothing is let in.
    @Test func settingsThatChangeNothingArePassedOver() throws {
        let wanted = try Self.logits(Self.folder + "gptq-4bit-llama", .float32)
        let changes: [[(String, JSON)]] = [
            [("dynamic", ["-:.*lm_head.*": [:]])], [("checkpoint_format", .null), ("format", "GPTQ")],
            [("checkpoint_format", .null)], [("modules_in_block_to_quantize", [["self_attn.q_proj"]])],
            [("desc_act", true)], [("quant_method", .null), ("method", "gptq")], [("sym", true)],
            [("group_size", .null), ("groupsize", 32)],
        ]
        for change in changes {
            #expect(try Self.logits(Self.changed("gptq-4bit-llama", change).path, .float32) == wanted, "\(change)")
        }
        // The second format's zero points are as they are, so the same file has other weights.
        let second = try Self.changed("gptq-4bit-llama", [("checkpoint_format", "gptq_v2")])
        #expect(try Self.logits(second.path, .float32) != wanted)
    }
}
