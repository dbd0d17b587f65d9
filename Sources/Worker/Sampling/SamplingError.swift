import JobQueue

/// Why no token could be chosen. It is the fate of one sequence; its neighbours go on (I7).
package enum SamplingError: Error, Sendable, Equatable {
    /// The model's logits hold a NaN or +infinity.
    case nonFiniteLogits
    /// Masks and biases left no token to choose from.
    case nothingAllowed

    package var outcome: OutcomeError {
        switch self {
        case .nonFiniteLogits:
            OutcomeError(
                code: "non_finite_logits",
                message:
                    "the model computed logits that are not numbers for this request; try --dtype float32",
                statusCode: 500)
        case .nothingAllowed:
            OutcomeError(
                code: "nothing_allowed",
                message: "no token may be generated: allowed_token_ids, bad_words, logit_bias and min_tokens "
                    + "together rule out every token of the vocabulary")
        }
    }
}
