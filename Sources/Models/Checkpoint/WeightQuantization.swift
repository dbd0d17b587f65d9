import JSON

/// How a Hugging Face folder's linear layers are quantised: what its "quantization_config" says.
///
/// Sources: GPTQConfig and AwqConfig of https://github.com/huggingface/transformers; quantize_config.json of
/// https://github.com/AutoGPTQ/AutoGPTQ and https://github.com/ModelCloud/GPTQModel; quant_config.json of
/// https://github.com/casper-hansen/AutoAWQ.
package struct WeightQuantization: Sendable, Equatable {
    package enum Method: String, Sendable, CaseIterable { case gptq, awq }

    package var method: Method
    package var bits: Int
    /// Inputs that share a scale; nil: all of an output's.
    package var groupSize: Int?
    /// Groups may have any inputs, which each layer lists (GPTQ's act-order).
    package var isOrderFree: Bool
    /// Zero points are stored one less than they are (GPTQ's first format).
    package var zerosAreOneLess: Bool

    /// Added to a word of zero points.
    var zeroOffset: UInt32 { !zerosAreOneLess ? 0 : bits == 4 ? 0x1111_1111 : 0x0101_0101 }

    /// For people: "GPTQ, 4 bits, groups of 128, act-order".
    package var summary: String {
        var parts = [method.rawValue.uppercased(), "\(bits) bits"]
        parts.append(groupSize.map { "groups of \($0)" } ?? "a group for each output")
        if isOrderFree { parts.append("act-order") }
        return parts.joined(separator: ", ")
    }
}

extension WeightQuantization {
    static let configName = "quantization_config"
    /// Where exporters put it before config.json had a place, and whose they are.
    static let olderDocuments: [(name: String, method: Method)] = [
        ("quantize_config.json", .gptq), ("quant_config.json", .awq),
    ]

    /// - Parameter documents: those of `olderDocuments` that the folder has.
    /// - Returns: nil where nothing says that weights are quantised.
    static func read(config: JSON, documents: [String: JSON] = [:]) throws(ModelError) -> WeightQuantization? {
        for (value, place) in [(config, ""), (config["text_config"] ?? .null, "text_config.")] {
            guard let object = value.object else { continue }
            let keys = ConfigurationKeys(file: "config.json", prefix: place, object)
            if let nested = try keys.keys(configName) {
                return try QuantizationReader(keys: nested, method: nil).read()
            }
        }
        for (name, method) in olderDocuments {
            guard let document = documents[name] else { continue }
            guard let object = document.object else {
                throw .malformed(file: name, field: "JSON", reason: "must be an object, is \(document.kindName)")
            }
            return try QuantizationReader(keys: ConfigurationKeys(file: name, object), method: method).read()
        }
        return nil
    }
}

/// Reads the members of a quantisation's object; what would change the weights and is not implemented is refused.
private struct QuantizationReader {
    let keys: ConfigurationKeys
    /// What the file is for, where it need not say.
    let method: WeightQuantization.Method?

    private static let supported = "supported are gptq (4 and 8 bits) and awq (4 bits, version gemm)"

    func read() throws(ModelError) -> WeightQuantization {
        let method = try readMethod()
        try refuseOthers()
        return method == .gptq ? try gptq() : try awq()
    }

    private func readMethod() throws(ModelError) -> WeightQuantization.Method {
        guard let name = try keys.text("quant_method", "method") else {
            if let method { return method }
            for flag in ["load_in_4bit", "load_in_8bit"] where keys.has(flag) {
                throw keys.unsupported(flag, "bitsandbytes is not supported; \(Self.supported)")
            }
            throw keys.malformed("quant_method", "is missing")
        }
        guard let method = WeightQuantization.Method(rawValue: name.lowercased()) else {
            throw keys.unsupported("quant_method", "\(name.prefix(40)) is not supported; \(Self.supported)")
        }
        return method
    }

    /// What both methods' files may ask for besides.
    private func refuseOthers() throws(ModelError) {
        if let type = try keys.text("pack_dtype"), type != "int32" {
            throw keys.unsupported("pack_dtype", "\(type.prefix(40)) is not supported; supported is int32")
        }
        if keys.value("adapter") != nil { throw keys.unsupported("adapter", "adapters are not supported") }
        if let rules = try keys.keys("dynamic") {
            // "-:NAME" leaves modules as they are, which their tensors show.
            for (pattern, _) in rules.object.members where !pattern.hasPrefix("-") {
                throw rules.unsupported(
                    String(pattern.prefix(80)), "settings of their own for some modules are not supported")
            }
        }
        for name in ["modules_in_block_to_quantize", "modules_to_not_convert", "ignored_layers"] {
            if let value = keys.value(name), value.array == nil {
                throw keys.malformed(name, "must be an array, is \(value.kindName)")
            }
        }
    }

    private func gptq() throws(ModelError) -> WeightQuantization {
        let bits = try bits(["bits", "wbits"], supported: [4, 8])
        if try keys.flag("is_marlin_format") == true {
            throw keys.unsupported("is_marlin_format", "Marlin's format is not supported; supported is gptq")
        }
        let (field, format) = try format(["checkpoint_format", "format"]) ?? ("", "gptq")
        guard format == "gptq" || format == "gptq_v2" else {
            throw keys.unsupported(field, "\(format.prefix(40)) is not supported; supported are gptq and gptq_v2")
        }
        return WeightQuantization(
            method: .gptq, bits: bits, groupSize: try groupSize(["group_size", "groupsize"]),
            isOrderFree: try keys.flag("desc_act") ?? false, zerosAreOneLess: format == "gptq")
    }

    private func awq() throws(ModelError) -> WeightQuantization {
        let bits = try bits(["bits", "w_bit"], supported: [4])
        if let (field, version) = try format(["version", "checkpoint_format", "format"]), version != "gemm" {
            throw keys.unsupported(field, "\(version.prefix(40)) is not supported; supported is gemm")
        }
        if try keys.flag("zero_point") == false {
            throw keys.unsupported("zero_point", "false is not supported; supported is true")
        }
        if let backend = try keys.text("backend"), backend.lowercased() == "llm-awq" {
            throw keys.unsupported("backend", "llm-awq is not supported; supported is autoawq")
        }
        return WeightQuantization(
            method: .awq, bits: bits, groupSize: try groupSize(["group_size", "q_group_size"]), isOrderFree: false,
            zerosAreOneLess: false)
    }

    private func bits(_ names: [String], supported: [Int]) throws(ModelError) -> Int {
        let name = names.first { keys.value($0) != nil } ?? names[0]
        guard let bits = try keys.int(name) else { throw keys.malformed(name, "is missing") }
        guard supported.contains(bits) else {
            let list = supported.map(String.init).joined(separator: " and ")
            let verb = supported.count > 1 ? "are" : "is"
            throw keys.unsupported(name, "\(bits) is not supported; supported \(verb) \(list)")
        }
        return bits
    }

    /// -1 is a group of all inputs; 128 where the file does not say, as transformers takes it.
    private func groupSize(_ names: [String]) throws(ModelError) -> Int? {
        let name = names.first { keys.value($0) != nil } ?? names[0]
        let size = try keys.int(name) ?? 128
        if size == -1 { return nil }
        guard (1...1 << 24).contains(size) else { throw keys.malformed(name, "\(size) is neither -1 nor positive") }
        return size
    }

    private func format(_ names: [String]) throws(ModelError) -> (field: String, value: String)? {
        for name in names {
            if let text = try keys.text(name), !text.isEmpty { return (name, text.lowercased()) }
        }
        return nil
    }
}
