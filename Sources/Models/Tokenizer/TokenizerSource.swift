import JSON

extension TokenizerLoader {
    /// Of an opened checkpoint.
    package static func make(_ source: TokenizerSource) throws(TokenizerError) -> any Tokenizer {
        switch source {
        case .gguf(let metadata): return try make(gguf: metadata)
        case .huggingFace(let documents):
            guard let text = documents.tokenizer else { throw .missing("\(documents.folder)/tokenizer.json") }
            let json: JSON
            do throws(JSONSyntaxError) {
                json = try JSON(parsing: text)
            } catch {
                throw .unreadable("\(documents.folder)/tokenizer.json", error.description)
            }
            return try make(
                tokenizerJSON: json, tokenizerConfig: documents.tokenizerConfig,
                generationConfig: documents.generationConfig, config: documents.config,
                specialTokensMap: documents.specialTokensMap)
        }
    }
}
