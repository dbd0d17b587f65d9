/// A sequence that has left the scheduler: finished, or cancelled on the way.
package struct FinishedSequence: Sendable, Equatable {
    package let id: SequenceID
    /// Prompt and generated tokens, those that are known (`BatchScheduler.commitAhead`).
    package let tokens: [Int32]
    package let promptCount: Int
    /// Prompt tokens that the prefix cache served when it was first admitted.
    package let cachedPromptTokens: Int
    package let preemptions: Int

    package var generated: ArraySlice<Int32> { tokens[promptCount...] }
}
