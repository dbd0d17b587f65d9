/// A token and its log-probability (natural logarithm) under the model's own distribution: before biases,
/// penalties, temperature and cuts, as vLLM's `raw_logprobs`.
package struct ScoredToken: Sendable, Equatable {
    package var token: Int32
    package var logprob: Float

    package init(token: Int32, logprob: Float) {
        self.token = token
        self.logprob = logprob
    }
}

/// Log-probabilities at one position: the token that stands there, and the most likely ones.
package struct TokenLogprobs: Sendable, Equatable {
    package var token: Int32
    package var logprob: Float
    /// Tokens at least as likely as this one, itself included: 1 for the most likely.
    package var rank: Int
    /// As many of the most likely tokens as were asked for, best first; equal ones by id. May hold `token`.
    package var top: [ScoredToken]

    package init(token: Int32, logprob: Float, rank: Int, top: [ScoredToken]) {
        self.token = token
        self.logprob = logprob
        self.rank = rank
        self.top = top
    }
}

/// The choice of one token.
package struct SampledToken: Sendable, Equatable {
    package var token: Int32
    /// nil when none were asked for.
    package var logprobs: TokenLogprobs?
}
