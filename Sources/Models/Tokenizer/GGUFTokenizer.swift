/// A tokenizer as GGUF files hold it, exact to llama.cpp's
/// (https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp) in its ids, and to the original
/// tokenizers in the text of ids.
struct GGUFTokenizer: Tokenizer {
    enum Model: Sendable {
        /// Byte-level merges within pieces.
        case bytePair(BytePairModel, split: [PreTokenizer])
        /// SentencePiece. With `addsSpace`, text behind a special token or at the beginning gets a space.
        case sentencePiece(ScoreMergeModel, addsSpace: Bool)
    }

    let special: SpecialTokens
    private let model: Model
    private let partition: SpecialPartition
    private let decoder: TokenDecoder
    /// Put after a text.
    private let suffix: [Int32]
    private let scratches = TokenizerScratchPool()

    var vocabularySize: Int { decoder.table.count }

    init(_ metadata: GGUFMetadata) throws(TokenizerError) {
        let key = GGUFVocabulary.prefix + "model"
        guard let kind = metadata.string(key) else { throw .missing(key) }
        let vocabulary = try GGUFVocabulary(metadata)
        partition = vocabulary.partition()
        switch kind {
        case "gpt2":
            let pre = try Self.preTokenizer(metadata)
            special = try vocabulary.special(addsBOS: pre.addsBOS, nil)
            let made = try GGUFModelBuilder.bytePair(vocabulary, pre)
            model = made.model
            decoder = made.decoder
        case "llama":
            special = try vocabulary.special(addsBOS: true, (bos: 1, eos: 2, unknown: 0))
            let made = try GGUFModelBuilder.sentencePiece(vocabulary, unknown: special.unknown)
            model = made.model
            decoder = made.decoder
        default: throw .unsupported(key, "the tokenizer model \(kind); known are gpt2 and llama")
        }
        if try vocabulary.bool("add_eos_token") ?? false {
            guard let eos = special.eos else {
                throw .missing(GGUFVocabulary.prefix + "eos_token_id (add_eos_token is true)")
            }
            suffix = [eos]
        } else {
            suffix = []
        }
    }

    private static func preTokenizer(_ metadata: GGUFMetadata) throws(TokenizerError) -> GGUFPreTokenizer {
        let key = GGUFVocabulary.prefix + "pre"
        let name = metadata[key] == nil ? "default" : metadata.string(key) ?? ""
        guard let pre = GGUFPreTokenizer.named(name) else {
            let known = GGUFPreTokenizer.knownNames.joined(separator: ", ")
            throw .unsupported(key, "the pre-tokenizer \(name); known are \(known)")
        }
        return pre
    }

    func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [Int32] {
        let bytes = Array(text.utf8)
        return scratches.withScratch { scratch in
            var output: [Int32] = []
            output.reserveCapacity(bytes.count / 4 + 4)
            if addSpecial, special.addsBOS, let bos = special.bos { output.append(bos) }
            var atStart = true
            for part in partition.parts(of: bytes, parseSpecial: parseSpecial) {
                switch part {
                case .token(let id):
                    output.append(id)
                    atStart = true
                case .text(let range):
                    encode(bytes, range, atStart: atStart, to: &output, &scratch)
                    atStart = false
                }
            }
            if addSpecial { output += suffix }
            return output
        }
    }

    private func encode(
        _ text: [UInt8], _ range: Range<Int>, atStart: Bool, to output: inout [Int32],
        _ scratch: inout TokenizerScratch
    ) {
        switch model {
        case .bytePair(let model, let split):
            var pieces = SplitText(range.count == text.count ? text : Array(text[range]), isFirst: false)
            for step in split { pieces.apply(step, scratch.matcher) }
            for piece in pieces.pieces { model.encode(pieces.text, piece, to: &output, &scratch) }
        case .sentencePiece(let model, let addsSpace):
            var escaped: [UInt8] = []
            escaped.reserveCapacity(range.count + range.count / 2)
            if addsSpace && atStart { escaped += WordBoundaries.mark }
            for byte in text[range] {
                if byte == 0x20 { escaped += WordBoundaries.mark } else { escaped.append(byte) }
            }
            model.encode(escaped, to: &output, &scratch)
        }
    }

    func decodeBytes(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> [UInt8] {
        decoder.decode(ids, skipSpecial: skipSpecial, repairs: false)
    }

    func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> String {
        String(decoding: decoder.decode(ids, skipSpecial: skipSpecial, repairs: true), as: UTF8.self)
    }

    func bytes(of id: Int32) -> [UInt8] { decoder.bytes(of: id) }

    func makeStreamDecoder(skipSpecial: Bool) -> any StreamDecoder {
        makeStreamDecoder(skipSpecial: skipSpecial, continuing: false)
    }

    func makeStreamDecoder(skipSpecial: Bool, continuing: Bool) -> any StreamDecoder {
        TokenStreamDecoder(decoder, skipSpecial: skipSpecial, continuing: continuing)
    }
}
