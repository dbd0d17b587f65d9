import JSON
import JobQueue

/// A request's body made ready for an upstream. What the upstream must not see is taken out, the model is named as the
/// upstream names it, and everything else is sent as the client wrote it, byte for byte.
package struct UpstreamBody: Sendable, Equatable {
    package var path: String
    package var bytes: [UInt8]
    /// A completion that was made a chat, so that its answer must be made a completion.
    package var isMapped: Bool
    /// The request's own limit; nil: it has none.
    package var maxTokens: Int?
    /// Of prompt and completion together, for budgets: a guess that real usage corrects.
    package var estimatedTokens: Int

    /// What completions generate that do not say how much (OpenAI's default, and `CompletionBody`'s).
    static let defaultMaxTokens = CompletionBody.defaultMaxTokens
    /// What chats are guessed to generate that do not say how much.
    static let guessedChatTokens = 256

    /// - Parameters:
    ///   - model: the upstream's name for the model; nil: as the request names it.
    ///   - serviceTier: put where the request has none.
    ///   - mapsCompletions: send `/v1/completions` as chats; nil: where the dialect has no completions.
    /// - Throws: when the upstream would refuse it, naming the field.
    package init(
        _ request: Request, dialect: UpstreamDialect, model: String? = nil, serviceTier: String? = nil,
        mapsCompletions: Bool? = nil
    ) throws(OutcomeError) {
        let json: JSON
        do throws(JSONSyntaxError) {
            json = try JSON(parsing: request.body)
        } catch {
            throw OutcomeError(code: "invalid_json", message: "the body is not JSON: \(error)")
        }
        guard let object = json.object, var members = JSONMembers(request.body) else {
            throw OutcomeError(
                code: "invalid_request", message: "the body is \(json.kindName); it must be an object")
        }
        if let name = object.repeatedNames.first { throw .invalid(name, "is given more than once") }
        if let stream = object["stream"], !stream.isNull, stream != .bool(false) {
            throw .unsupported("stream", "a batch's results are polled, not streamed; leave it out or give false")
        }
        members.remove("stream")
        members.remove("stream_options")
        let named = object["model"]?.string ?? request.model
        let name = model ?? named
        guard !name.isEmpty else {
            throw .invalid("model", "is missing: name it in the request, in the route, or with 'run' by --model")
        }
        members.set("model", .string(name))
        if let serviceTier, object["service_tier"]?.isNull ?? true {
            members.set("service_tier", .string(serviceTier))
        }
        isMapped = request.endpoint == .completions && (mapsCompletions ?? dialect.isChatOnly)
        if isMapped { try Self.makeChat(object, &members) }
        try dialect.check(object)
        path = request.endpoint == .chatCompletions || isMapped ? "/chat/completions" : "/completions"
        bytes = members.text
        maxTokens = object["max_completion_tokens"]?.int ?? object["max_tokens"]?.int
        if maxTokens == nil, request.endpoint == .completions { maxTokens = Self.defaultMaxTokens }
        maxTokens = maxTokens.map { most in
            let (all, isTooMany) = max(0, most).multipliedReportingOverflow(by: max(1, object["n"]?.int ?? 1))
            return isTooMany ? Outcome.maxTokens : min(all, Outcome.maxTokens)
        }
        estimatedTokens = request.cost
        // The client's own estimate, where there is one, counts with a better guess.
        guard request.cost <= 1 else { return }
        // Four bytes a token is usual for English; structure and names make up for other languages being denser.
        estimatedTokens = max(1, bytes.count / 4 + (maxTokens ?? Self.guessedChatTokens))
    }

    /// docs/upstreams.md describes the mapping.
    private static func makeChat(_ object: JSONObject, _ members: inout JSONMembers) throws(OutcomeError) {
        func refuse(_ name: String, unless allowed: [JSON]) throws(OutcomeError) {
            guard let value = object[name], !value.isNull, !allowed.contains(value) else { return }
            throw .unsupported(name, "\(value.brief): this upstream only has chats, which have no such field")
        }
        try refuse("echo", unless: [false])
        try refuse("suffix", unless: [""])
        try refuse("best_of", unless: [1])
        try refuse("logprobs", unless: [false])
        for name in ["echo", "suffix", "best_of", "logprobs"] { members.remove(name) }
        let prompt: JSON
        switch object["prompt"] {
        case .string(let text)?: prompt = .string(text)
        case .array(let prompts)? where prompts.count == 1 && prompts[0].string != nil: prompt = prompts[0]
        case .array(let prompts)? where prompts.allSatisfy({ $0.string != nil }) && !prompts.isEmpty:
            throw .unsupported(
                "prompt", "\(prompts.count) prompts in one request cannot be sent to a chat; submit one a request")
        case nil, .null?: throw .invalid("prompt", "is missing")
        case .some: throw .unsupported("prompt", "token ids cannot be sent to a chat; give text")
        }
        let messages: JSON = [["role": "user", "content": prompt]]
        members.replace("prompt", with: "messages", text: Array(messages.text.utf8))
        let limits = ["max_tokens", "max_completion_tokens"].compactMap { object[$0] }
        if limits.allSatisfy(\.isNull) {
            members.remove("max_tokens")
            members.set("max_tokens", .int(Int64(defaultMaxTokens)))
        }
    }
}
