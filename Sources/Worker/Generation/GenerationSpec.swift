import JobQueue

/// Names one sequence: a request's choice.
package struct GenerationID: Sendable, Hashable {
    package var request: RequestKey
    /// Place in the response's `choices`, from 0.
    package var choice: Int

    package init(request: RequestKey, choice: Int) {
        self.request = request
        self.choice = choice
    }
}

/// What ends a sequence before its length does.
package struct StopCriteria: Sendable, Equatable {
    /// Texts that end it when the generated text has one of them; never empty ones.
    package var strings: [String] = []
    /// Tokens that end it, asked for by the request.
    package var tokens: [Int32] = []
    /// The model's own end tokens (EOS, end of turn).
    package var ends: [Int32] = []
    /// End tokens are generated like any other.
    package var ignoresEnds = false
    /// What stopped it stays in the text.
    package var includesStop = false
    /// Nothing stops it before this many tokens; the tokens that would are not generated.
    package var minTokens = 0

    package init() {}

    /// Whether the token ends a sequence.
    func isEnd(_ token: Int32) -> Bool { !ignoresEnds && ends.contains(token) }
}

/// What the engine needs to know of one sequence. Immutable; `GenerationState` follows its progress.
package struct GenerationSpec: Sendable, Equatable {
    package var id: GenerationID
    package var tenant: String
    /// Larger first.
    package var priority: Int
    /// Never empty.
    package var prompt: [Int32]
    package var sampling: SamplingParameters
    /// Token sequences that must not be completed.
    package var badWords: [[Int32]] = []
    package var stops = StopCriteria()
    /// At most this many tokens are generated; 0 only scores the prompt. `prompt.count + maxTokens` fits the
    /// context.
    package var maxTokens: Int
    /// How many of the most likely tokens to report with each generated one; nil: no log-probabilities.
    package var topLogprobs: Int?
    /// The same for the tokens of the prompt.
    package var promptTopLogprobs: Int?
    package var seed: RequestSeed
    /// Special tokens stay out of the text.
    package var skipsSpecial = true

    package init(
        id: GenerationID, tenant: String = "default", priority: Int = 0, prompt: [Int32],
        sampling: SamplingParameters = SamplingParameters(), maxTokens: Int, seed: RequestSeed
    ) {
        self.id = id
        self.tenant = tenant
        self.priority = priority
        self.prompt = prompt
        self.sampling = sampling
        self.maxTokens = maxTokens
        self.seed = seed
    }

    /// False when the response follows from the prompt without the model: an echo that scores nothing.
    package var needsModel: Bool { maxTokens > 0 || (promptTopLogprobs != nil && prompt.count > 1) }
    /// The logits of every prompt position are needed, so no part of the prompt may come from the prefix
    /// cache.
    package var needsPromptRows: Bool { promptTopLogprobs != nil && prompt.count > 1 }
}
