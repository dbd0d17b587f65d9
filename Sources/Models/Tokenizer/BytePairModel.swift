/// What becomes of a character that is no token.
enum UnknownRule: Sendable, Equatable {
    /// It leaves no trace.
    case dropped
    /// It becomes this id; a run of them becomes one if `fused`.
    case id(Int32, fused: Bool)
}

/// A byte-pair encoding: a word's bytes or characters, joined by ranked merges.
struct BytePairModel: Sendable {
    /// What a word is taken apart into.
    enum Alphabet: Sendable {
        /// Bytes, each with its symbol; -1 where it has none. The table's tokens are then bytes too, not
        /// GPT-2's letters.
        case bytes([Int32])
        /// Characters, looked up in the table. `bytes`, 256 ids where the vocabulary has them, stand in for a
        /// character that is no token (SentencePiece's byte fallback).
        case characters(bytes: [Int32]?)
    }

    let table: TokenTable
    let merges: MergeTable
    let alphabet: Alphabet
    let unknown: UnknownRule
    /// A word that is a token is that token, however its merges run.
    let ignoresMerges: Bool
    /// What symbols above the table's ids become when they are left over: parts of merges that are no tokens.
    let leftovers: [[Int32]]
    /// Where a long text may be cut without changing its ids.
    let boundaries: WordBoundaries?

    init(
        table: TokenTable, merges: MergeTable, alphabet: Alphabet, unknown: UnknownRule = .dropped,
        ignoresMerges: Bool = false, leftovers: [[Int32]] = []
    ) {
        self.table = table
        self.merges = merges
        self.alphabet = alphabet
        self.unknown = unknown
        self.ignoresMerges = ignoresMerges
        self.leftovers = leftovers
        boundaries = Self.keepsCharacters(alphabet, unknown) ? WordBoundaries(table) : nil
    }

    /// Whether words are of characters each of which has a symbol, so that only neighbours in the text can
    /// merge.
    private static func keepsCharacters(_ alphabet: Alphabet, _ unknown: UnknownRule) -> Bool {
        guard case .characters(let bytes) = alphabet else { return false }
        return unknown != .dropped || bytes?.allSatisfy { $0 >= 0 } == true
    }

    /// Appends the ids of the piece `text[range]`, which no merge reaches out of.
    func encode(
        _ text: [UInt8], _ range: Range<Int>, to output: inout [Int32], _ scratch: inout TokenizerScratch
    ) {
        if ignoresMerges, let id = table.id(of: text, range) {
            output.append(id)
            return
        }
        guard let boundaries else {
            encodeWord(text, range, to: &output, &scratch)
            return
        }
        var start = range.lowerBound
        while start < range.upperBound {
            let end = boundaries.end(of: text, start..<range.upperBound)
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

    private struct Rule: MergeRule {
        let merges: MergeTable

        func merge(_ left: MergeSymbol, _ right: MergeSymbol) -> (rank: UInt32, symbol: MergeSymbol)? {
            guard let found = merges.find(Int32(bitPattern: left.first), Int32(bitPattern: right.first))
            else { return nil }
            return (found.rank, MergeSymbol(first: UInt32(bitPattern: found.result), second: 0))
        }
    }

    private func merge(
        _ text: [UInt8], _ range: Range<Int>, to output: inout [Int32], _ chain: inout SymbolChain
    ) {
        chain.removeAll()
        switch alphabet {
        case .bytes(let symbols): appendBytes(text, range, symbols, to: &chain)
        case .characters(let bytes): appendCharacters(text, range, bytes, to: &chain)
        }
        chain.mergeAll(Rule(merges: merges))
        for symbol in chain.symbols {
            let id = Int(symbol.first)
            if id < table.count { output.append(Int32(id)) } else { output += leftovers[id - table.count] }
        }
    }

    private func appendBytes(
        _ text: [UInt8], _ range: Range<Int>, _ symbols: [Int32], to chain: inout SymbolChain
    ) {
        var pending: Int32?
        for i in range {
            let id = symbols[Int(text[i])]
            if id >= 0 {
                chain.append(&pending, id)
            } else {
                chain.appendUnknown(&pending, unknown)
            }
        }
        chain.flush(&pending)
    }

    private func appendCharacters(
        _ text: [UInt8], _ range: Range<Int>, _ bytes: [Int32]?, to chain: inout SymbolChain
    ) {
        var pending: Int32?
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(start + UTF8Character.length(lead: text[start]), range.upperBound)
            if let id = table.id(of: text, start..<end) {
                chain.append(&pending, id)
            } else if let bytes, (start..<end).allSatisfy({ bytes[Int(text[$0])] >= 0 }) {
                // A pending unknown stays behind these, as in the tokenizers library.
                for i in start..<end { chain.append(MergeSymbol(id: bytes[Int(text[i])])) }
            } else {
                chain.appendUnknown(&pending, unknown)
            }
            start = end
        }
        chain.flush(&pending)
    }
}

extension MergeSymbol {
    init(id: Int32) { self.init(first: UInt32(bitPattern: id), second: 0) }
}

extension SymbolChain {
    /// Appends a pending unknown, then `id`.
    fileprivate mutating func append(_ pending: inout Int32?, _ id: Int32) {
        flush(&pending)
        append(MergeSymbol(id: id))
    }

    fileprivate mutating func appendUnknown(_ pending: inout Int32?, _ rule: UnknownRule) {
        guard case .id(let id, let fused) = rule else { return }
        if !fused { flush(&pending) }
        pending = id
    }

    fileprivate mutating func flush(_ pending: inout Int32?) {
        if let id = pending { append(MergeSymbol(id: id)) }
        pending = nil
    }
}
