import JSON

/// Makes a model of the `model` component of a tokenizer.json.
struct HuggingFaceModelReader {
    struct Made {
        var model: HuggingFaceTokenizer.Model
        var vocabulary: Vocabulary
    }

    /// The model's tokens.
    struct Vocabulary {
        /// By id; tokens are bytes if the model was made of bytes.
        var table: TokenTable
        /// How many there are, which is where the ids of added tokens go on.
        var count: Int
        /// Ids of tokens that are not spelled in the alphabet of bytes, which the table cannot find.
        var spelledPlainly: [[UInt8]: Int32] = [:]
        var isBytes = false

        /// The id of a token as the file spells it.
        func id(of content: [UInt8]) -> Int32? {
            guard isBytes else { return table.id(of: content) }
            guard let bytes = ByteAlphabet.decode(content) else { return spelledPlainly[content] }
            return table.id(of: bytes)
        }
    }

    private let fields: ComponentFields
    private let isUnigram: Bool

    init(_ fields: ComponentFields) throws(TokenizerError) {
        self.fields = fields
        // Old files do not name the type of a BPE.
        let type = try fields.optionalString("type") ?? (fields.optional("merges") == nil ? "" : "BPE")
        guard type == "BPE" || type == "Unigram" else {
            throw .unsupported(fields.place, "a model of type \(type); known are BPE and Unigram")
        }
        isUnigram = type == "Unigram"
    }

    /// Whether a piece's letters of the byte alphabet may as well be the bytes.
    var mayBeBytes: Bool { !isUnigram && fields.optional("byte_fallback")?.bool != true }

    /// - Parameter bytes: the pieces that the model will see are bytes, not their letters in GPT-2's
    ///   alphabet.
    func make(bytes: Bool) throws(TokenizerError) -> Made {
        isUnigram ? try makeUnigram() : try makeBytePair(bytes: bytes)
    }

    private func makeBytePair(bytes: Bool) throws(TokenizerError) -> Made {
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let text = try fields.optionalString(name), !text.isEmpty {
                throw .unsupported("\(fields.place).\(name)", "\"\(text)\"")
            }
        }
        if let dropout = fields.optional("dropout"), dropout.double != 0 {
            throw .unsupported("\(fields.place).dropout", "merges left out at random")
        }
        let vocabulary = try readVocabulary(bytes: bytes)
        var unknown = UnknownRule.dropped
        if let token = try fields.optionalString("unk_token") {
            guard let id = vocabulary.id(of: Array(token.utf8)) else {
                throw .invalid("\(fields.place).unk_token", "\"\(token)\" is not in the vocabulary")
            }
            unknown = .id(id, fused: try fields.bool("fuse_unk", default: false))
        }
        let merges = try readMerges(vocabulary.table, bytes: bytes)
        let alphabet: BytePairModel.Alphabet
        if bytes {
            alphabet = .bytes((0..<256).map { vocabulary.table.id(of: [UInt8($0)]) ?? -1 })
        } else {
            let fallsBack = try fields.bool("byte_fallback", default: false)
            alphabet = .characters(bytes: fallsBack ? Self.byteTokens(vocabulary.table) : nil)
        }
        let model = BytePairModel(
            table: vocabulary.table, merges: merges, alphabet: alphabet, unknown: unknown,
            ignoresMerges: try fields.bool("ignore_merges", default: false))
        return Made(model: .bytePair(model), vocabulary: vocabulary)
    }

    /// The ids of `<0x00>` to `<0xFF>`; -1 for those that are not there.
    private static func byteTokens(_ table: TokenTable) -> [Int32] {
        (0..<256).map { byte in
            let hex = String(byte, radix: 16, uppercase: true)
            return table.id(of: "<0x\(byte < 16 ? "0" : "")\(hex)>") ?? -1
        }
    }

    /// `{"token": id, …}`. Ids may have gaps, but no two tokens one id.
    private func readVocabulary(bytes: Bool) throws(TokenizerError) -> Vocabulary {
        let place = "\(fields.place).vocab"
        guard let members = try fields.required("vocab").object?.members else {
            throw .invalid(place, "it is not an object")
        }
        var order = [Int32](repeating: -1, count: members.count)
        for (i, member) in members.enumerated() {
            guard case .int(let id) = member.value, id >= 0, id < HuggingFaceReader.idLimit else {
                throw .invalid(
                    "\(place)[\"\(member.name)\"]", "it is not an id below \(HuggingFaceReader.idLimit)")
            }
            while order.count <= id { order += [Int32](repeating: -1, count: order.count + 1) }
            if order[Int(id)] >= 0 {
                let other = members[Int(order[Int(id)])].name
                throw .invalid(place, "\"\(other)\" and \"\(member.name)\" both have the id \(id)")
            }
            order[Int(id)] = Int32(i)
        }
        let size = (order.lastIndex { $0 >= 0 } ?? -1) + 1
        var vocabulary = Vocabulary(table: TokenTable(capacity: size), count: members.count, isBytes: bytes)
        var letters: [UInt8] = []
        for id in 0..<size {
            let index = Int(order[id])
            if index < 0 {
                vocabulary.table.append([], searchable: false)
                continue
            }
            let name = members[index].name
            letters.removeAll(keepingCapacity: true)
            let isSpelled = bytes && ByteAlphabet.decode(name.utf8, to: &letters)
            if bytes && !isSpelled { vocabulary.spelledPlainly[Array(name.utf8)] = Int32(id) }
            let other =
                isSpelled
                ? vocabulary.table.append(letters) : vocabulary.table.append(name.utf8, searchable: !bytes)
            if let other { throw .invalid(place, "\"\(name)\" is there twice, as \(other) and \(id)") }
        }
        return vocabulary
    }

    /// `["a b", …]` or `[["a", "b"], …]`.
    private func readMerges(_ table: TokenTable, bytes: Bool) throws(TokenizerError) -> MergeTable {
        let lines = try fields.array("merges")
        var merges = MergeTable(capacity: lines.count)
        var rank: UInt32 = 0
        var both: [UInt8] = []
        for (i, line) in lines.enumerated() {
            both.removeAll(keepingCapacity: true)
            var middle = 0
            let isSpelled: Bool
            if let text = line.string {
                if text.utf8.starts(with: "#version".utf8) { continue }
                guard let space = text.utf8.firstIndex(of: 0x20) else {
                    throw Self.malformed(fields.place, i)
                }
                let rest = text.utf8[text.utf8.index(after: space)...]
                if rest.contains(0x20) { throw Self.malformed(fields.place, i) }
                isSpelled = Self.append(text.utf8[..<space], rest, bytes, to: &both, &middle)
            } else if let pair = line.array, pair.count == 2, let left = pair[0].string,
                let right = pair[1].string
            {
                isSpelled = Self.append(left.utf8, right.utf8, bytes, to: &both, &middle)
            } else {
                throw Self.malformed(fields.place, i)
            }
            rank += 1
            // What is not of the alphabet of bytes, no text contains.
            guard isSpelled else { continue }
            guard let left = table.id(of: both, 0..<middle),
                let right = table.id(of: both, middle..<both.count),
                let result = table.id(of: both, 0..<both.count)
            else {
                throw .invalid(
                    "\(fields.place).merges[\(i)]", "its tokens or what they make are not in the vocabulary")
            }
            merges.insert(left: left, right: right, rank: rank, result: result, overwrites: true)
        }
        return merges
    }

    /// Appends the two tokens of a merge and says where the second begins; false if they are not of the
    /// alphabet.
    private static func append(
        _ left: some Collection<UInt8>, _ right: some Collection<UInt8>, _ bytes: Bool,
        to output: inout [UInt8],
        _ middle: inout Int
    ) -> Bool {
        if bytes {
            guard ByteAlphabet.decode(left, to: &output) else { return false }
            middle = output.count
            return ByteAlphabet.decode(right, to: &output)
        }
        output += left
        middle = output.count
        output += right
        return true
    }

    private static func malformed(_ place: String, _ index: Int) -> TokenizerError {
        .invalid("\(place).merges[\(index)]", "it is neither \"a b\" nor [\"a\", \"b\"]")
    }

    /// `[["token", score], …]`.
    private func makeUnigram() throws(TokenizerError) -> Made {
        let entries = try fields.array("vocab")
        var table = TokenTable(capacity: entries.count)
        var scores: [Double] = []
        for (i, entry) in entries.enumerated() {
            guard let pair = entry.array, pair.count == 2, let token = pair[0].string,
                let score = pair[1].double
            else {
                throw .invalid("\(fields.place).vocab[\(i)]", "it is not a token and its score")
            }
            if let other = table.append(token.utf8) {
                throw .invalid("\(fields.place).vocab", "\"\(token)\" is there twice, as \(other) and \(i)")
            }
            scores.append(score)
        }
        var unknown: Int32?
        if fields.optional("unk_id") != nil {
            let id = try fields.count("unk_id")
            guard id < entries.count else {
                throw .invalid("\(fields.place).unk_id", "\(id) is not below \(entries.count)")
            }
            unknown = Int32(id)
        }
        let fallsBack = try fields.bool("byte_fallback", default: false)
        let model = UnigramModel(
            tokens: table, scores: scores, unknown: unknown, bytes: fallsBack ? Self.byteTokens(table) : nil)
        return Made(model: .unigram(model), vocabulary: Vocabulary(table: table, count: entries.count))
    }
}
