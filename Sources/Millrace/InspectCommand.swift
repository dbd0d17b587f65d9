import ArgumentParser
import Foundation
import JSON
import Kernels
import Models
import Worker

/// `millrace inspect MODEL`
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show what a checkpoint holds and what would run.")

    @Argument(help: "A GGUF file, a Hugging Face folder, or the name of a fetched model.") var model: String
    @Flag(help: "List every tensor.") var tensors = false
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var options: ModelOptions

    func run() throws {
        let path = try ModelOptions.resolve(model)
        let local = try LocalModel(path: path)
        let (settings, remark) = try options.settings.resolved(
            for: local.checkpoint, sequences: options.device.defaults.maxSequences)
        if let remark { ConsoleOutput.note(remark) }
        let device = try settings.device.open(settings)
        let report = InspectionReport(local, path: path, device: device, cacheBytes: options.kvCache?.bytes ?? 1 << 30)
        if json {
            print(report.json(listingTensors: tensors).text)
        } else {
            print(report.text(listingTensors: tensors))
        }
    }
}

/// What `inspect` tells, as text or JSON.
struct InspectionReport {
    let local: LocalModel
    let path: String
    let device: any Device
    let cacheBytes: Int

    init(_ local: LocalModel, path: String, device: any Device, cacheBytes: Int) {
        self.local = local
        self.path = path
        self.device = device
        self.cacheBytes = cacheBytes
    }

    private var configuration: DecoderConfiguration { local.checkpoint.configuration }

    private var quantization: String? {
        let layers = local.checkpoint.groupedWeights.count
        return local.checkpoint.quantization.map { "\($0.summary), in \(layers) linear layers" }
    }

    /// Every tensor, whatever its type.
    private var tensorList: [(name: String, type: String, shape: [Int])] {
        local.checkpoint.tensors.map { ($0.name, $0.type.name, $0.shape) }
            + local.checkpoint.words.map { ($0.name, "I32", $0.shape) }
    }

    private var blockBytes: Int { device.cacheBlockBytes(configuration.cacheShape(blockCount: 1, blockSize: 16)) }

    private var facts: [(label: String, key: String, value: JSON)] {
        let c = configuration
        let special = local.tokenizer.special
        func id(_ value: Int32?) -> JSON { value.map { .int(Int64($0)) } ?? .null }
        let windows = Set(c.layers.compactMap(\.window)).sorted()
        return [
            ("model", "name", .string(local.checkpoint.name)),
            ("path", "path", .string(path)),
            ("architecture", "architecture", .string(c.family.rawValue)),
            ("parameters", "parameters", .int(Int64(local.checkpoint.parameters))),
            ("quantisation", "quantization", quantization.map(JSON.string) ?? .null),
            ("layers", "layers", .int(Int64(c.layers.count))),
            ("hidden size", "hidden_size", .int(Int64(c.hidden))),
            ("attention heads", "attention_heads", .int(Int64(c.heads))),
            ("key/value heads", "key_value_heads", .int(Int64(c.keyValueHeads))),
            ("head width", "head_width", .int(Int64(c.headWidth))),
            ("feed-forward", "feed_forward", .int(Int64(c.feedForward))),
            ("experts", "experts", c.mixture.map { .int(Int64($0.experts)) } ?? .null),
            ("sliding windows", "sliding_windows", windows.isEmpty ? .null : .array(windows.map { .int(Int64($0)) })),
            ("context length", "context_length", .int(Int64(c.contextLength))),
            ("vocabulary", "vocabulary", .int(Int64(c.vocabulary))),
            ("tokenizer ids", "tokenizer_ids", .int(Int64(local.tokenizer.vocabularySize))),
            ("BOS", "bos_token_id", id(special.bos)),
            ("added to texts", "adds_bos", .bool(special.addsBOS)),
            ("EOS", "eos_token_id", id(special.eos)),
            ("end tokens", "end_token_ids", .array(special.ends.map { .int(Int64($0)) })),
            ("chat template", "chat_template", .bool(local.chat != nil)),
            ("fingerprint", "fingerprint", .string(local.checkpoint.fingerprint)),
            ("would run on", "device", .string(device.description)),
            ("KV cache block", "kv_block_bytes", .int(Int64(blockBytes))),
            ("KV cache holds", "kv_cache_tokens", .int(Int64(cacheBytes / max(blockBytes, 1) * 16))),
        ]
    }

    func text(listingTensors: Bool) -> String {
        var lines = facts.filter { !$0.value.isNull }.map { fact in
            fact.label.padding(toLength: 18, withPad: " ", startingAt: 0) + (fact.value.string ?? fact.value.text)
        }
        for type in local.checkpoint.tensorTypes {
            lines.append("\(type.name)".padding(toLength: 18, withPad: " ", startingAt: 0)
                + "\(type.count) tensors, \(type.bytes) bytes")
        }
        if listingTensors {
            lines += tensorList.map { "\($0.name)  \($0.type)  \($0.shape)" }
        }
        return lines.joined(separator: "\n")
    }

    func json(listingTensors: Bool) -> JSON {
        var object = JSONObject(facts.map { ($0.key, $0.value) })
        object["tensor_types"] = .object(JSONObject(local.checkpoint.tensorTypes.map { type in
            (type.name, ["tensors": .int(Int64(type.count)), "bytes": .int(Int64(type.bytes))])
        }))
        if listingTensors {
            object["tensors"] = .array(tensorList.map { tensor in
                [
                    "name": .string(tensor.name), "type": .string(tensor.type),
                    "shape": .array(tensor.shape.map { .int(Int64($0)) }),
                ]
            })
        }
        return .object(object)
    }
}
