import JSON

/// Whether a layer's attention sees everything before it or a window.
enum AttentionKind: String {
    case full = "full_attention"
    case sliding = "sliding_attention"
}

extension HuggingFaceConfiguration {
    struct LayerKind {
        var kind: AttentionKind
        var window: Int?
    }

    /// Each layer's attention: listed in `layer_types`, or by the family's rule.
    func layerKinds(count: Int) throws(ModelError) -> [LayerKind] {
        guard (1...4096).contains(count) else { throw keys.malformed("num_hidden_layers", "\(count)") }
        let ruled = try ruledKinds(count: count)
        let kinds = try listedKinds(count: count, ruled: ruled) ?? ruled
        let window = try slidingWindow()
        return try kinds.map { kind throws(ModelError) in
            guard kind == .sliding else { return LayerKind(kind: kind, window: nil) }
            guard let window else {
                throw keys.malformed("sliding_window", "is null or off, but layers slide")
            }
            return LayerKind(kind: kind, window: window)
        }
    }

    private func listedKinds(count: Int, ruled: [AttentionKind]) throws(ModelError) -> [AttentionKind]? {
        guard let value = keys.value("layer_types") else { return nil }
        guard let names = value.array, names.count == count else {
            throw keys.malformed("layer_types", "must be a list with one kind for each of \(count) layers")
        }
        let kinds = try names.map { name throws(ModelError) in
            guard let kind = name.string.flatMap(AttentionKind.init) else {
                throw keys.unsupported("layer_types", "\(name.text) is not supported")
            }
            return kind
        }
        // transformers passes the list over for these: they slide everywhere or nowhere.
        if [.mistral, .mixtral, .llama, .gemma].contains(family) {
            guard kinds == ruled else {
                throw keys.unsupported("layer_types", "\(family) layers are all alike")
            }
        }
        return kinds
    }

    private func ruledKinds(count: Int) throws(ModelError) -> [AttentionKind] {
        let sliding = try slidingWindow() != nil
        switch family {
        case .llama, .gemma, .gpt2: return Array(repeating: .full, count: count)
        case .mistral, .mixtral: return Array(repeating: sliding ? .sliding : .full, count: count)
        case .qwen2, .qwen3:
            let first = try keys.int("max_window_layers") ?? 28
            return (0..<count).map { sliding && $0 >= first ? .sliding : .full }
        case .gemma2: return (0..<count).map { $0 % 2 == 0 ? .sliding : .full }
        case .gemma3:
            let pattern = try keys.int("sliding_window_pattern", "_sliding_window_pattern") ?? 6
            guard pattern > 0 else { throw keys.malformed("sliding_window_pattern", "\(pattern)") }
            return (0..<count).map { ($0 + 1) % pattern != 0 ? .sliding : .full }
        }
    }

    private func slidingWindow() throws(ModelError) -> Int? {
        switch family {
        case .llama, .gemma, .gpt2: return nil
        case .qwen2, .qwen3:
            guard try keys.flag("use_sliding_window") ?? false else { return nil }
        default: break
        }
        return keys.has("sliding_window") ? try keys.int("sliding_window") : defaults.window
    }
}
