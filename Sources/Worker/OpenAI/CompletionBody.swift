import JSON
import JobQueue

/// The body of one request, read and checked as far as that goes without a model: OpenAI's completions and
/// chat completions with vLLM's extra parameters. docs/sampling.md lists every field. Sources:
/// https://platform.openai.com/docs/api-reference/completions/create,
/// https://platform.openai.com/docs/api-reference/chat/create,
/// https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html
package struct CompletionBody: Sendable, Equatable {
    package enum Prompt: Sendable, Equatable {
        case text(String)
        case tokens([Int32])
    }

    package enum Input: Sendable, Equatable {
        /// One or more; each gets `n` choices.
        case prompts([Prompt])
        case chat(ChatInput)
    }

    package var endpoint: Endpoint
    /// As the client named it; nil where the body does not.
    package var model: String?
    package var input: Input
    package var sampling = SamplingParameters()
    package var badWords: [String] = []
    /// Without the model's own end tokens.
    package var stops = StopCriteria()
    /// nil: the endpoint's default.
    package var maxTokens: Int?
    package var seed: UInt64?
    /// Choices of each prompt.
    package var choices = 1
    /// How many of the most likely tokens to report with each generated one; nil: no log-probabilities.
    package var topLogprobs: Int?
    /// The same for the tokens of the prompt.
    package var promptTopLogprobs: Int?
    /// How many of those the response's `prompt_logprobs` lists; nil: it has none (an echo's are elsewhere).
    package var promptLogprobsShown: Int?
    /// The prompt comes back before the completion.
    package var echoes = false
    package var returnsTokens = false
    /// Tokens of log-probabilities are written as `token_id:N`.
    package var namesTokensByID = false
    package var skipsSpecial = true
    /// Put what the tokenizer puts around a text (BOS); nil: the endpoint's default.
    package var addsSpecial: Bool?
    /// Keep this many last tokens of the prompt; -1: as many as fit.
    package var truncation: Int?

    /// What `max_tokens` is for completions that do not say (OpenAI's default).
    package static let defaultMaxTokens = 16
    package static let maxLogprobs = 20
    package static let maxStopStrings = 16
    package static let maxStopBytes = 1024
    package static let maxBadWords = 1024
    /// Prompts times `n` in one request.
    package static let maxChoices = 1024

    /// - Throws: an error that names the first field found wrong.
    package static func parse(_ body: JSON, endpoint: Endpoint) throws(OutcomeError) -> CompletionBody {
        var fields = try BodyFields(body)
        let input: Input =
            switch endpoint {
            case .completions: .prompts(try prompts(&fields))
            case .chatCompletions: .chat(try ChatInput(&fields))
            }
        var result = CompletionBody(endpoint: endpoint, input: input)
        result.model = try fields.string("model")
        result.sampling = try SamplingParameters(&fields)
        try result.readStops(&fields)
        try result.readLengths(&fields)
        try result.readLogprobs(&fields)
        try result.readOutput(&fields)
        try refuseSpecialWishes(&fields)
        try fields.refuseUnread(endpoint)
        return result
    }

    private init(endpoint: Endpoint, input: Input) {
        self.endpoint = endpoint
        self.input = input
    }

    private static func prompts(_ fields: inout BodyFields) throws(OutcomeError) -> [Prompt] {
        guard let value = fields.value("prompt") else { throw .invalid("prompt", "is missing") }
        if let text = value.string { return [.text(text)] }
        let wanted = "a string, an array of strings, an array of token ids, or an array of such arrays"
        guard let array = value.array else { throw .wrongKind("prompt", value, wanted) }
        guard let first = array.first else { throw .invalid("prompt", "is an empty array") }
        switch first {
        case .int, .double: return [.tokens(try BodyFields.tokens(array, of: "prompt"))]
        case .string, .array:
            return try array.map { (element) throws(OutcomeError) in
                switch (first, element) {
                case (.string, .string(let text)): return .text(text)
                case (.array, .array(let ids)): return .tokens(try BodyFields.tokens(ids, of: "prompt"))
                default: throw .invalid("prompt", "mixes kinds; it must be \(wanted)")
                }
            }
        default: throw .invalid("prompt", "holds \(first.kindName); it must be \(wanted)")
        }
    }

    private mutating func readStops(_ fields: inout BodyFields) throws(OutcomeError) {
        if let value = fields.value("stop") {
            if let text = value.string {
                stops.strings = [text]
            } else if value.array != nil {
                stops.strings = try fields.strings("stop") ?? []
            } else {
                throw .wrongKind("stop", value, "a string or an array of strings")
            }
        }
        guard stops.strings.count <= Self.maxStopStrings else {
            throw .invalid("stop", "\(stops.strings.count) strings are more than \(Self.maxStopStrings)")
        }
        for string in stops.strings {
            guard !string.utf8.isEmpty else { throw .invalid("stop", "an empty string would stop at once") }
            guard string.utf8.count <= Self.maxStopBytes else {
                throw .invalid("stop", "a string of \(string.utf8.count) bytes is over \(Self.maxStopBytes)")
            }
        }
        stops.tokens = try fields.tokens("stop_token_ids") ?? []
        stops.includesStop = try fields.bool("include_stop_str_in_output") ?? false
        stops.ignoresEnds = try fields.bool("ignore_eos") ?? false
        badWords = try fields.strings("bad_words") ?? []
        guard badWords.count <= Self.maxBadWords else {
            throw .invalid("bad_words", "\(badWords.count) words are more than \(Self.maxBadWords)")
        }
        if badWords.contains(where: \.utf8.isEmpty) {
            throw .invalid("bad_words", "an empty word bans nothing")
        }
    }

    private mutating func readLengths(_ fields: inout BodyFields) throws(OutcomeError) {
        echoes = endpoint == .completions ? try fields.bool("echo") ?? false : false
        // Only a completion that echoes has a use for no new tokens: it scores its prompt.
        let least = echoes ? 0 : 1
        maxTokens = try fields.int("max_tokens", least...Int.max)
        if let newer = try fields.int("max_completion_tokens", least...Int.max) {
            if let older = maxTokens, older != newer {
                throw .invalid("max_completion_tokens", "\(newer) contradicts max_tokens \(older)")
            }
            maxTokens = newer
        }
        stops.minTokens = try fields.int("min_tokens", 0...Int.max) ?? 0
        if let maxTokens, stops.minTokens > maxTokens {
            throw .invalid("min_tokens", "\(stops.minTokens) is more than max_tokens \(maxTokens)")
        }
        truncation = try fields.int("truncate_prompt_tokens", -1...Int.max)
        if truncation == 0 {
            throw .invalid("truncate_prompt_tokens", "0 would leave nothing; give -1 or at least 1")
        }
    }

    private mutating func readLogprobs(_ fields: inout BodyFields) throws(OutcomeError) {
        let range = 0...Self.maxLogprobs
        switch endpoint {
        case .completions:
            topLogprobs = try fields.int("logprobs", range)
            if echoes { promptTopLogprobs = topLogprobs }
        case .chatCompletions:
            let wanted = try fields.bool("logprobs") ?? false
            let top = try fields.int("top_logprobs", range)
            if top != nil, !wanted { throw .invalid("top_logprobs", "needs logprobs to be true") }
            if wanted { topLogprobs = top ?? 0 }
        }
        if let asked = try fields.int("prompt_logprobs", range) {
            promptTopLogprobs = max(asked, promptTopLogprobs ?? 0)
            promptLogprobsShown = asked
        }
    }

    private mutating func readOutput(_ fields: inout BodyFields) throws(OutcomeError) {
        if let seed = try fields.int("seed", Int.min...Int.max), seed != -1 {
            self.seed = UInt64(bitPattern: Int64(seed))
        }
        choices = try fields.int("n", 1...128) ?? 1
        if let bestOf = try fields.int("best_of", 1...Int.max), bestOf != choices {
            throw .unsupported(
                "best_of", "\(bestOf) differs from n \(choices); only as many as are returned are generated")
        }
        if case .prompts(let prompts) = input, prompts.count * choices > Self.maxChoices {
            throw .invalid(
                "prompt",
                "\(prompts.count) prompts with n \(choices) are more than \(Self.maxChoices) choices")
        }
        returnsTokens = try fields.bool("return_token_ids") ?? false
        namesTokensByID = try fields.bool("return_tokens_as_token_ids") ?? false
        skipsSpecial = try fields.bool("skip_special_tokens") ?? true
        addsSpecial = try fields.bool("add_special_tokens")
        // Decoding adds no spaces of its own, so that both values mean the same.
        _ = try fields.bool("spaces_between_special_tokens")
    }

    /// Fields that are accepted as long as they ask for nothing that is not done.
    private static func refuseSpecialWishes(_ fields: inout BodyFields) throws(OutcomeError) {
        if try fields.bool("stream") == true {
            throw .unsupported(
                "stream", "a batch's results are polled, not streamed; leave it out or give false")
        }
        // Labels and hints that change no result.
        _ = try fields.string("user")
        _ = try fields.string("safety_identifier")
        _ = try fields.string("prompt_cache_key")
        for (name, value) in try fields.object("metadata")?.members ?? [] where value.string == nil {
            throw .invalid("metadata", "\(name) is \(value.kindName); it must be a string")
        }
        try fields.only("store", [false])
        try fields.only("service_tier", ["auto", "default"])
        try fields.only("response_format", [["type": "text"]])
        try fields.only("modalities", [["text"]])
        try fields.only("parallel_tool_calls", [true])
        try fields.only("use_beam_search", [false])
    }
}

extension SamplingParameters {
    init(_ fields: inout BodyFields) throws(OutcomeError) {
        self.init()
        temperature = try fields.number("temperature", 0...2) ?? 1
        topP = try fields.positiveNumber("top_p", upTo: 1) ?? 1
        topK = max(0, try fields.int("top_k", -1...Int.max) ?? 0)
        minP = try fields.number("min_p", 0...1) ?? 0
        repetitionPenalty = try fields.positiveNumber("repetition_penalty") ?? 1
        presencePenalty = try fields.number("presence_penalty", -2...2) ?? 0
        frequencyPenalty = try fields.number("frequency_penalty", -2...2) ?? 0
        let biases = try fields.object("logit_bias") ?? JSONObject()
        if let name = biases.repeatedNames.first {
            throw .invalid("logit_bias", "has \(name) more than once")
        }
        for (name, value) in biases.members {
            guard let token = Int32(name), token >= 0, String(token) == name else {
                throw .invalid("logit_bias", "\(JSON.string(name).brief) is no token id")
            }
            guard let bias = value.double else {
                throw .wrongKind("logit_bias", value, "numbers by token id")
            }
            guard (-100...100).contains(bias) else {
                throw .invalid("logit_bias", "\(value.text) of token \(token) is not from -100 to 100")
            }
            logitBias.append(Bias(token: token, value: bias))
        }
        if let allowed = try fields.tokens("allowed_token_ids") {
            if allowed.isEmpty { throw .invalid("allowed_token_ids", "an empty list allows nothing") }
            allowedTokens = allowed
        }
    }
}
