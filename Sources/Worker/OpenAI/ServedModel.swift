import Models

/// What requests need to know of the model that serves them.
package struct ServedModel: Sendable {
    /// What responses call it when the request did not.
    package var name: String
    package var tokenizer: any Tokenizer
    /// nil: the checkpoint has no chat template.
    package var chat: (any ChatRenderer)?
    /// Longest sequence, prompt and completion together.
    package var contextLength: Int
    /// Width of a row of logits.
    package var vocabulary: Int

    package init(
        name: String, tokenizer: any Tokenizer, chat: (any ChatRenderer)?, contextLength: Int, vocabulary: Int
    ) {
        self.name = name
        self.tokenizer = tokenizer
        self.chat = chat
        self.contextLength = contextLength
        self.vocabulary = vocabulary
    }
}

/// The checkpoint's chat template.
package protocol ChatRenderer: Sendable {
    /// The prompt's text, special tokens spelled out.
    /// - Throws: what the template itself raises, or cannot do with these messages; the request's fault.
    func render(_ input: ChatInput) throws -> String
}
