import Models

/// Why a sequence ended.
package enum FinishReason: Sendable, Equatable {
    /// `max_tokens`, or the end of the context.
    case length
    /// The model's end token, which is the last of the output.
    case end
    /// A token of `stop_token_ids`, which is the last of the output.
    case stopToken(Int32)
    /// A text of `stop`.
    case stopString(String)

    /// As OpenAI's `finish_reason` says it.
    package var name: String { if case .length = self { "length" } else { "stop" } }
}

/// A finished sequence. Its text is a pure function of its ids, worked out where the response is written.
package struct GeneratedSequence: Sendable, Equatable {
    package var spec: GenerationSpec
    /// Generated tokens, with the one that ended it.
    package var output: [Int32]
    package var finish: FinishReason
    /// Where a stop string cut the text, in UTF-8 bytes; nil when none did.
    package var textEnd: Int?
    /// One for each of `output`; empty when none were asked for.
    package var logprobs: [TokenLogprobs]
    /// One for each token of the prompt, nil for the first; empty when none were asked for.
    package var promptLogprobs: [TokenLogprobs?]
    /// Prompt tokens whose K/V came from the prefix cache.
    package var cachedTokens: Int

    package init(
        spec: GenerationSpec, output: [Int32], finish: FinishReason, textEnd: Int? = nil,
        logprobs: [TokenLogprobs] = [], promptLogprobs: [TokenLogprobs?] = [], cachedTokens: Int = 0
    ) {
        self.spec = spec
        self.output = output
        self.finish = finish
        self.textEnd = textEnd
        self.logprobs = logprobs
        self.promptLogprobs = promptLogprobs
        self.cachedTokens = cachedTokens
    }
}

/// The text of a completion, and where its tokens lie in it.
package struct CompletionText: Sendable, Equatable {
    package var text: String
    /// Where the text stood when each token came, in Unicode scalars (Python's characters); as many as
    /// tokens.
    package var offsets: [Int]

    package init(of sequence: GeneratedSequence, tokenizer: any Tokenizer) {
        var decoder = CompletionDecoder(
            tokenizer, after: sequence.spec.prompt, skipsSpecial: sequence.spec.skipsSpecial)
        var shown = sequence.output[...]
        switch sequence.finish {
        case .end, .stopToken: if !sequence.spec.stops.includesStop { shown = shown.dropLast() }
        case .length, .stopString: break
        }
        var text = ""
        offsets = []
        var scalars = 0
        for token in shown {
            offsets.append(scalars)
            let piece = decoder.push(token)
            scalars += piece.unicodeScalars.count
            text += piece
        }
        text += decoder.finish()
        if let end = sequence.textEnd {
            text = String(decoding: text.utf8.prefix(end), as: UTF8.self)
        }
        self.text = text
        scalars = text.unicodeScalars.count
        while offsets.count < sequence.output.count { offsets.append(scalars) }
        for i in offsets.indices { offsets[i] = min(offsets[i], scalars) }
    }
}

/// Turns tokens into text as they come. Ids that the tokenizer does not have (padding of the model's vocabulary)
/// are no text.
struct CompletionDecoder {
    private var decoder: any StreamDecoder
    private let known: Range<Int32>

    /// For what follows `prompt`: the space that a tokenizer drops at the beginning of a text is kept, unless
    /// the prompt is nothing but BOS.
    init(_ tokenizer: any Tokenizer, after prompt: [Int32], skipsSpecial: Bool) {
        let continues = prompt.contains { $0 != tokenizer.special.bos }
        decoder = tokenizer.makeStreamDecoder(skipSpecial: skipsSpecial, continuing: continues)
        known = 0..<Int32(clamping: tokenizer.vocabularySize)
    }

    /// Text that is certain now.
    mutating func push(_ token: Int32) -> String { known.contains(token) ? decoder.push(token) : "" }

    mutating func finish() -> String { decoder.finish() }
}
