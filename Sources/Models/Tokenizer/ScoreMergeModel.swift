/// SentencePiece's byte-pair encoding as a GGUF file holds it (`tokenizer.ggml.model` = `llama`): neighbours
/// join if what they make is a token, the highest score first (https://github.com/google/sentencepiece,
/// bpe_model.cc). No merges are listed; a token is found by its text.
struct ScoreMergeModel: Sendable {
    let table: TokenTable
    /// By id; the highest score has the lowest, equal scores share one.
    let ranks: [UInt32]
    /// The ids of a byte that belongs to no token.
    let bytes: [Int32]
    let boundaries: WordBoundaries?

    init(table: TokenTable, ranks: [UInt32], bytes: [Int32]) {
        self.table = table
        self.ranks = ranks
        self.bytes = bytes
        boundaries = WordBoundaries(table)
    }

    /// Ranks for `scores`, none of which is NaN.
    static func ranks(of scores: [Double]) -> [UInt32] {
        // Nearly always descending already, in which case sorting is linear.
        let order = (0..<scores.count).sorted { scores[$0] > scores[$1] }
        var ranks = [UInt32](repeating: 0, count: scores.count)
        var rank: UInt32 = 0
        for (i, id) in order.enumerated() {
            if i > 0 && scores[id] < scores[order[i - 1]] { rank += 1 }
            ranks[id] = rank
        }
        return ranks
    }

    /// Appends the ids of `text`, whose spaces are U+2581 by now.
    func encode(_ text: [UInt8], to output: inout [Int32], _ scratch: inout TokenizerScratch) {
        var start = 0
        while start < text.count {
            let end = boundaries?.end(of: text, start..<text.count) ?? text.count
            encodeWord(text, start..<end, to: &output, &scratch)
            start = end
        }
    }

    private func encodeWord(
        _ text: [UInt8], _ range: Range<Int>, to output: inout [Int32], _ scratch: inout TokenizerScratch
    ) {
        if range.count > WordCache.longestKey {
            merge(text, range, to: &output, &scratch.chain)
            return
        }
        let hash = TokenTable.hash(text, range)
        if scratch.words.append(text, range, hash: hash, to: &output) { return }
        let first = output.count
        merge(text, range, to: &output, &scratch.chain)
        scratch.words.insert(text, range, hash: hash, ids: output[first...])
    }

    /// Symbols are ranges of the text.
    private struct Rule: MergeRule {
        let table: TokenTable
        let ranks: [UInt32]
        let text: [UInt8]

        func merge(_ left: MergeSymbol, _ right: MergeSymbol) -> (rank: UInt32, symbol: MergeSymbol)? {
            guard let id = table.id(of: text, Int(left.first)..<Int(right.second)) else { return nil }
            return (ranks[Int(id)], MergeSymbol(first: left.first, second: right.second))
        }
    }

    private func merge(
        _ text: [UInt8], _ range: Range<Int>, to output: inout [Int32], _ chain: inout SymbolChain
    ) {
        chain.removeAll()
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(start + UTF8Character.length(lead: text[start]), range.upperBound)
            chain.append(MergeSymbol(first: UInt32(start), second: UInt32(end)))
            start = end
        }
        chain.mergeAll(Rule(table: table, ranks: ranks, text: text))
        for symbol in chain.symbols {
            let range = Int(symbol.first)..<Int(symbol.second)
            if let id = table.id(of: text, range) {
                output.append(id)
            } else {
                for i in range where bytes[Int(text[i])] >= 0 { output.append(bytes[Int(text[i])]) }
            }
        }
    }
}
