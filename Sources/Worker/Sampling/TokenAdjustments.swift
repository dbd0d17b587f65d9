/// What is done to the logits of particular tokens before one is chosen: biases, bans and penalties of one
/// sequence. Only the tokens it lists are touched, so that a step costs by their number and not by the
/// vocabulary's.
package struct TokenAdjustments: Sendable {
    struct Entry: Sendable {
        var token: Int32
        /// Times in the output.
        var count: Int32 = 0
        /// In the prompt or the output.
        var isSeen = false
        var bias = 0.0
        /// Banned while fewer tokens than this were generated.
        var bannedUntil: Int32 = 0
        /// The last token of a bad word whose others were just generated.
        var endsBadWord = false
    }

    private(set) var entries: [Entry] = []
    /// Every token without an entry is ruled out (`allowed_token_ids`).
    let listedOnly: Bool
    private var index: [Int32: Int] = [:]
    private let parameters: SamplingParameters
    private let badWords: [[Int32]]
    /// Entries whose `endsBadWord` is set.
    private var wordBans: [Int] = []

    /// - Parameters:
    ///   - prompt: the tokens that count as seen for the repetition penalty.
    ///   - badWords: non-empty token sequences that must not be completed.
    ///   - ends: tokens that may not come before `minTokens` others.
    package init(
        _ parameters: SamplingParameters, prompt: [Int32] = [], badWords: [[Int32]] = [], ends: [Int32] = [],
        minTokens: Int = 0
    ) {
        self.parameters = parameters
        self.badWords = badWords
        listedOnly = parameters.allowedTokens != nil
        for token in parameters.allowedTokens ?? [] where index[token] == nil {
            index[token] = entries.count
            entries.append(Entry(token: token))
        }
        for bias in parameters.logitBias { modify(bias.token) { $0.bias += bias.value } }
        if parameters.repetitionPenalty != 1 { for token in prompt { modify(token) { $0.isSeen = true } } }
        if minTokens > 0 {
            for token in ends { modify(token) { $0.bannedUntil = Int32(clamping: minTokens) } }
        }
        for word in badWords { if let last = word.last { modify(last) { _ in } } }
        refreshWordBans(output: [])
    }

    /// Nothing is adjusted: rows can be read as they are.
    var isEmpty: Bool { entries.isEmpty && !listedOnly }

    /// Takes note of a generated token; `output` ends with it.
    package mutating func append(_ token: Int32, output: [Int32]) {
        if parameters.hasPenalties {
            modify(token) {
                $0.count += 1
                $0.isSeen = true
            }
        }
        refreshWordBans(output: output)
    }

    /// The logit of an entry's token after `generated` tokens, in vLLM's order: bans, bias, repetition,
    /// frequency and presence penalty. In double precision, so that cuts and ties do not depend on rounding
    /// here.
    func value(_ entry: Entry, raw: Float, generated: Int) -> Double {
        if entry.endsBadWord || generated < entry.bannedUntil { return -.infinity }
        var value = Double(raw) + entry.bias
        if entry.isSeen, parameters.repetitionPenalty != 1 {
            value = value > 0 ? value / parameters.repetitionPenalty : value * parameters.repetitionPenalty
        }
        if entry.count > 0 {
            value -= parameters.frequencyPenalty * Double(entry.count)
            value -= parameters.presencePenalty
        }
        return value
    }

    private mutating func modify(_ token: Int32, _ change: (inout Entry) -> Void) {
        if let at = index[token] {
            change(&entries[at])
        } else if !listedOnly {
            index[token] = entries.count
            entries.append(Entry(token: token))
            change(&entries[entries.count - 1])
        }
    }

    private mutating func refreshWordBans(output: [Int32]) {
        for at in wordBans { entries[at].endsBadWord = false }
        wordBans.removeAll(keepingCapacity: true)
        for word in badWords {
            guard let last = word.last, let at = index[last], output.count >= word.count - 1 else { continue }
            let before = word.dropLast()
            guard output.suffix(before.count).elementsEqual(before) else { continue }
            entries[at].endsBadWord = true
            wordBans.append(at)
        }
    }
}
