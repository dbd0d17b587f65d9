/// How the next token is chosen from its logits, in vLLM's words and with its defaults (everything off).
/// Source: https://docs.vllm.ai/en/stable/api/vllm/sampling_params.html
package struct SamplingParameters: Sendable, Equatable {
    package struct Bias: Sendable, Equatable {
        package var token: Int32
        /// Added to the token's logit.
        package var value: Double

        package init(token: Int32, value: Double) {
            self.token = token
            self.value = value
        }
    }

    /// Divides the logits; below `greedyBelow` the largest logit is taken.
    package var temperature = 1.0
    /// Keep the smallest set of most likely tokens whose probabilities reach this sum; 1: all.
    package var topP = 1.0
    /// Keep this many of the largest logits, and all that equal the last of them; 0: all.
    package var topK = 0
    /// Keep tokens at least this likely, relative to the most likely one; 0: all.
    package var minP = 0.0
    /// Logits of tokens in prompt or output: divided by this where positive, multiplied where negative; 1:
    /// none.
    package var repetitionPenalty = 1.0
    /// Subtracted once from the logit of each token in the output.
    package var presencePenalty = 0.0
    /// Subtracted from a token's logit once for each time the output has it.
    package var frequencyPenalty = 0.0
    package var logitBias: [Bias] = []
    /// Only these may be generated; nil: all.
    package var allowedTokens: [Int32]?

    /// Temperatures under this mean greedy, as in vLLM.
    package static let greedyBelow = 1e-5

    package init() {}

    package var isGreedy: Bool { temperature < Self.greedyBelow }

    /// Whether logits depend on the tokens seen so far.
    var hasPenalties: Bool {
        repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
    }
}
