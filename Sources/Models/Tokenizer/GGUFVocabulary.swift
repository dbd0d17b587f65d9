/// What a GGUF file's `tokenizer.ggml.*` keys say
/// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer), checked.
struct GGUFVocabulary {
    /// The kinds of tokens, as llama.cpp numbers them.
    enum Kind: Int64 {
        case undefined = 0
        case normal, unknown, control, userDefined, unused, byte
    }

    let metadata: GGUFMetadata
    let tokens: [[UInt8]]
    let kinds: [Kind]

    static let prefix = "tokenizer.ggml."

    init(_ metadata: GGUFMetadata) throws(TokenizerError) {
        self.metadata = metadata
        let key = Self.prefix + "tokens"
        guard metadata[key] != nil else { throw .missing(key) }
        guard var tokens = metadata.strings(key), !tokens.isEmpty else {
            throw .invalid(key, "it is not an array of strings, or it is empty")
        }
        guard tokens.count <= Int32.max / 4, tokens.reduce(0, { $0 + $1.count }) <= UInt32.max / 2 else {
            throw .invalid(key, "its \(tokens.count) tokens are more than any vocabulary has")
        }
        for (id, token) in tokens.enumerated() where token.isEmpty {
            tokens[id] = Array("[EMPTY_\(id)]".utf8)
        }
        self.tokens = tokens
        kinds = try Self.kinds(metadata, count: tokens.count)
    }

    private static func kinds(_ metadata: GGUFMetadata, count: Int) throws(TokenizerError) -> [Kind] {
        let key = prefix + "token_type"
        guard metadata[key] != nil else { return [Kind](repeating: .normal, count: count) }
        guard let numbers = metadata.ints(key) else {
            throw .invalid(key, "it is not an array of whole numbers")
        }
        guard numbers.count == count else {
            throw .invalid(key, "it has \(numbers.count) elements, tokenizer.ggml.tokens has \(count)")
        }
        return numbers.map { Kind(rawValue: $0) ?? .undefined }
    }

    /// Scores of all tokens, none NaN.
    func scores() throws(TokenizerError) -> [Double] {
        let key = Self.prefix + "scores"
        guard metadata[key] != nil else { throw .missing(key) }
        guard let scores = metadata.doubles(key) else { throw .invalid(key, "it is not an array of numbers") }
        guard scores.count == tokens.count else {
            throw .invalid(key, "it has \(scores.count) elements, tokenizer.ggml.tokens has \(tokens.count)")
        }
        if let at = scores.firstIndex(where: \.isNaN) { throw .invalid(key, "element \(at) is not a number") }
        return scores
    }

    func bool(_ name: String) throws(TokenizerError) -> Bool? {
        let key = Self.prefix + name
        guard metadata[key] != nil else { return nil }
        guard let value = metadata.bool(key) else { throw .invalid(key, "it is not a boolean") }
        return value
    }

    /// A token's id, where the key is there.
    func id(_ name: String) throws(TokenizerError) -> Int32? {
        let key = Self.prefix + name
        guard metadata[key] != nil else { return nil }
        guard let id = metadata.int(key) else { throw .invalid(key, "it is not a whole number") }
        // Some converters write -1 for "none".
        if id == -1 || id == Int(UInt32.max) { return nil }
        guard tokens.indices.contains(id) else {
            throw .invalid(key, "the id \(id) is not below the \(tokens.count) of tokenizer.ggml.tokens")
        }
        return Int32(id)
    }

    /// Tokens that are left out where special tokens are.
    var specialIDs: Set<Int32> { Set(ids { $0 == .control || $0 == .unknown }) }

    private func ids(where matches: (Kind) -> Bool) -> [Int32] {
        kinds.indices.filter { matches(kinds[$0]) }.map { Int32($0) }
    }

    /// Tokens that are found in a text before the model sees it.
    func partition() -> SpecialPartition {
        let phi3 = metadata.string("general.name").map { $0.lowercased() } ?? ""
        // Phi-3's tokenizer.json has these take the white space behind them, which a GGUF file cannot say.
        let stripping = phi3.contains("phi-3") || phi3.contains("phi3")
        let exceptions = ["<unk>", "<s>", "<|endoftext|>"].map { Array($0.utf8) }
        let found = ids { $0 == .control || $0 == .unknown || $0 == .userDefined }
        return SpecialPartition(
            found.map { id in
                let bytes = tokens[Int(id)]
                return SpecialPartition.Token(
                    id: id, bytes: bytes, isSpecial: kinds[Int(id)] != .userDefined,
                    stripsRight: stripping && !exceptions.contains(bytes))
            })
    }

    /// Special tokens that end a turn or a text by their name, which is all that many files have.
    private static let endNames: [String] = [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>",
        "<|eom_id|>",
        "<EOT>", "[EOT]", "<|end_of_text|>", "<end_of_utterance>", "<｜end▁of▁sentence｜>",
    ]

    /// - Parameter addsBOS: where the file does not say.
    func special(addsBOS fallback: Bool, _ defaults: (bos: Int32, eos: Int32, unknown: Int32)?)
        throws(TokenizerError)
        -> SpecialTokens
    {
        func standard(_ id: Int32?) -> Int32? {
            guard let id, tokens.indices.contains(Int(id)) else { return nil }
            return kinds[Int(id)] == .control || kinds[Int(id)] == .unknown ? id : nil
        }
        let bos = try id("bos_token_id") ?? standard(defaults?.bos)
        let eos = try id("eos_token_id") ?? standard(defaults?.eos)
        var ends: [Int32] = []
        if let eos { ends.append(eos) }
        for name in ["eot_token_id", "eom_token_id"] {
            if let id = try id(name), !ends.contains(id) { ends.append(id) }
        }
        let harmony = tokens.contains(Array("<|return|>".utf8))
        let names = Set(Self.endNames.filter { !harmony || $0 != "<|end|>" }.map { Array($0.utf8) })
        for id in ids(where: { $0 == .control || $0 == .userDefined }) where names.contains(tokens[Int(id)]) {
            if !ends.contains(id) { ends.append(id) }
        }
        let addsBOS = try bool("add_bos_token") ?? fallback
        if addsBOS && bos == nil { throw .missing(Self.prefix + "bos_token_id (add_bos_token is true)") }
        return SpecialTokens(
            bos: bos, eos: eos, ends: ends, padding: try id("padding_token_id"),
            unknown: try id("unknown_token_id") ?? standard(defaults?.unknown), addsBOS: addsBOS)
    }
}
