/// How much more work is worth leasing now: what could start at once, and a small look-ahead. More
/// would only wait here while another worker might run it.
package struct Room: Sendable, Equatable {
    /// Sequences, of typical size; 0: none.
    package var sequences: Int
    /// Tokens of prompts together; sequences of unusual size fill it sooner.
    package var tokens: Int

    package init(sequences: Int, tokens: Int) {
        self.sequences = sequences
        self.tokens = tokens
    }
}

extension BatchScheduler {
    /// By places, and by blocks: those available, less the watermark, what running sequences are
    /// expected to grow by, and what waiting ones will take. None while preempted sequences wait,
    /// which is a sign of too little memory already; one at least when there is nothing to do.
    package var room: Room {
        guard !isEmpty else {
            let most = limits.maxSequences + limits.lookAheadSequences
            let fitting = typicalTokens > 0 ? Int(Double(limits.cacheTokens) / typicalTokens) : most
            return Room(sequences: min(most, max(1, fitting)), tokens: limits.cacheTokens)
        }
        guard waiting.preemptedCount == 0 else { return Room(sequences: 0, tokens: 0) }
        let freeBlocks = max(0, blocks.availableCount - limits.watermarkBlocks - growthBlocks(0))
        let lookAhead = Double(limits.lookAheadSequences) * typicalTokens
        let tokens = max(
            0, freeBlocks * limits.blockSize + Int(lookAhead.rounded(.up)) - waiting.tokenCount)
        let places = max(0, limits.maxSequences + limits.lookAheadSequences - store.count)
        return Room(
            sequences: min(places, Int(Double(tokens) / typicalTokens)),
            tokens: places > 0 ? tokens : 0)
    }
}
