/// Makes models of a GGUF file's vocabulary.
enum GGUFModelBuilder {
    static func bytePair(
        _ vocabulary: GGUFVocabulary, _ pre: GGUFPreTokenizer
    ) throws(TokenizerError) -> (model: GGUFTokenizer.Model, decoder: TokenDecoder) {
        var table = TokenTable(capacity: vocabulary.tokens.count)
        var overrides: [Int32: [UInt8]] = [:]
        var bytes: [UInt8] = []
        for (id, token) in vocabulary.tokens.enumerated() {
            bytes.removeAll(keepingCapacity: true)
            let isSpelled = ByteAlphabet.decode(token, to: &bytes)
            if let other = isSpelled ? table.append(bytes) : table.append(token, searchable: false) {
                throw duplicate(token, Int(other), id)
            }
            // Special and user-defined tokens are spelled in plain text.
            let kind = vocabulary.kinds[id]
            let isPlain = kind == .control || kind == .userDefined || kind == .unknown
            if isPlain && isSpelled && bytes != token { overrides[Int32(id)] = token }
        }
        let merges = try Merges(vocabulary, table)
        var split: [PreTokenizer] = []
        for expression in pre.expressions { split.append(try PreTokenizer.split(expression)) }
        let model = BytePairModel(
            table: table, merges: merges.table, alphabet: .bytes(merges.byteSymbols),
            ignoresMerges: pre.ignoresMerges,
            leftovers: merges.leftovers)
        let decoder = TokenDecoder(
            table: table, overrides: overrides, special: vocabulary.specialIDs,
            stages: [.byteLevel(fromAlphabet: false)])
        return (.bytePair(model, split: split), decoder)
    }

    private static func duplicate(_ token: [UInt8], _ first: Int, _ second: Int) -> TokenizerError {
        let text = String(decoding: token, as: UTF8.self)
        return .invalid(GGUFVocabulary.prefix + "tokens", "ids \(first) and \(second) are both \"\(text)\"")
    }

    /// Merges by symbols. Symbols are ids; bytes and parts of merges that are no tokens get symbols above all
    /// ids, because they too stand between their neighbours while those are merged.
    private struct Merges {
        private(set) var table: MergeTable
        private(set) var byteSymbols: [Int32] = []
        /// What each symbol above the ids becomes when it is left over.
        private(set) var leftovers: [[Int32]] = []
        private let tokens: TokenTable
        private var extra: [[UInt8]: Int32] = [:]

        init(_ vocabulary: GGUFVocabulary, _ tokens: TokenTable) throws(TokenizerError) {
            let key = GGUFVocabulary.prefix + "merges"
            guard vocabulary.metadata[key] != nil else { throw .missing(key) }
            guard let lines = vocabulary.metadata.strings(key) else {
                throw .invalid(key, "it is not an array of strings")
            }
            self.tokens = tokens
            table = MergeTable(capacity: lines.count)
            for byte in 0..<256 { byteSymbols.append(symbol([UInt8(byte)], 0..<1)) }
            var both: [UInt8] = []
            for (rank, line) in lines.enumerated() {
                guard let space = line.dropFirst().firstIndex(of: 0x20), space + 1 < line.count else {
                    throw .invalid(key, "element \(rank) is not two tokens with a space between them")
                }
                both.removeAll(keepingCapacity: true)
                // What is not of the alphabet, no text contains.
                guard ByteAlphabet.decode(line[..<space], to: &both) else { continue }
                let middle = both.count
                guard ByteAlphabet.decode(line[(space + 1)...], to: &both) else { continue }
                table.insert(
                    left: symbol(both, 0..<middle), right: symbol(both, middle..<both.count),
                    rank: UInt32(rank),
                    result: symbol(both, 0..<both.count), overwrites: false)
            }
        }

        private mutating func symbol(_ text: [UInt8], _ range: Range<Int>) -> Int32 {
            if let id = tokens.id(of: text, range) { return id }
            let bytes = Array(text[range])
            if let symbol = extra[bytes] { return symbol }
            let symbol = Int32(tokens.count + leftovers.count)
            extra[bytes] = symbol
            // llama.cpp takes it apart by the bytes of its spelling, of which only ASCII letters are tokens.
            leftovers.append(bytes.compactMap { (0x21...0x7E).contains($0) ? tokens.id(of: [$0]) : nil })
            return symbol
        }
    }

    static func sentencePiece(
        _ vocabulary: GGUFVocabulary, unknown: Int32?
    ) throws(TokenizerError) -> (model: GGUFTokenizer.Model, decoder: TokenDecoder) {
        var table = TokenTable(capacity: vocabulary.tokens.count)
        for (id, token) in vocabulary.tokens.enumerated() {
            if let other = table.append(token) { throw duplicate(token, Int(other), id) }
            if vocabulary.kinds[id] == .byte && DecoderRun.byte(of: token) == nil {
                let text = String(decoding: token, as: UTF8.self)
                throw .invalid(
                    GGUFVocabulary.prefix + "token_type", "id \(id) is a byte token, but it is \"\(text)\"")
            }
        }
        let scores = try vocabulary.scores()
        var bytes: [Int32] = []
        for byte in 0..<256 {
            let hex = String(byte, radix: 16, uppercase: true)
            let name = "<0x\(byte < 16 ? "0" : "")\(hex)>"
            guard let id = table.id(of: name) ?? table.id(of: [UInt8(byte)]) ?? unknown else {
                throw .missing(
                    "\(GGUFVocabulary.prefix)tokens: the byte token \(name), and unknown_token_id,")
            }
            bytes.append(id)
        }
        let addsSpace = try vocabulary.bool("add_space_prefix") ?? true
        var stages: [DecoderStage] = [.replace(.literal(WordBoundaries.mark), [0x20]), .byteFallback, .fuse]
        if addsSpace { stages.append(.strip(content: [0x20], start: 1, stop: 0)) }
        let model = ScoreMergeModel(table: table, ranks: ScoreMergeModel.ranks(of: scores), bytes: bytes)
        let decoder = TokenDecoder(
            table: table, overrides: [:], special: vocabulary.specialIDs, stages: stages)
        return (.sentencePiece(model, addsSpace: addsSpace), decoder)
    }
}
