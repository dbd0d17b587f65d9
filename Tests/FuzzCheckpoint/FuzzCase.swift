import Foundation
import JSON
import Models

/// A file that the readers are tried on, and the ways it can be changed.
struct FuzzCase {
    /// The file name's ending says what reads it.
    enum Kind: String, CaseIterable {
        case gguf, safetensors, json
    }

    let kind: Kind
    private(set) var bytes: [UInt8]

    static func all(in folder: String) throws -> [FuzzCase] {
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted().compactMap { name in
            guard let kind = Kind.allCases.first(where: { name.hasSuffix("." + $0.rawValue) }) else {
                return nil
            }
            let data = try Data(contentsOf: URL(filePath: folder).appending(path: name))
            return FuzzCase(kind: kind, bytes: [UInt8](data))
        }
    }

    /// A config.json that goes with the safetensors seed.
    private static let config = """
        {"model_type":"llama","hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,
        "num_attention_heads":2,"vocab_size":4,"max_position_embeddings":32,"tie_word_embeddings":true}
        """

    /// The same for layers that are quantised, by what the seed holds: GPTQ's have a list of groups.
    private var config: String {
        let header = String(decoding: bytes.prefix(1 << 14), as: UTF8.self)
        guard header.contains("qweight") else { return Self.config }
        let method = header.contains("g_idx") ? "gptq" : "awq"
        return String(Self.config.dropLast()) + """
            ,"quantization_config":{"quant_method":"\(method)","bits":4,"group_size":4,"desc_act":true}}
            """
    }

    func write(into folder: URL) throws {
        switch kind {
        case .gguf: try Data(bytes).write(to: folder.appending(path: "case.gguf"))
        case .safetensors:
            try Data(bytes).write(to: folder.appending(path: "model.safetensors"))
            try Data(config.utf8).write(to: folder.appending(path: "config.json"))
        case .json: try Data(bytes).write(to: folder.appending(path: "config.json"))
        }
    }

    /// - Returns: nil where the readers accept it, else what they say.
    func open(in folder: URL) -> String? {
        do {
            switch kind {
            case .gguf:
                let file = try GGUFFile(path: folder.appending(path: "case.gguf").path)
                Self.touch(file.tensors.map(\.bytes))
                _ = try Checkpoint(path: folder.appending(path: "case.gguf").path)
            case .safetensors:
                let file = try SafetensorsFile(path: folder.appending(path: "model.safetensors").path)
                Self.touch(file.tensors.map(\.bytes) + file.words.map(\.bytes))
                for weights in try Checkpoint(path: folder.path).groupedWeights { _ = weights.dequantize() }
            case .json: _ = try DecoderConfiguration(huggingFace: JSON(parsing: bytes))
            }
            return nil
        } catch ModelError.malformed(_, _, let reason) {
            return "malformed \(reason)"
        } catch ModelError.unsupported(_, _, let reason) {
            return "unsupported \(reason)"
        } catch { return "\(error)" }
    }

    /// Reads both ends of every tensor, so that one outside its file is noticed.
    private static func touch(_ tensors: [UnsafeRawBufferPointer]) {
        var sum: UInt8 = 0
        for tensor in tensors { sum &+= (tensor.first ?? 0) &+ (tensor.last ?? 0) }
        withExtendedLifetime(sum) {}
    }

    // MARK: Mutation

    mutating func mutate(_ random: inout RandomSource) {
        for _ in 0..<random.below(3) + 1 {
            switch (kind, random.below(4)) {
            case (.gguf, 0...2): mutateGGUFField(&random)
            case (.safetensors, 0...1), (.json, 0...2): mutateJSONNumber(&random)
            default: mutateBytes(&random)
            }
        }
    }

    /// A number of the header (length, count, type, offset, value) becomes one that tends to break readers.
    private mutating func mutateGGUFField(_ random: inout RandomSource) {
        let fields = GGUFFields.find(in: bytes)
        guard !fields.isEmpty else { return mutateBytes(&random) }
        let field = fields[random.below(fields.count)]
        let old = field.value(in: bytes)
        field.store(random.awkward(near: old, fileBytes: bytes.count), in: &bytes)
    }

    /// A number written in decimal becomes another, or something that is no number.
    private mutating func mutateJSONNumber(_ random: inout RandomSource) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let header = kind == .json ? bytes.indices : bytes.indices.prefix(4096)
        let starts = header.filter {
            digits.contains(bytes[$0]) && ($0 == 0 || !digits.contains(bytes[$0 - 1]))
        }
        guard !starts.isEmpty else { return mutateBytes(&random) }
        let start = starts[random.below(starts.count)]
        let end = bytes[start...].firstIndex { !digits.contains($0) } ?? bytes.endIndex
        let old = UInt64(String(decoding: bytes[start..<end], as: UTF8.self)) ?? 0
        let words = ["-1", "null", "true", "\"x\"", "1e308", "0.5", "[]", "{}", "-0.0", "[[1]]"]
        let text =
            random.below(3) == 0
            ? words[random.below(words.count)] : String(random.awkward(near: old, fileBytes: bytes.count))
        bytes.replaceSubrange(start..<end, with: Array(text.utf8))
        if kind == .safetensors, random.below(4) != 0 {
            repairHeaderLength(by: text.utf8.count - (end - start))
        }
    }

    /// Keeps the header's length right, so that what is inside it is reached.
    private mutating func repairHeaderLength(by difference: Int) {
        guard bytes.count >= 8 else { return }
        let field = GGUFFields.Field(offset: 0, width: 8)
        field.store(field.value(in: bytes) &+ UInt64(bitPattern: Int64(difference)), in: &bytes)
    }

    private mutating func mutateBytes(_ random: inout RandomSource) {
        guard !bytes.isEmpty else { return }
        let at = random.below(bytes.count)
        let span = at..<min(bytes.count, at + random.below(64) + 1)
        switch random.below(6) {
        case 0: bytes[at] ^= 1 << UInt8(random.below(8))
        case 1: bytes[at] = UInt8(truncatingIfNeeded: random.next())
        case 2: bytes.removeSubrange(at...)
        case 3: bytes.removeSubrange(span)
        case 4: bytes.insert(contentsOf: Array(bytes[span]), at: random.below(bytes.count))
        default:
            for index in span { bytes[index] = random.below(2) == 0 ? 0xFF : 0 }
        }
    }
}
