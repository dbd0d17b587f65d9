/// Why a sequence cannot be added. All but `tooManyWaiting` and `duplicate` would be so for ever:
/// the request is at fault.
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
            "the prompt's \(prompt) tokens and \(new) new ones exceed the context length of "
                + "\(limit) tokens"
        case .beyondCache(let prompt, let new, let limit):
            "the prompt's \(prompt) tokens and \(new) new ones exceed the KV cache of "
                + "\(limit) tokens"
        case .tooManyWaiting(let limit):
            "\(limit) sequences are waiting already, which is the limit"
        }
    }
}
