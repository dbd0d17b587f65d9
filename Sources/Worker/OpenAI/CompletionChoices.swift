import JSON
import Models

/// `choices` of a text completion.
/// Source: https://platform.openai.com/docs/api-reference/completions/object; `stop_reason`, `token_ids`,
/// `prompt_token_ids` and `prompt_logprobs` are vLLM's.
struct CompletionChoices {
    private let plan: RequestPlan
    private let model: ServedModel
    private let tokens: TokenText

    init(_ plan: RequestPlan, _ model: ServedModel) {
        self.plan = plan
        self.model = model
        tokens = TokenText(tokenizer: model.tokenizer, byID: plan.body.namesTokensByID)
    }

    func members(_ sequences: [GeneratedSequence]) -> [(name: String, value: JSON)] {
        let choices = plan.body.choices
        let values = sequences.enumerated().map { index, sequence in
            choice(
                index, sequence, prompt: plan.prompts[index / choices],
                first: sequences[index - index % choices])
        }
        return [("choices", .array(values))]
    }

    /// - Parameter first: the prompt's first choice, which has its log-probabilities.
    private func choice(
        _ index: Int, _ sequence: GeneratedSequence, prompt: RequestPlan.PlannedPrompt,
        first: GeneratedSequence
    ) -> JSON {
        let body = plan.body
        let completion = CompletionText(of: sequence, tokenizer: model.tokenizer)
        let echo =
            body.echoes ? Echo(prompt, skipsSpecial: body.skipsSpecial, tokenizer: model.tokenizer) : nil
        var logprobs = JSON.null
        if let top = body.topLogprobs {
            var table = LogprobTable(tokens: tokens, top: top)
            if let echo {
                for (i, token) in prompt.tokens.enumerated() {
                    table.append(
                        token, i < first.promptLogprobs.count ? first.promptLogprobs[i] : nil,
                        at: echo.offsets[i])
                }
            }
            for (i, scored) in sequence.logprobs.enumerated() {
                table.append(scored.token, scored, at: (echo?.length ?? 0) + completion.offsets[i])
            }
            logprobs = table.json
        }
        var members: [(name: String, value: JSON)] = [
            ("text", .string((echo?.text ?? "") + completion.text)), ("index", .int(Int64(index))),
            ("logprobs", logprobs), ("finish_reason", .string(sequence.finish.name)),
            ("stop_reason", sequence.finish.stopReason),
        ]
        if body.returnsTokens {
            members.append(("token_ids", .tokens(sequence.output)))
            members.append(("prompt_token_ids", .tokens(prompt.tokens)))
        }
        if let shown = body.promptLogprobsShown {
            members.append(("prompt_logprobs", tokens.promptLogprobs(first.promptLogprobs, top: shown)))
        }
        return .object(JSONObject(members))
    }

    /// The prompt as an echo shows it.
    private struct Echo {
        var text: String
        /// Unicode scalars of `text`.
        var length: Int
        /// Where each token of the prompt begins in it.
        var offsets: [Int] = []

        init(_ prompt: RequestPlan.PlannedPrompt, skipsSpecial: Bool, tokenizer: any Tokenizer) {
            var decoder = CompletionDecoder(tokenizer, after: [], skipsSpecial: skipsSpecial)
            var decoded = ""
            var scalars = 0
            for token in prompt.tokens {
                offsets.append(scalars)
                let piece = decoder.push(token)
                scalars += piece.unicodeScalars.count
                decoded += piece
            }
            text = prompt.text ?? decoded + decoder.finish()
            length = text.unicodeScalars.count
            for i in offsets.indices { offsets[i] = min(offsets[i], length) }
        }
    }

    /// OpenAI's four parallel lists.
    private struct LogprobTable {
        let tokens: TokenText
        let top: Int
        var names: [JSON] = []
        var logprobs: [JSON] = []
        var tops: [JSON] = []
        var offsets: [JSON] = []

        init(tokens: TokenText, top: Int) {
            self.tokens = tokens
            self.top = top
        }

        /// - Parameter scored: nil for the first token of a prompt, which nothing predicts.
        mutating func append(_ token: Int32, _ scored: TokenLogprobs?, at offset: Int) {
            names.append(.string(tokens.name(token)))
            offsets.append(.int(Int64(offset)))
            guard let scored else {
                logprobs.append(.null)
                tops.append(.null)
                return
            }
            logprobs.append(.logprob(scored.logprob))
            // The most likely tokens, and this one if it is not among them. Of tokens with the same text the
            // most likely stays.
            var members: [(name: String, value: JSON)] = []
            var seen: Set<[UInt8]> = []
            for other in scored.top.prefix(top) + [ScoredToken(token: token, logprob: scored.logprob)] {
                let name = tokens.name(other.token)
                if seen.insert(Array(name.utf8)).inserted { members.append((name, .logprob(other.logprob))) }
            }
            tops.append(.object(JSONObject(members)))
        }

        var json: JSON {
            [
                "tokens": .array(names), "token_logprobs": .array(logprobs), "top_logprobs": .array(tops),
                "text_offset": .array(offsets),
            ]
        }
    }
}
