import JSON

/// What a request ended as. Exactly one for each request (I1).
package struct Outcome: Sendable, Equatable {
    package enum Result: Sendable, Equatable {
        /// An OpenAI response body, JSON text in UTF-8. `statusCode` is 200.
        case response(statusCode: Int, body: [UInt8])
        case error(OutcomeError)
    }

    package var result: Result
    package var usage: Usage
    /// What computed it: `cpu`, `cuda:0`, an upstream's name; empty where nothing did.
    package var backend: String
    package var timings: Timings

    package init(result: Result, usage: Usage = Usage(), backend: String = "", timings: Timings = Timings()) {
        self.result = result
        self.usage = usage
        self.backend = backend
        self.timings = timings
    }

    package static func failure(_ error: OutcomeError) -> Outcome { Outcome(result: .error(error)) }

    package var error: OutcomeError? { if case .error(let error) = result { error } else { nil } }
}

/// Why a request failed, as OpenAI's error objects say it.
package struct OutcomeError: Error, Sendable, Equatable {
    /// A stable name: `invalid_request`, `invalid_json`, `duplicate_custom_id`, `context_length_exceeded`,
    /// `model_not_found`, `cancelled`, `expired`, `attempts_exhausted`, `internal_error` …
    package var code: String
    /// What, where (file:line, field) and what to do.
    package var message: String
    /// The field at fault, where one is.
    package var parameter: String?
    /// HTTP status that a server would answer: 400, 404, 500 …
    package var statusCode: Int

    package init(code: String, message: String, parameter: String? = nil, statusCode: Int = 400) {
        self.code = code
        self.message = message
        self.parameter = parameter
        self.statusCode = statusCode
    }
}

/// Tokens that a request took, and what it cost.
package struct Usage: Sendable, Equatable {
    package var promptTokens: Int
    package var completionTokens: Int
    /// Prompt tokens whose K/V came from the prefix cache; part of `promptTokens`.
    package var cachedTokens: Int
    /// In billionths of a US dollar, so that sums are exact; 0 where nobody wrote a price down.
    package var costNanodollars: Int

    package init(
        promptTokens: Int = 0, completionTokens: Int = 0, cachedTokens: Int = 0, costNanodollars: Int = 0
    ) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedTokens = cachedTokens
        self.costNanodollars = costNanodollars
    }

    package var totalTokens: Int { promptTokens + completionTokens }

    package static func + (a: Usage, b: Usage) -> Usage {
        Usage(
            promptTokens: a.promptTokens + b.promptTokens,
            completionTokens: a.completionTokens + b.completionTokens,
            cachedTokens: a.cachedTokens + b.cachedTokens,
            costNanodollars: a.costNanodollars + b.costNanodollars)
    }

    package static func += (a: inout Usage, b: Usage) { a = a + b }
}

/// How long the parts of a request took, in milliseconds; from the lease on.
package struct Timings: Sendable, Equatable {
    /// From lease to the first step that ran any of its tokens.
    package var queuedMs: Int64
    /// From there to its first generated token.
    package var prefillMs: Int64
    /// From there to the end.
    package var decodeMs: Int64

    package init(queuedMs: Int64 = 0, prefillMs: Int64 = 0, decodeMs: Int64 = 0) {
        self.queuedMs = queuedMs
        self.prefillMs = prefillMs
        self.decodeMs = decodeMs
    }
}
