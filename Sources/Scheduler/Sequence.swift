/// Names a sequence to the scheduler. The caller chooses it; it may be used again once the sequence has left.
package struct SequenceID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    package static func < (a: SequenceID, b: SequenceID) -> Bool { a.rawValue < b.rawValue }
    package var description: String { "sequence \(rawValue)" }
}

/// Who a sequence is accounted to. The caller numbers its tenants' names.
package struct TenantID: Hashable, Sendable {
    package let rawValue: Int

    package init(_ rawValue: Int) { self.rawValue = rawValue }
}

/// What the scheduler needs to know to run a sequence.
package struct NewSequence: Sendable {
    package var id: SequenceID
    package var tenant: TenantID
    /// Higher goes first; within `SchedulerLimits.priorities`.
    package var priority: Int
    package var prompt: [Int32]
    /// Sequence ends when it has generated this many (the caller clips it: `SchedulerLimits.newTokens`). 0: the prompt
    /// is computed, nothing is sampled.
    package var maxNewTokens: Int
    /// Sequences share prefix cache blocks only with sequences of the same salt: give tenants that must not learn from
    /// timing what others have asked salts of their own.
    package var cacheSalt: UInt64
    /// The logits of every prompt row are wanted (`echo`, prompt log-probabilities), each exactly once; rows whose
    /// logits are still owed are computed, never taken from the prefix cache.
    package var needsPromptLogits: Bool

    package init(
        id: SequenceID, tenant: TenantID = TenantID(0), priority: Int = 0, prompt: [Int32], maxNewTokens: Int,
        cacheSalt: UInt64 = 0, needsPromptLogits: Bool = false
    ) {
        self.id = id
        self.tenant = tenant
        self.priority = priority
        self.prompt = prompt
        self.maxNewTokens = maxNewTokens
        self.cacheSalt = cacheSalt
        self.needsPromptLogits = needsPromptLogits
    }

    /// Positions whose K/V are computed if it runs to its end: all but the last generated token.
    var cacheTokens: Int { prompt.count + max(0, maxNewTokens - 1) }
}

/// Why a sequence cannot be added. All but `tooManyWaiting` and `duplicate` would be so for ever: the request is at fault.
package enum AdmissionError: Error, Equatable, CustomStringConvertible {
    case duplicate(SequenceID)
    case emptyPrompt
    case negativeNewTokens(Int)
    case priority(Int)
    /// Prompt and completion are longer than the model's context.
    case beyondContext(promptTokens: Int, newTokens: Int, contextLength: Int)
    /// Even alone it would run out of KV cache.
    case beyondCache(promptTokens: Int, newTokens: Int, cacheTokens: Int)
    /// The caller added more than `room` asked for, and then some.
    case tooManyWaiting(limit: Int)

    package var description: String {
        switch self {
        case .duplicate(let id): "\(id) is already waiting or running"
        case .emptyPrompt: "the prompt has no tokens; at least one is needed"
        case .negativeNewTokens(let count): "\(count) new tokens are asked for; 0 is the least"
        case .priority(let value):
            "priority \(value) is outside \(SchedulerLimits.priorities.lowerBound) to "
                + "\(SchedulerLimits.priorities.upperBound)"
        case .beyondContext(let prompt, let new, let limit):
            "the prompt's \(prompt) tokens and \(new) new ones exceed the context length of \(limit) tokens"
        case .beyondCache(let prompt, let new, let limit):
            "the prompt's \(prompt) tokens and \(new) new ones exceed the KV cache of \(limit) tokens"
        case .tooManyWaiting(let limit): "\(limit) sequences are waiting already, which is the limit"
        }
    }
}

/// A sequence that has left the scheduler: finished, or cancelled on the way.
package struct FinishedSequence: Sendable, Equatable {
    package let id: SequenceID
    /// Prompt and generated tokens.
    package let tokens: [Int32]
    package let promptCount: Int
    /// Prompt tokens that the prefix cache served when it was first admitted.
    package let cachedPromptTokens: Int
    package let preemptions: Int

    package var generated: ArraySlice<Int32> { tokens[promptCount...] }
}

/// One sampled token, for `BatchScheduler.commit`.
package struct SampledToken: Sendable, Equatable {
    package var id: SequenceID
    package var token: Int32

    package init(_ id: SequenceID, _ token: Int32) {
        self.id = id
        self.token = token
    }
}
