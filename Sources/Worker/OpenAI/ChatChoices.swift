import JSON
import Models

/// `choices` of a chat completion. Source: https://platform.openai.com/docs/api-reference/chat/object;
/// `stop_reason`, `token_ids`, `prompt_token_ids` and `prompt_logprobs` are vLLM's.
struct ChatChoices {
    private let plan: RequestPlan
    private let model: ServedModel
    private let tokens: TokenText

    init(_ plan: RequestPlan, _ model: ServedModel) {
        self.plan = plan
        self.model = model
        tokens = TokenText(tokenizer: model.tokenizer, byID: plan.body.namesTokensByID)
    }

    func members(_ sequences: [GeneratedSequence]) -> [(name: String, value: JSON)] {
        var members: [(name: String, value: JSON)] = [
            ("choices", .array(sequences.enumerated().map { choice($0, $1) }))
        ]
        if let shown = plan.body.promptLogprobsShown, let first = sequences.first {
            members.append(("prompt_logprobs", tokens.promptLogprobs(first.promptLogprobs, top: shown)))
        }
        if plan.body.returnsTokens, let prompt = plan.prompts.first {
            members.append(("prompt_token_ids", .tokens(prompt.tokens)))
        }
        return members
    }

    private func choice(_ index: Int, _ sequence: GeneratedSequence) -> JSON {
        let text = CompletionText(of: sequence, tokenizer: model.tokenizer).text
        var logprobs = JSON.null
        if let top = plan.body.topLogprobs {
            logprobs = ["content": .array(sequence.logprobs.map { entry($0, top: top) }), "refusal": nil]
        }
        var members: [(name: String, value: JSON)] = [
            ("index", .int(Int64(index))),
            ("message", ["role": "assistant", "content": .string(text), "refusal": nil]),
            ("logprobs", logprobs), ("finish_reason", .string(sequence.finish.name)),
            ("stop_reason", sequence.finish.stopReason),
        ]
        if plan.body.returnsTokens { members.append(("token_ids", .tokens(sequence.output))) }
        return .object(JSONObject(members))
    }

    private func entry(_ scored: TokenLogprobs, top: Int) -> JSON {
        var members = members(scored.token, scored.logprob)
        members.append(
            (
                "top_logprobs",
                .array(scored.top.prefix(top).map { .object(JSONObject(self.members($0.token, $0.logprob))) })
            ))
        return .object(JSONObject(members))
    }

    private func members(_ token: Int32, _ logprob: Float) -> [(name: String, value: JSON)] {
        [
            ("token", .string(tokens.text(token))), ("logprob", .logprob(logprob)),
            ("bytes", .array(tokens.bytes(token).map { .int(Int64($0)) })),
        ]
    }
}
