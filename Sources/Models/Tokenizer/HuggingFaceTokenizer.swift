import JSON

/// A tokenizer as a tokenizer.json describes it, exact to the tokenizers library
/// (https://github.com/huggingface/tokenizers): added tokens, normalizer, pre-tokenizer, model, template,
/// decoder.
struct HuggingFaceTokenizer: Tokenizer {
    enum Model: Sendable {
        case bytePair(BytePairModel)
        case unigram(UnigramModel)
    }

    let special: SpecialTokens
    let vocabularySize: Int
    let added: AddedTokens
    let normalizers: [Normalizer]
    let preTokenizers: [PreTokenizer]
    let model: Model
    /// Put before and after a text.
    let template: TextTemplate
    let decoder: TokenDecoder
    /// It matters to a pre-tokenizer whether a piece begins where the text does.
    private let prefixesFirst: Bool
    private let scratches = TokenizerScratchPool()

    init(
        special: SpecialTokens, vocabularySize: Int, added: AddedTokens, normalizers: [Normalizer],
        preTokenizers: [PreTokenizer], model: Model, template: TextTemplate, decoder: TokenDecoder
    ) {
        self.special = special
        self.vocabularySize = vocabularySize
        self.added = added
        self.normalizers = normalizers
        self.preTokenizers = preTokenizers
        self.model = model
        self.template = template
        self.decoder = decoder
        prefixesFirst = preTokenizers.contains {
            if case .prefix(_, firstOnly: true) = $0 { true } else { false }
        }
    }

    func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [Int32] {
        let bytes = Array(text.utf8)
        return scratches.withScratch { scratch in
            var output = addSpecial ? template.before : []
            output.reserveCapacity(bytes.count / 4 + 4)
            for part in added.parts(of: bytes, .written, parseSpecial: parseSpecial) {
                switch part {
                case .token(let id): output.append(id)
                case .text(let range):
                    var segment = range.count == bytes.count ? bytes : Array(bytes[range])
                    var isFirst = range.lowerBound == 0
                    for step in normalizers {
                        if isFirst && prefixesFirst {
                            isFirst = !step.dropsBeginning(of: segment, scratch.matcher)
                        }
                        segment = step.apply(to: segment, scratch.matcher)
                    }
                    encode(segment, isFirst, parseSpecial, to: &output, &scratch)
                }
            }
            if addSpecial { output += template.after }
            return output
        }
    }

    /// Encodes normalized text.
    private func encode(
        _ text: [UInt8], _ isFirst: Bool, _ parseSpecial: Bool, to output: inout [Int32],
        _ scratch: inout TokenizerScratch
    ) {
        for part in added.parts(of: text, .normalized, parseSpecial: parseSpecial) {
            switch part {
            case .token(let id): output.append(id)
            case .text(let range):
                let segment = range.count == text.count ? text : Array(text[range])
                var pieces = SplitText(segment, isFirst: isFirst && range.lowerBound == 0)
                for step in preTokenizers { pieces.apply(step, scratch.matcher) }
                for piece in pieces.pieces {
                    switch model {
                    case .bytePair(let model): model.encode(pieces.text, piece, to: &output, &scratch)
                    case .unigram(let model): model.encode(pieces.text, piece, to: &output)
                    }
                }
            }
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
