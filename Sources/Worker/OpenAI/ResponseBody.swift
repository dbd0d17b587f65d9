import JSON
import JobQueue
import Models

/// The OpenAI response of a request whose sequences have all ended. A pure function of its arguments.
package struct ResponseBody: Sendable, Equatable {
    package var json: JSON
    package var usage: Usage

    /// - Parameters:
    ///   - sequences: as many as the plan's specs, in their order.
    ///   - created: what the response gives as its time.
    package init(
        _ plan: RequestPlan, _ sequences: [GeneratedSequence], model: ServedModel, created: Timestamp
    ) {
        precondition(sequences.count == plan.specs.count)
        usage = Self.usage(plan, sequences)
        let head: [(name: String, value: JSON)] = [
            ("id", .string(Self.id(plan))),
            ("object", .string(plan.body.endpoint == .completions ? "text_completion" : "chat.completion")),
            ("created", .int(created.seconds)),
            ("model", .string(plan.body.model ?? model.name)),
        ]
        let body: [(name: String, value: JSON)] =
            switch plan.body.endpoint {
            case .completions: CompletionChoices(plan, model).members(sequences)
            case .chatCompletions: ChatChoices(plan, model).members(sequences)
            }
        json = .object(JSONObject(head + body + [("usage", Self.json(usage))]))
    }

    /// UTF-8 text of `json`.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        json.write(to: &bytes)
        return bytes
    }

    /// The same for every attempt at the request.
    static func id(_ plan: RequestPlan) -> String {
        let kind = plan.body.endpoint == .completions ? "cmpl" : "chatcmpl"
        return "\(kind)-\(plan.key.batch.value)-\(plan.key.ordinal)"
    }

    /// Each prompt counts once, however many choices it has.
    static func usage(_ plan: RequestPlan, _ sequences: [GeneratedSequence]) -> Usage {
        Usage(
            promptTokens: plan.prompts.reduce(0) { $0 + $1.tokens.count },
            completionTokens: sequences.reduce(0) { $0 + $1.output.count },
            cachedTokens: stride(from: 0, to: sequences.count, by: plan.body.choices).reduce(0) {
                $0 + sequences[$1].cachedTokens
            })
    }

    private static func json(_ usage: Usage) -> JSON {
        [
            "prompt_tokens": .int(Int64(usage.promptTokens)),
            "completion_tokens": .int(Int64(usage.completionTokens)),
            "total_tokens": .int(Int64(usage.totalTokens)),
            "prompt_tokens_details": ["cached_tokens": .int(Int64(usage.cachedTokens))],
        ]
    }
}

extension FinishReason {
    /// vLLM's `stop_reason`: what of the request's own stops ended it.
    var stopReason: JSON {
        switch self {
        case .length, .end: .null
        case .stopToken(let token): .int(Int64(token))
        case .stopString(let string): .string(string)
        }
    }
}

extension TokenText {
    /// vLLM's `prompt_logprobs`: for each token of the prompt null (the first) or an object by token id, the
    /// token itself first.
    func promptLogprobs(_ positions: [TokenLogprobs?], top: Int) -> JSON {
        func entry(_ token: Int32, _ logprob: Float, rank: Int) -> (name: String, value: JSON) {
            (
                String(token),
                [
                    "logprob": .logprob(logprob), "rank": .int(Int64(rank)),
                    "decoded_token": .string(text(token)),
                ]
            )
        }
        return .array(
            positions.map { position in
                guard let position else { return .null }
                var members = [entry(position.token, position.logprob, rank: position.rank)]
                for (i, other) in position.top.prefix(top).enumerated() where other.token != position.token {
                    members.append(entry(other.token, other.logprob, rank: i + 1))
                }
                return .object(JSONObject(members))
            })
    }
}
