import Foundation
import JSON
import Kernels
import Testing

@testable import Models

/// Tensors of quantised checkpoints that are missing, damaged, or more than there should be.
@Suite struct QuantizedTensorTests {
    static let layer = "model.layers.1.self_attn.o_proj"

    static func refusal(
        _ name: String = "gptq-4bit-act-llama", _ change: (inout SafetensorsBuilder) -> Void
    ) throws -> String {
        try CheckpointTests.refusal(QuantizationTests.copy(name, tensors: change).path)
    }

    @Test(arguments: ["qzeros", "scales", "g_idx"])
    func missingTensorsAreNamed(_ part: String) throws {
        let refusal = try Self.refusal { $0.entries.removeAll { $0.name == "\(Self.layer).\(part)" } }
        #expect(refusal.contains("tensor \(Self.layer).\(part): is missing"), "\(refusal)")
    }

    @Test func aLayerWithoutItsNumbersHasNoWeights() throws {
        let refusal = try Self.refusal { $0.entries.removeAll { $0.name == "\(Self.layer).qweight" } }
        #expect(refusal.contains("tensor \(Self.layer).weight: is missing"), "\(refusal)")
    }

    @Test(arguments: ["qweight", "qzeros", "scales", "g_idx"])
    func shapesAndTypesAreChecked(_ part: String) throws {
        let shape = try Self.refusal { builder in
            let index = builder.index("\(Self.layer).\(part)")
            builder.entries[index].shape = [1, builder.entries[index].shape.reduce(1, *)]
        }
        #expect(shape.contains("tensor \(Self.layer).\(part): has shape [1, "), "\(shape)")
        let type = try Self.refusal { builder in
            let index = builder.index("\(Self.layer).\(part)")
            builder.entries[index].dtype = part == "scales" ? "I16" : "U32"
        }
        #expect(type.contains("tensor \(Self.layer).\(part): "), "\(type)")
        #expect(type.contains(part == "scales" ? "I16" : "is of type U32, not I32"), "\(type)")
    }

    @Test(arguments: [(2, "group 2 of 2"), (-1, "group -1 of 2"), (Int32.max, "group 2147483647 of 2")])
    func groupsOutsideAreRefused(_ group: Int32, _ words: String) throws {
        let refusal = try Self.refusal { builder in
            let index = builder.index("\(Self.layer).g_idx")
            builder.entries[index].bytes.replaceSubrange(20..<24, with: GGUFBuilder.bytes(UInt32(bitPattern: group)))
        }
        #expect(refusal.contains("\(Self.layer).g_idx: puts input 5 into \(words)"), "\(refusal)")
    }

    /// Without act-order groups follow one another, and need not be listed.
    @Test func orderedGroupsNeedNoList() throws {
        let folder = try QuantizationTests.copy("gptq-4bit-llama", tensors: { builder in
            builder.entries.removeAll { $0.name.hasSuffix(".g_idx") }
        })
        #expect(
            try QuantizationTests.logits(folder.path, .float32)
                == QuantizationTests.logits(QuantizationTests.folder + "gptq-4bit-llama", .float32))
    }

    @Test func whatBelongsToNoLayerIsRefused() throws {
        let more = try Self.refusal { $0.add("model.layers.0.mlp.act.scales", "F16", [1], [0, 0]) }
        #expect(more.contains("model.layers.0.mlp.act.scales: this architecture has no such tensor"), "\(more)")
        let list = try Self.refusal("awq-4bit-mistral") {
            $0.add("\(Self.layer).g_idx", "I32", [1], [0, 0, 0, 0])
        }
        #expect(list.contains("g_idx: this architecture has no such tensor"), "\(list)")
    }

    /// Zero biases of older exporters are passed over; others would change what is computed.
    @Test func biasesThatTheModelHasNotAreRefused() throws {
        let refusal = try Self.refusal("gptq-4bit-llama") { builder in
            builder.entries[builder.index("\(Self.layer).bias")].bytes[3] = 0x3C
        }
        #expect(refusal.contains("\(Self.layer).bias: is not zero"), "\(refusal)")
    }

    @Test func quantisedWeightsWithoutSettingsAreRefused() throws {
        let folder = try QuantizationTests.copy("gptq-4bit-llama") { $0["quantization_config"] = nil }
        let refusal = try CheckpointTests.refusal(folder.path)
        #expect(refusal.contains("q_proj.qweight: nothing says how it is quantised"), "\(refusal)")
        #expect(refusal.contains("quantize_config.json"))
    }

    @Test func settingsWithoutQuantisedWeightsAreRefused() throws {
        var config = try Fixtures.config("llama-rope3-a")
        config["quantization_config"] = ["quant_method": "gptq", "bits": 4, "group_size": 32]
        let folder = try Fixtures.model(config, Fixtures.weights("llama-rope3-a"))
        let refusal = try CheckpointTests.refusal(folder.path)
        #expect(refusal.contains("none is quantised, though the configuration says GPTQ, 4 bits"), "\(refusal)")
    }

    /// A head in groups, which some exporters make: here the bits of an up projection, as many as they go.
    @Test func headsMayBeQuantised() throws {
        let folder = try QuantizationTests.copy("gptq-4bit-llama", tensors: { builder in
            builder.entries.removeAll { $0.name == "lm_head.weight" }
            let source = "model.layers.0.mlp.up_proj"
            for (part, rows) in [("qweight", 8), ("qzeros", 2), ("scales", 2)] {
                let entry = builder.entries[builder.index("\(source).\(part)")]
                // Four times as many outputs: each row four times over.
                let rowBytes = entry.bytes.count / rows
                let bytes = (0..<rows).flatMap { row in
                    (0..<4).flatMap { _ in entry.bytes[row * rowBytes..<(row + 1) * rowBytes] }
                }
                builder.add("lm_head.\(part)", entry.dtype, [rows, entry.shape[1] * 4], bytes)
            }
        })
        let logits = try QuantizationTests.logits(folder.path, .float32)
        #expect(logits.count == 384 && logits[..<96] == logits[96..<192] && Set(logits).count > 40)
    }

    /// Any bits are weights, infinite ones among them.
    @Test(arguments: QuantizationTests.names)
    func damagedWordsDoNotCrash(_ name: String) throws {
        var state: UInt64 = 7
        let folder = try QuantizationTests.copy(name, tensors: { builder in
            for index in builder.entries.indices where !builder.entries[index].name.hasSuffix("g_idx") {
                guard !builder.entries[index].name.hasSuffix("bias") else { continue }
                builder.entries[index].bytes = builder.entries[index].bytes.map { _ in
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return UInt8(truncatingIfNeeded: state >> 56)
                }
            }
        })
        #expect(try QuantizationTests.logits(folder.path, .bfloat16).contains { $0.isNaN })
    }
}

extension SafetensorsBuilder {
    func index(_ name: String) -> Int {
        guard let index = entries.firstIndex(where: { $0.name == name }) else { preconditionFailure("no \(name)") }
        return index
    }
}
