import Foundation
import JSON
import Kernels
import Models

/// Tests/Fixtures of the checkout, and model folders made from them.
enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures").path

    static func tiny(_ name: String) -> String { folder + "/tiny/" + name }

    static let tinyNames: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: folder + "/tiny")) ?? []).sorted()

    static func config(_ name: String, alternative: Bool = false) throws -> JSONObject {
        let path = tiny(name) + (alternative ? "/config.alt.json" : "/config.json")
        let json = try JSON(parsing: [UInt8](Data(contentsOf: URL(filePath: path))))
        return json.object ?? JSONObject()
    }

    /// The weights of a tiny checkpoint, whole or in shards.
    static func weights(_ name: String) throws -> SafetensorsBuilder {
        var builder = SafetensorsBuilder()
        for file in try FileManager.default.contentsOfDirectory(atPath: tiny(name)).sorted()
        where file.hasSuffix(".safetensors") {
            let path = tiny(name) + "/" + file
            builder.entries += SafetensorsBuilder(try SafetensorsFile(path: path)).entries
        }
        return builder
    }

    static func prompt(_ name: String) throws -> [Int32] {
        let bytes = try [UInt8](Data(contentsOf: URL(filePath: tiny(name) + "/reference.json")))
        return try JSON(parsing: bytes)["prompts"]?.array?.first?["ids"]?.array?
            .compactMap { $0.int.map(Int32.init) } ?? []
    }

    /// A model folder of a config and weights.
    static func model(_ config: JSONObject, _ weights: SafetensorsBuilder) throws -> ScratchFolder {
        let scratch = try ScratchFolder()
        try scratch.write("config.json", Array(JSON.object(config).text.utf8))
        try scratch.write("model.safetensors", weights.file)
        return scratch
    }

    /// Logits at the last position of `ids`, in float32.
    static func lastLogits(_ path: String, _ ids: [Int32]) throws -> [Float] {
        let model = try ModelLoader.load(
            path: path, on: CPUDevice(computeType: .float32, threads: 1), budget: .blocks(16), maxRows: 256)
        var batch = PackedBatch()
        batch.append(ids, at: 0, blocks: Array(0..<16), blockSize: 16, logits: .last)
        try model.runner.forward(batch)
        return try model.runner.logits(0..<1).withRow(0) { Array($0) }
    }
}
