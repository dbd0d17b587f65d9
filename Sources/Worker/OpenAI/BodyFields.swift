import JSON
import JobQueue

/// Reads the fields of a request's body one by one, and at the end refuses those that nobody asked for.
/// `null` is the same as absent, for every field.
struct BodyFields {
    private let object: JSONObject
    private var read: Set<String> = []

    /// - Parameter body: what the client sent.
    init(_ body: JSON) throws(OutcomeError) {
        guard let object = body.object else {
            throw OutcomeError(
                code: "invalid_request", message: "the body is \(body.kindName); it must be an object")
        }
        if let name = object.repeatedNames.first {
            throw .invalid(name, "is given more than once")
        }
        self.object = object
    }

    mutating func value(_ name: String) -> JSON? {
        read.insert(name)
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    mutating func bool(_ name: String) throws(OutcomeError) -> Bool? {
        guard let value = value(name) else { return nil }
        guard let bool = value.bool else { throw .wrongKind(name, value, "true or false") }
        return bool
    }

    mutating func string(_ name: String) throws(OutcomeError) -> String? {
        guard let value = value(name) else { return nil }
        guard let string = value.string else { throw .wrongKind(name, value, "a string") }
        return string
    }

    mutating func int(_ name: String, _ range: ClosedRange<Int>) throws(OutcomeError) -> Int? {
        guard let value = value(name) else { return nil }
        guard let int = value.int else { throw .wrongKind(name, value, "a whole number") }
        guard range.contains(int) else { throw .invalid(name, "\(int) is not \(Self.words(range))") }
        return int
    }

    mutating func number(_ name: String, _ range: ClosedRange<Double>) throws(OutcomeError) -> Double? {
        guard let value = value(name) else { return nil }
        guard let number = value.double else { throw .wrongKind(name, value, "a number") }
        guard range.contains(number) else {
            throw .invalid(name, "\(value.text) is not from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A number more than 0.
    mutating func positiveNumber(_ name: String, upTo limit: Double = .infinity) throws(OutcomeError)
        -> Double?
    {
        guard let value = value(name) else { return nil }
        guard let number = value.double else { throw .wrongKind(name, value, "a number") }
        guard number > 0, number <= limit, number.isFinite else {
            let end = limit.isFinite ? " and at most \(limit)" : ""
            throw .invalid(name, "\(value.text) is not more than 0\(end)")
        }
        return number
    }

    mutating func object(_ name: String) throws(OutcomeError) -> JSONObject? {
        guard let value = value(name) else { return nil }
        guard let object = value.object else { throw .wrongKind(name, value, "an object") }
        return object
    }

    mutating func array(_ name: String) throws(OutcomeError) -> [JSON]? {
        guard let value = value(name) else { return nil }
        guard let array = value.array else { throw .wrongKind(name, value, "an array") }
        return array
    }

    mutating func strings(_ name: String) throws(OutcomeError) -> [String]? {
        guard let array = try array(name) else { return nil }
        return try array.map { (value) throws(OutcomeError) in
            guard let string = value.string else { throw .wrongKind(name, value, "an array of strings") }
            return string
        }
    }

    mutating func tokens(_ name: String) throws(OutcomeError) -> [Int32]? {
        guard let array = try array(name) else { return nil }
        return try Self.tokens(array, of: name)
    }

    /// Token ids; whether the model has them is checked where the model is known.
    static func tokens(_ array: [JSON], of name: String) throws(OutcomeError) -> [Int32] {
        try array.map { (value) throws(OutcomeError) in
            guard let int = value.int else { throw .wrongKind(name, value, "an array of token ids") }
            guard let token = Int32(exactly: int), token >= 0 else {
                throw .invalid(name, "\(int) is no token id")
            }
            return token
        }
    }

    /// A field that is accepted only with values that ask for nothing special.
    mutating func only(_ name: String, _ allowed: [JSON]) throws(OutcomeError) {
        guard let value = value(name), !allowed.contains(value) else { return }
        let choices = allowed.map(\.text).joined(separator: " or ")
        throw .unsupported(
            name,
            "\(value.brief) is not supported; leave it out\(choices.isEmpty ? "" : " or give \(choices)")")
    }

    /// - Throws: for the first field that was never asked for.
    func refuseUnread(_ endpoint: Endpoint) throws(OutcomeError) {
        for (name, value) in object.members where !value.isNull && !read.contains(name) {
            if let reason = UnsupportedField.reasons[name] { throw .unsupported(name, reason) }
            throw OutcomeError(
                code: "unknown_field",
                message: "\(name): \(endpoint.rawValue) has no such field; see docs/sampling.md",
                parameter: name)
        }
    }

    private static func words(_ range: ClosedRange<Int>) -> String {
        range.upperBound == .max
            ? "at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
    }
}

/// Fields that OpenAI's API or vLLM has and Millrace does not.
enum UnsupportedField {
    static let reasons: [String: String] = {
        var reasons = [
            "stream_options": "nothing is streamed; results are polled",
            "suffix": "insertion is not supported", "functions": "use tools", "function_call": "use tools",
            "echo": "only completions echo; give prompt_logprobs to score a chat's prompt",
            "audio": "only text is supported", "prediction": "predicted outputs are not supported",
            "web_search_options": "nothing is searched",
            "chat_template": "the checkpoint's own template is used",
            "documents": "put them into the messages", "prompt_embeds": "give prompt as text or token ids",
        ]
        for name in [
            "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs",
            "json_schema",
            "grammar",
        ] { reasons[name] = "constrained output is not supported" }
        for name in ["length_penalty", "early_stopping", "use_beam_search"] {
            reasons[name] = "beam search is not supported"
        }
        for name in [
            "reasoning_effort", "verbosity", "thinking_token_budget", "logits_processors", "min_new_tokens",
            "max_new_tokens", "typical_p", "top_a", "tfs", "mirostat", "mirostat_tau", "mirostat_eta",
            "repeat_penalty", "no_repeat_ngram_size", "logprob_token_ids", "prompt_logprob_token_ids",
            "repetition_detection", "priority", "request_id", "detokenize",
        ] { reasons[name] = "this field is not supported" }
        return reasons
    }()
}

extension OutcomeError {
    /// A field whose value cannot be.
    static func invalid(_ name: String, _ what: String) -> OutcomeError {
        OutcomeError(code: "invalid_request", message: "\(name): \(what)", parameter: name)
    }

    static func wrongKind(_ name: String, _ value: JSON, _ wanted: String) -> OutcomeError {
        .invalid(name, "\(value.brief) is \(value.kindName); it must be \(wanted)")
    }

    /// A field, or a value of one, that has a meaning elsewhere but not here.
    static func unsupported(_ name: String, _ what: String) -> OutcomeError {
        OutcomeError(code: "unsupported_field", message: "\(name): \(what)", parameter: name)
    }
}

extension JSON {
    /// Its text, shortened for messages.
    var brief: String {
        let text = text
        return text.unicodeScalars.count <= 40
            ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(37))) + "..."
    }
}
