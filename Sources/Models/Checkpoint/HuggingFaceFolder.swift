import Foundation
import JSON
import Kernels

/// A model folder as the Hugging Face Hub has them: config.json, weights in safetensors (whole, or
/// sharded with an index), tokenizer and template documents.
package struct HuggingFaceFolder: Sendable {
    package let path: String
    package let config: JSON
    package let documents: TokenizerDocuments
    package let shards: [SafetensorsFile]
    /// nil: weights are as they are.
    package let quantization: WeightQuantization?
    /// Every document that decides results, as read: for fingerprints.
    let documentBytes: [(name: String, bytes: [UInt8])]

    package var tensors: [WeightTensor] { shards.flatMap(\.tensors) }

    private static let documentNames = [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "chat_template.jinja", "chat_template.json",
    ] + WeightQuantization.olderDocuments.map(\.name)
    /// A tokenizer.json of a vocabulary of 262144 takes 33 MB.
    private static let documentLimit = 256 << 20

    package init(path: String) throws(ModelError) {
        self.path = path
        var bytes: [String: [UInt8]] = [:]
        for name in Self.documentNames where FileManager.default.fileExists(atPath: path + "/" + name) {
            let mapping = try MappedFile(path: path + "/" + name)
            guard mapping.bytes.count <= Self.documentLimit else {
                throw .malformed(
                    file: name, field: "size", reason: "\(mapping.bytes.count) bytes are above the limit")
            }
            bytes[name] = [UInt8](mapping.bytes)
        }
        guard let config = try Self.json("config.json", bytes) else {
            throw .notFound(path: path, reason: "no config.json in this folder")
        }
        self.config = config
        let olderTemplate = try Self.json("chat_template.json", bytes)?["chat_template"]?.string
        documents = TokenizerDocuments(
            folder: path, config: config, tokenizer: bytes["tokenizer.json"],
            tokenizerConfig: try Self.json("tokenizer_config.json", bytes),
            specialTokensMap: try Self.json("special_tokens_map.json", bytes),
            generationConfig: try Self.json("generation_config.json", bytes),
            chatTemplate: bytes["chat_template.jinja"].map { String(decoding: $0, as: UTF8.self) }
                ?? olderTemplate)
        documentBytes = Self.documentNames.compactMap { name in bytes[name].map { (name, $0) } }
        var older: [String: JSON] = [:]
        for (name, _) in WeightQuantization.olderDocuments { older[name] = try Self.json(name, bytes) }
        quantization = try WeightQuantization.read(config: config, documents: older)
        shards = try Self.openShards(path, names: Self.weightNames(older["quantize_config.json"]))
    }

    package var words: [WordTensor] { shards.flatMap(\.words) }

    /// What the weights' file may be called, before its ending: AutoGPTQ's has a name of its own.
    private static func weightNames(_ quantizeConfig: JSON?) -> [String] {
        guard let quantizeConfig else { return ["model"] }
        var names: [String] = []
        if let name = quantizeConfig["model_file_base_name"]?.string, !name.contains("/") { names.append(name) }
        if let bits = quantizeConfig["bits"]?.int, let size = quantizeConfig["group_size"]?.int {
            names.append("gptq_model-\(bits)bit-\(size)g")
        }
        return names + ["model"]
    }

    private static func json(_ name: String, _ bytes: [String: [UInt8]]) throws(ModelError) -> JSON? {
        guard let text = bytes[name] else { return nil }
        do { return try JSON(parsing: text) } catch {
            throw .malformed(file: name, field: "JSON", reason: error.description)
        }
    }

    /// Whole before sharded, as transformers looks for them.
    private static func openShards(_ path: String, names: [String]) throws(ModelError) -> [SafetensorsFile] {
        for name in names {
            let whole = "\(path)/\(name).safetensors"
            if FileManager.default.fileExists(atPath: whole) { return [try SafetensorsFile(path: whole)] }
        }
        let indexNames = names.map { $0 + ".safetensors.index.json" }
        let found = indexNames.first { FileManager.default.fileExists(atPath: path + "/" + $0) }
        let indexName = indexNames[indexNames.count - 1]
        guard let found else {
            let pickled =
                (try? FileManager.default.contentsOfDirectory(atPath: path))?
                .filter { $0.hasSuffix(".bin") || $0.hasSuffix(".pth") || $0.hasSuffix(".pt") }.sorted()
                ?? []
            throw .notFound(
                path: path,
                reason: "no model.safetensors and no \(indexName) in this folder"
                    + (pickled.isEmpty ? "" : "; \(pickled[0]) is a pickle: convert it to safetensors"))
        }
        return try openIndexed(path, indexName: found)
    }

    private static func openIndexed(_ path: String, indexName: String) throws(ModelError)
        -> [SafetensorsFile]
    {
        func malformed(_ field: String, _ reason: String) -> ModelError {
            .malformed(file: indexName, field: field, reason: reason)
        }
        let mapping = try MappedFile(path: path + "/" + indexName)
        let index: JSON
        do { index = try JSON(parsing: [UInt8](mapping.bytes)) } catch {
            throw malformed("JSON", error.description)
        }
        guard let map = index["weight_map"]?.object, !map.isEmpty else {
            throw malformed("weight_map", "is missing, empty or not an object")
        }
        var shardOf: [String: String] = [:]
        for (name, value) in map.members {
            guard let shard = value.string, !shard.contains("/"), shard.hasSuffix(".safetensors") else {
                throw malformed("weight_map: \(name)", "must name a .safetensors file in the same folder")
            }
            shardOf[name] = shard
        }
        var shards: [SafetensorsFile] = []
        var home: [String: String] = [:]
        for shard in Set(shardOf.values).sorted() {
            let file = try SafetensorsFile(path: path + "/" + shard)
            for name in file.tensors.map(\.name) + file.otherTensors.map(\.name) {
                if let other = home.updateValue(shard, forKey: name) {
                    throw .malformed(file: shard, field: name, reason: "is in \(other) too")
                }
            }
            shards.append(file)
        }
        for (name, shard) in shardOf where home[name] != shard {
            throw malformed("weight_map: \(name)", "is not in \(shard)")
        }
        return shards
    }
}

/// What tokenizers and chat templates of a Hugging Face folder are built from; nil where the folder has
/// no such file.
package struct TokenizerDocuments: Sendable {
    package let folder: String
    /// config.json, for token ids that only it names.
    package let config: JSON
    /// tokenizer.json as it is in the file.
    package let tokenizer: [UInt8]?
    package let tokenizerConfig: JSON?
    package let specialTokensMap: JSON?
    package let generationConfig: JSON?
    /// chat_template.jinja (or chat_template.json); tokenizer_config.json may hold one instead.
    package let chatTemplate: String?
}
