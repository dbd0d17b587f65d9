import Models

/// How far one sequence has come. Belongs to the engine's thread. Nothing in it depends on how its tokens
/// were computed: chunks, preemption and company leave no trace (I8).
package struct GenerationState {
    package enum Step: Sendable, Equatable {
        /// The token was added and the next is wanted.
        case continued(Int32)
        case finished(FinishReason)
    }

    package let spec: GenerationSpec
    /// Tokens generated so far.
    package private(set) var output: [Int32] = []
    package private(set) var finish: FinishReason?
    /// Prompt tokens whose K/V came from the prefix cache when the sequence first ran; the engine's to set.
    package var cachedTokens = 0

    private(set) var adjustments: TokenAdjustments
    private var stopText: StopText?
    private var textEnd: Int?
    private var logprobs: [TokenLogprobs] = []
    private var promptLogprobs: [TokenLogprobs?]

    /// Only a sequence with stop strings follows its text while it grows.
    private struct StopText {
        var decoder: CompletionDecoder
        var matcher: StopMatcher

        mutating func push(_ token: Int32, isLast: Bool, searching: Bool) -> StopMatcher.Match? {
            var piece = decoder.push(token)
            if isLast { piece += decoder.finish() }
            return matcher.push(piece, searching: searching)
        }
    }

    package init(_ spec: GenerationSpec, tokenizer: any Tokenizer) {
        self.spec = spec
        adjustments = TokenAdjustments(
            spec.sampling, prompt: spec.prompt, badWords: spec.badWords,
            ends: spec.stops.ends + spec.stops.tokens,
            minTokens: spec.stops.minTokens)
        if !spec.stops.strings.isEmpty {
            stopText = StopText(
                decoder: CompletionDecoder(tokenizer, after: spec.prompt, skipsSpecial: spec.skipsSpecial),
                matcher: StopMatcher(spec.stops.strings))
        }
        promptLogprobs = spec.promptTopLogprobs == nil ? [] : Array(repeating: nil, count: spec.prompt.count)
    }

    /// Chooses the next token from the logits at the sequence's last position.
    /// - Throws: what ends this sequence alone; it must not be asked again.
    package mutating func accept(
        _ row: inout MutableSpan<Float>, sampler: inout Sampler
    ) throws(SamplingError) -> Step {
        precondition(finish == nil && output.count < spec.maxTokens)
        let sampled = try sampler.sample(
            &row, spec.sampling, adjustments: adjustments, generated: output.count,
            uniform: draw, topLogprobs: spec.topLogprobs)
        return accept(sampled)
    }

    /// The draw for the next token.
    var draw: Double { spec.sampling.isGreedy ? 0 : spec.seed.uniform(at: output.count) }

    /// Takes the next token, however it was chosen.
    mutating func accept(_ sampled: SampledToken) -> Step {
        precondition(finish == nil && output.count < spec.maxTokens)
        if let scored = sampled.logprobs { logprobs.append(scored) }
        output.append(sampled.token)
        adjustments.append(sampled.token, output: output)
        finish = finishReason(after: sampled.token)
        return finish.map { .finished($0) } ?? .continued(sampled.token)
    }

    /// Whether the logits at `position` of the prompt are still wanted; they score the token after it. False
    /// for positions that were seen before, as after a preemption.
    package func wantsPromptRow(_ position: Int) -> Bool {
        position + 1 < promptLogprobs.count && promptLogprobs[position + 1] == nil
    }

    package mutating func acceptPromptRow(
        _ position: Int, _ row: Span<Float>, sampler: inout Sampler
    ) throws(SamplingError) {
        guard wantsPromptRow(position), let top = spec.promptTopLogprobs else { return }
        promptLogprobs[position + 1] = try sampler.score(spec.prompt[position + 1], in: row, top: top)
    }

    /// Ends a sequence that only scores its prompt (`maxTokens` 0), once its prompt rows were accepted.
    package mutating func finishScoring() {
        precondition(spec.maxTokens == 0)
        finish = .length
    }

    /// The result, once it is finished; nil before.
    package var result: GeneratedSequence? {
        guard let finish else { return nil }
        return GeneratedSequence(
            spec: spec, output: output, finish: finish, textEnd: textEnd, logprobs: logprobs,
            promptLogprobs: promptLogprobs, cachedTokens: cachedTokens)
    }

    private mutating func finishReason(after token: Int32) -> FinishReason? {
        if output.count >= spec.stops.minTokens {
            if spec.stops.isEnd(token) { return .end }
            if spec.stops.tokens.contains(token) { return .stopToken(token) }
        }
        let isLast = output.count == spec.maxTokens
        if let string = stopString(after: token, isLast: isLast) { return .stopString(string) }
        return isLast ? .length : nil
    }

    /// Text of the first `minTokens` tokens may begin a match, but no match ends in it.
    private mutating func stopString(after token: Int32, isLast: Bool) -> String? {
        let searching = output.count > spec.stops.minTokens
        guard let match = stopText?.push(token, isLast: isLast, searching: searching) else { return nil }
        textEnd = spec.stops.includesStop ? match.range.upperBound : match.range.lowerBound
        return spec.stops.strings[match.index]
    }
}
