import JSON
import Models

/// Small vocabularies of our own, as GGUF metadata.
struct SampleVocabulary {
    var values: [String: GGUFValue]

    var metadata: GGUFMetadata {
        GGUFMetadata(Dictionary(uniqueKeysWithValues: values.map { ("tokenizer.ggml." + $0.key, $0.value) }))
    }

    subscript(key: String) -> GGUFValue? {
        get { values[key] }
        set { values[key] = newValue }
    }

    func tokenizer() throws -> any Tokenizer { try TokenizerLoader.make(gguf: metadata) }

    /// GPT-2's letter for each byte.
    static let letters: [String] = {
        var following: UInt32 = 0x100
        return (0..<256).map { (byte: UInt32) in
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE {
                return String(Unicode.Scalar(byte)!)
            }
            defer { following += 1 }
            return String(Unicode.Scalar(following)!)
        }
    }()

    /// Byte-level: bytes 0 to 255 as ids 0 to 255, then what `merges` make, then special tokens.
    static func bytePair(
        merges: [String], special: [String] = [], userDefined: [String] = [], pre: String = "gpt-2",
        without missing: Set<UInt8> = []
    ) -> SampleVocabulary {
        var tokens = letters
        for byte in missing { tokens[Int(byte)] = "missing \(byte)" }
        for merge in merges {
            let made = merge.split(separator: " ").joined()
            if !tokens.contains(made) { tokens.append(made) }
        }
        let normal = tokens.count
        tokens += special + userDefined
        let kinds = (0..<tokens.count).map { (id: Int) -> Int64 in
            id < normal ? 1 : id < normal + special.count ? 3 : 4
        }
        return SampleVocabulary(values: [
            "model": text("gpt2"), "pre": text(pre), "tokens": .strings(tokens.map { Array($0.utf8) }),
            "token_type": .ints(kinds), "merges": .strings(merges.map { Array($0.utf8) }),
        ])
    }

    /// SentencePiece: `<unk>` 0, `<s>` 1, `</s>` 2, bytes from 3, then `pieces`, the best first, then user-defined
    /// tokens.
    static func sentencePiece(_ pieces: [String], userDefined: [String] = []) -> SampleVocabulary {
        let hex = Array("0123456789ABCDEF")
        let bytes = (0..<256).map { "<0x\(hex[$0 >> 4])\(hex[$0 & 15])>" }
        let tokens = ["<unk>", "<s>", "</s>"] + bytes + pieces + userDefined
        let scores = (0..<tokens.count).map { $0 < 259 ? 0.0 : -Double($0 - 258) }
        let kinds: [Int64] =
            [2, 3, 3] + bytes.map { _ in 6 } + pieces.map { _ in 1 } + userDefined.map { _ in 4 }
        return SampleVocabulary(values: [
            "model": text("llama"), "tokens": .strings(tokens.map { Array($0.utf8) }),
            "scores": .doubles(scores), "token_type": .ints(kinds), "bos_token_id": .int(1),
            "eos_token_id": .int(2), "unknown_token_id": .int(0),
        ])
    }

    static func text(_ string: String) -> GGUFValue { .string(Array(string.utf8)) }

    /// The id of a token as the file spells it.
    func id(_ token: String) -> Int32 {
        guard case .strings(let tokens)? = values["tokens"] else { return -1 }
        return tokens.firstIndex(of: Array(token.utf8)).map { Int32($0) } ?? -1
    }

    func ids(_ tokens: String...) -> [Int32] { tokens.map(id) }
}
