import JobQueue
import Models

/// What one request asks of the engine: its sequences, prompt by prompt, choice by choice.
package struct RequestPlan: Sendable {
    package struct PlannedPrompt: Sendable, Equatable {
        /// As the client wrote it or the template rendered it; nil for token ids and for what was cut.
        package var text: String?
        package var tokens: [Int32]
    }

    package var key: RequestKey
    package var body: CompletionBody
    package var prompts: [PlannedPrompt]
    /// `prompts.count * body.choices`; choice c of prompt p at `p * body.choices + c`, its place in the
    /// response.
    package var specs: [GenerationSpec]

    /// - Throws: the request's error outcome: too long, empty, tokens that the model does not have.
    package init(_ leased: LeasedRequest, body: CompletionBody, model: ServedModel) throws(OutcomeError) {
        key = leased.lease.key
        self.body = body
        prompts = try Self.encode(body, model)
        try Self.checkTokens(body, model)
        var template = GenerationSpec(
            id: GenerationID(request: key, choice: 0), tenant: leased.tenant, priority: leased.priority,
            prompt: [],
            sampling: body.sampling, maxTokens: 0, seed: RequestSeed(key: 0))
        // What the model cannot generate needs no ban and ends nothing.
        func isGenerated(_ token: Int32) -> Bool { Int(token) < model.vocabulary }
        template.badWords = try BadWords.sequences(body.badWords, model.tokenizer).filter {
            $0.allSatisfy(isGenerated)
        }
        template.stops = body.stops
        let special = model.tokenizer.special
        template.stops.ends = special.ends.filter(isGenerated)
        if let eos = special.eos, isGenerated(eos), !special.ends.contains(eos) {
            template.stops.ends.append(eos)
        }
        template.topLogprobs = body.topLogprobs
        template.skipsSpecial = body.skipsSpecial
        specs = []
        for prompt in prompts {
            template.prompt = prompt.tokens
            template.maxTokens = try Self.maxTokens(body, prompt: prompt.tokens.count, model)
            for choice in 0..<body.choices {
                template.id.choice = specs.count
                // A prompt's own log-probabilities are the same for all of its choices.
                template.promptTopLogprobs = choice == 0 ? body.promptTopLogprobs : nil
                template.seed = Self.seed(leased, body, choice: specs.count)
                specs.append(template)
            }
        }
    }

    private static func seed(_ leased: LeasedRequest, _ body: CompletionBody, choice: Int) -> RequestSeed {
        if let seed = body.seed { return RequestSeed(key: seed, choice: choice) }
        return .derive(batchSeed: leased.batchSeed, customID: leased.request.customID, choice: choice)
    }

    // Prompts.

    private static func encode(_ body: CompletionBody, _ model: ServedModel) throws(OutcomeError)
        -> [PlannedPrompt]
    {
        var result: [PlannedPrompt] = []
        switch body.input {
        case .prompts(let prompts):
            for (i, prompt) in prompts.enumerated() {
                let place = prompts.count == 1 ? "prompt" : "prompt[\(i)]"
                result.append(
                    try encode(prompt, body, model, addsSpecial: body.addsSpecial ?? true, place: place))
            }
        case .chat(let chat):
            // The template spells BOS out where the model wants it.
            let text = try render(chat, model)
            result.append(
                try encode(
                    .text(text), body, model, addsSpecial: body.addsSpecial ?? false, place: "messages"))
        }
        return result
    }

    private static func encode(
        _ prompt: CompletionBody.Prompt, _ body: CompletionBody, _ model: ServedModel, addsSpecial: Bool,
        place: String
    ) throws(OutcomeError) -> PlannedPrompt {
        var planned: PlannedPrompt
        // A BOS that the tokenizer put first stays when the rest is cut.
        var kept = 0
        switch prompt {
        case .text(let text):
            let tokens = model.tokenizer.encode(text, parseSpecial: true, addSpecial: addsSpecial)
            planned = PlannedPrompt(text: text, tokens: tokens)
            if addsSpecial, model.tokenizer.special.addsBOS, tokens.first == model.tokenizer.special.bos {
                kept = 1
            }
        case .tokens(let tokens): planned = PlannedPrompt(text: nil, tokens: tokens)
        }
        if let unknown = planned.tokens.first(where: { Int($0) >= model.vocabulary }) {
            throw .invalid(place, "token \(unknown) is none of the model's \(model.vocabulary)")
        }
        if let limit = truncation(body, model), planned.tokens.count > limit {
            planned.tokens = planned.tokens.prefix(kept) + planned.tokens.suffix(max(0, limit - kept))
            planned.text = nil
        }
        if planned.tokens.isEmpty { throw .invalid(place, "is empty: there is no token to start from") }
        return planned
    }

    /// Most tokens that a prompt may keep; nil: all.
    private static func truncation(_ body: CompletionBody, _ model: ServedModel) -> Int? {
        guard let asked = body.truncation else { return nil }
        guard asked < 0 else { return asked }
        let reserved = body.maxTokens ?? (body.endpoint == .completions ? CompletionBody.defaultMaxTokens : 1)
        return max(1, model.contextLength - min(reserved, model.contextLength))
    }

    private static func render(_ chat: ChatInput, _ model: ServedModel) throws(OutcomeError) -> String {
        guard let template = model.chat else {
            throw OutcomeError(
                code: "no_chat_template",
                message: "messages: the model \(model.name) has no chat template; use /v1/completions",
                parameter: "messages")
        }
        let text: String
        do {
            text = try template.render(chat)
        } catch {
            throw .invalid("messages", "the model's chat template refuses them: \(error)")
        }
        guard chat.continuesFinalMessage, let last = chat.messages.last?["content"]?.string else {
            return text
        }
        guard let cut = cut(text, afterLast: last) else {
            throw .invalid(
                "continue_final_message",
                "the model's chat template changes the last message, so it cannot go on")
        }
        return cut
    }

    /// `rendered` up to the end of `message` in it, without what the template puts behind. Templates may
    /// trim.
    static func cut(_ rendered: String, afterLast message: String) -> String? {
        let text = Array(rendered.utf8)
        func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }
        let begun = message.unicodeScalars.drop(while: isBlank)
        let core = begun.reversed().drop(while: isBlank).reversed()
        for candidate in [String(String.UnicodeScalarView(begun)), String(String.UnicodeScalarView(core))] {
            let wanted = Array(candidate.utf8)
            guard !wanted.isEmpty, wanted.count <= text.count else { continue }
            for start in stride(from: text.count - wanted.count, through: 0, by: -1)
            where text[start..<(start + wanted.count)].elementsEqual(wanted) {
                return String(decoding: text[..<(start + wanted.count)], as: UTF8.self)
            }
        }
        return nil
    }

    // Limits.

    /// An explicit max_tokens must fit, as in vLLM; without one the rest of the context is the limit.
    private static func maxTokens(
        _ body: CompletionBody, prompt: Int, _ model: ServedModel
    ) throws(OutcomeError) -> Int {
        let field = body.endpoint == .completions ? "prompt" : "messages"
        let room = model.contextLength - prompt
        let most: Int
        if let asked = body.maxTokens {
            guard asked <= room else {
                throw OutcomeError(
                    code: "context_length_exceeded",
                    message:
                        "\(field): \(prompt) tokens and max_tokens \(asked) are more than the model's context "
                        + "of \(model.contextLength) tokens; shorten the prompt or lower max_tokens",
                    parameter: asked < model.contextLength && room > 0 ? "max_tokens" : field)
            }
            most = asked
        } else {
            guard room > 0 else {
                throw OutcomeError(
                    code: "context_length_exceeded",
                    message: "\(field): \(prompt) tokens leave no room in the model's context of "
                        + "\(model.contextLength) tokens; shorten the prompt or give truncate_prompt_tokens",
                    parameter: field)
            }
            most = body.endpoint == .completions ? min(CompletionBody.defaultMaxTokens, room) : room
        }
        guard body.stops.minTokens <= most else {
            throw .invalid(
                "min_tokens", "\(body.stops.minTokens) is more than the \(most) tokens that are generated")
        }
        return most
    }

    private static func checkTokens(_ body: CompletionBody, _ model: ServedModel) throws(OutcomeError) {
        func check(_ tokens: [Int32], _ field: String) throws(OutcomeError) {
            if let unknown = tokens.first(where: { Int($0) >= model.vocabulary }) {
                throw .invalid(field, "token \(unknown) is none of the model's \(model.vocabulary)")
            }
        }
        try check(body.sampling.logitBias.map(\.token), "logit_bias")
        try check(body.sampling.allowedTokens ?? [], "allowed_token_ids")
        try check(body.stops.tokens, "stop_token_ids")
    }
}

/// Words that must not be generated, as token sequences: at the beginning of a text, and after a space where
/// that is another first token of a sequence as long. Source: vLLM's `update_from_tokenizer`,
/// https://docs.vllm.ai/en/stable/api/vllm/sampling_params.html
enum BadWords {
    static func sequences(_ words: [String], _ tokenizer: any Tokenizer) throws(OutcomeError) -> [[Int32]] {
        var result: [[Int32]] = []
        for word in words {
            let bare = String(
                String.UnicodeScalarView(word.unicodeScalars.drop { $0.properties.isWhitespace }))
            let first = tokenizer.encode(bare, parseSpecial: true, addSpecial: false)
            guard !first.isEmpty else { throw .invalid("bad_words", "\"\(word)\" is no token") }
            result.append(first)
            let inner = tokenizer.encode(" " + bare, parseSpecial: true, addSpecial: false)
            if inner.count == first.count, inner[0] != first[0] { result.append(inner) }
        }
        return result
    }
}
