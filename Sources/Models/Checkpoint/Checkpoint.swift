import Foundation
import Kernels

/// A checkpoint opened, understood and checked, not yet on a device: what `inspect` shows and
/// `ModelLoader` loads.
package struct Checkpoint {
    package let path: String
    package let format: Format
    package let configuration: DecoderConfiguration
    package let tokenizer: TokenizerSource
    /// Tells this checkpoint from others: 16 hexadecimal digits over headers, documents and both ends of
    /// every tensor.
    package let fingerprint: String
    let sources: DecoderSources

    package enum Format: Sendable {
        case gguf(GGUFFile)
        case huggingFace(HuggingFaceFolder)
    }

    /// - Parameter path: a .gguf file, a folder that holds one (or the parts of one), or a Hugging Face
    ///   folder.
    package init(path: String) throws(ModelError) {
        switch try CheckpointLocation.find(path) {
        case .gguf(let file): try self.init(gguf: file)
        case .huggingFace(let folder): try self.init(huggingFace: folder)
        }
    }

    private init(gguf path: String) throws(ModelError) {
        let file = try GGUFFile(path: path)
        let name = String(path.split(separator: "/").last ?? Substring(path))
        let tensors = CheckpointTensors(file: name, file.tensors)
        configuration = try GGUFConfiguration.read(file, tensors: tensors)
        let stacked = tensors.has("blk.0.ffn_gate_exps.weight")
        sources = try SourceReader(
            tensors: tensors, names: .gguf(configuration.family, stackedExperts: stacked),
            configuration: configuration
        ).read()
        try tensors.finish(ignoring: TensorNames.isIgnored)
        var fingerprint = Fingerprint()
        for header in file.headers {
            fingerprint.add(header.bytes)
            fingerprint.add(header.fileBytes)
        }
        for tensor in file.tensors { fingerprint.addSample(of: tensor.bytes) }
        self.fingerprint = fingerprint.text
        self.path = path
        format = .gguf(file)
        tokenizer = .gguf(file.metadata)
    }

    private init(huggingFace path: String) throws(ModelError) {
        let folder = try HuggingFaceFolder(path: path)
        configuration = try DecoderConfiguration(huggingFace: folder.config)
        let tensors = CheckpointTensors(
            file: path, folder.tensors, words: folder.words, otherTypes: folder.shards.flatMap(\.otherTensors))
        let names = try TensorNames.detect(configuration.family, in: tensors)
        sources = try SourceReader(
            tensors: tensors, names: names, configuration: configuration, quantization: folder.quantization
        ).read()
        let multimodal = folder.config["text_config"]?.object != nil
        try tensors.finish {
            TensorNames.isIgnored($0) || (multimodal && TensorNames.isOfImages($0))
        }
        var fingerprint = Fingerprint()
        for document in folder.documentBytes {
            fingerprint.add(Array(document.name.utf8))
            fingerprint.add(document.bytes)
        }
        for shard in folder.shards {
            fingerprint.add(shard.header)
            fingerprint.add(shard.fileBytes)
        }
        for tensor in folder.tensors { fingerprint.addSample(of: tensor.bytes) }
        for tensor in folder.words { fingerprint.addSample(of: tensor.bytes) }
        self.fingerprint = fingerprint.text
        self.path = path
        format = .huggingFace(folder)
        tokenizer = .huggingFace(folder.documents)
    }

    package var tensors: [WeightTensor] {
        switch format {
        case .gguf(let file): file.tensors
        case .huggingFace(let folder): folder.tensors
        }
    }

    /// Tensors of 32-bit integers, which quantised weights of Hugging Face folders are packed in.
    package var words: [WordTensor] {
        switch format {
        case .gguf: []
        case .huggingFace(let folder): folder.words
        }
    }

    /// How a Hugging Face folder's weights are quantised; nil: they are not.
    package var quantization: WeightQuantization? {
        switch format {
        case .gguf: nil
        case .huggingFace(let folder): folder.quantization
        }
    }

    /// Whether there are weights in blocks of small numbers, as GGUF files have them.
    package var hasBlocks: Bool { tensors.contains { $0.type.blockElements > 1 } }

    /// The mean of a number for each type, over the model's matrices (its embedding is one of them).
    package func mean(_ ofType: (TensorType) -> Double) -> Double {
        let matrices = tensors.filter { $0.shape.count > 1 }
        let weights = matrices.map { Double($0.shape.reduce(1, *)) }
        return zip(matrices, weights).reduce(0) { $0 + ofType($1.0.type) * $1.1 } / weights.reduce(0, +)
    }

    /// Linear layers whose weights are packed in words.
    package var groupedWeights: [GroupedWeights] { sources.groupedWeights }

    /// Numbers that the model has learned.
    package var parameters: Int {
        let plain = tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
        return groupedWeights.reduce(plain) { $0 + $1.outputs * $1.inputs - $1.groups * $1.outputs }
    }

    /// How many tensors there are of each type, and their bytes; largest first.
    package var tensorTypes: [(name: String, count: Int, bytes: Int)] {
        let sizes = tensors.map { ($0.type.name, $0.bytes.count) } + words.map { ("I32", $0.bytes.count) }
        return Dictionary(grouping: sizes, by: \.0)
            .map { (name: $0, count: $1.count, bytes: $1.reduce(0) { $0 + $1.1 }) }
            .sorted { ($0.bytes, $0.name) > ($1.bytes, $1.name) }
    }

    /// The name that the checkpoint gives itself; else the file's or folder's.
    package var name: String {
        if case .gguf(let file) = format, let name = file.metadata.string("general.name"),
            !name.isEmpty
        {
            return name
        }
        return URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    }
}

/// What a checkpoint's tokenizer and chat template are built from.
package enum TokenizerSource: Sendable {
    case gguf(GGUFMetadata)
    case huggingFace(TokenizerDocuments)
}

/// Which checkpoint a path means.
private enum CheckpointLocation {
    case gguf(String)
    case huggingFace(String)

    static func find(_ path: String) throws(ModelError) -> CheckpointLocation {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw .notFound(path: path, reason: "no such file or folder")
        }
        guard isFolder.boolValue else {
            guard path.hasSuffix(".safetensors") else { return .gguf(path) }
            throw .notFound(
                path: path,
                reason: "weights alone are not a model; give the folder, which has config.json")
        }
        let folder = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        if names.contains("config.json") { return .huggingFace(folder) }
        let candidates = names.filter {
            $0.hasSuffix(".gguf") && (!isPart($0) || isPart($0, number: 1))
        }
        guard let only = candidates.first else {
            let shown = names.prefix(5).joined(separator: ", ")
            throw .notFound(
                path: path,
                reason:
                    "looked for a .gguf file or a config.json with safetensors; the folder holds "
                    + (names.isEmpty ? "nothing" : shown + (names.count > 5 ? ", …" : "")))
        }
        guard candidates.count == 1 else {
            throw .notFound(
                path: path,
                reason:
                    "holds \(candidates.count) GGUF models (\(candidates[0]), \(candidates[1])…); "
                    + "give the path of one")
        }
        return .gguf(folder + "/" + only)
    }

    /// Of a split file: NAME-00002-of-00005.gguf.
    private static func isPart(_ name: String, number: Int? = nil) -> Bool {
        guard let match = name.wholeMatch(of: /.*-(\d{5})-of-\d{5}\.gguf/) else { return false }
        return number == nil || Int(match.1) == number
    }
}
