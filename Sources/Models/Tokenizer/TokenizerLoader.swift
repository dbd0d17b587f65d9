import Foundation
import JSON

/// Makes tokenizers of what checkpoints hold.
package enum TokenizerLoader {
    /// Of a GGUF file's `tokenizer.ggml.*` keys.
    package static func make(gguf: GGUFMetadata) throws(TokenizerError) -> any Tokenizer {
        try GGUFTokenizer(gguf)
    }

    /// Of a tokenizer.json, and of the files beside it that name special tokens and ends of sequences.
    package static func make(
        tokenizerJSON: JSON, tokenizerConfig: JSON? = nil, generationConfig: JSON? = nil, config: JSON? = nil,
        specialTokensMap: JSON? = nil
    ) throws(TokenizerError) -> any Tokenizer {
        let reader = HuggingFaceReader(
            tokenizer: try ComponentFields(tokenizerJSON, at: "tokenizer.json"),
            config: tokenizerConfig ?? .null,
            specialTokensMap: specialTokensMap ?? .null, generationConfig: generationConfig ?? .null,
            modelConfig: config ?? .null)
        return try reader.read()
    }

    /// Of a Hugging Face folder: tokenizer.json, and where they are there tokenizer_config.json,
    /// generation_config.json, config.json, special_tokens_map.json.
    package static func make(folder: String) throws(TokenizerError) -> any Tokenizer {
        guard let tokenizer = try file("tokenizer.json", in: folder) else {
            throw .missing("\(folder)/tokenizer.json")
        }
        return try make(
            tokenizerJSON: tokenizer, tokenizerConfig: try file("tokenizer_config.json", in: folder),
            generationConfig: try file("generation_config.json", in: folder),
            config: try file("config.json", in: folder),
            specialTokensMap: try file("special_tokens_map.json", in: folder))
    }

    /// Nil for a file that is not there.
    private static func file(_ name: String, in folder: String) throws(TokenizerError) -> JSON? {
        let path = "\(folder)/\(name)"
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            return try JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
        } catch let error as JSONSyntaxError {
            throw .unreadable(path, error.description)
        } catch {
            throw .unreadable(path, "\(error)")
        }
    }
}
