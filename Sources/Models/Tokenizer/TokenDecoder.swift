/// One step from tokens to text, as the tokenizers library's decoders define them
/// (https://github.com/huggingface/tokenizers/tree/main/tokenizers/src/decoders). Each takes a list of tokens
/// and gives another.
enum DecoderStage: Sendable {
    /// In each token, matches of the pattern become these bytes.
    case replace(TextPattern, [UInt8])
    /// A run of tokens `<0xHH>` becomes the text of those bytes, or U+FFFD for each if they are not UTF-8.
    case byteFallback
    /// All tokens become one.
    case fuse
    /// Takes up to so many `content` off the beginning and the end of each token.
    case strip(content: [UInt8], start: Int, stop: Int)
    /// In each token the mark becomes a space, in the first nothing if `dropsFirst`.
    case metaspace(mark: [UInt8], dropsFirst: Bool)
    /// All tokens become one, whose bytes they spell in GPT-2's alphabet, unless the pieces are those bytes
    /// already.
    case byteLevel(fromAlphabet: Bool)
    /// The suffix that ends a word becomes a space, in the last token nothing.
    case wordSuffix([UInt8])
    /// Tokens are separated by a space: what happens without any decoder.
    case separate
}

/// Turns ids into bytes and text.
struct TokenDecoder: Sendable {
    /// What the model and the special tokens call their ids.
    let table: TokenTable
    /// Pieces that differ from the table's, or lie behind its end.
    let overrides: [Int32: [UInt8]]
    /// Left out of the text where special tokens are.
    let special: Set<Int32>
    let stages: [DecoderStage]

    /// What the decoder's first stage sees of `id`; nil for ids that do not exist.
    func piece(_ id: Int32) -> [UInt8]? {
        if let piece = overrides[id] { return piece }
        return id >= 0 && id < table.count ? Array(table[Int(id)]) : nil
    }

    /// All ids at once. With `repairs`, the bytes are what `decode` makes a string of.
    func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool, repairs: Bool) -> [UInt8] {
        var run = DecoderRun(self, repairs: repairs, continuing: false)
        var bytes: [UInt8] = []
        for id in ids { run.push(id, skipSpecial: skipSpecial, to: &bytes) }
        run.finish(to: &bytes)
        return bytes
    }

    /// The text of `id` in the middle of others.
    func bytes(of id: Int32) -> [UInt8] {
        guard var token = piece(id) else { return [] }
        for (i, stage) in stages.enumerated() {
            switch stage {
            case .replace(let pattern, let content): token = pattern.replace(in: token, with: content)
            case .byteFallback: if let byte = DecoderRun.byte(of: token) { return [byte] }
            case .strip(let content, let start, let stop):
                if !fuses(before: i) { token = DecoderRun.strip(token, content, start, stop) }
            case .metaspace(let mark, _): token = TextPattern.literal(mark).replace(in: token, with: [0x20])
            case .byteLevel(let fromAlphabet): if fromAlphabet { token = ByteAlphabet.decode(token) ?? token }
            case .wordSuffix(let suffix): token = TextPattern.literal(suffix).replace(in: token, with: [0x20])
            case .fuse, .separate: break
            }
        }
        return token
    }

    /// Whether all tokens are one by the time they reach stage `index`.
    func fuses(before index: Int) -> Bool {
        stages[..<index].contains {
            switch $0 {
            case .fuse, .byteLevel: true
            default: false
            }
        }
    }
}

/// The stream decoder of every tokenizer here.
struct TokenStreamDecoder: StreamDecoder {
    private var run: DecoderRun
    private let skipSpecial: Bool
    /// Bytes that may be the beginning of a character.
    private var pending: [UInt8] = []

    init(_ decoder: TokenDecoder, skipSpecial: Bool, continuing: Bool) {
        run = DecoderRun(decoder, repairs: true, continuing: continuing)
        self.skipSpecial = skipSpecial
    }

    mutating func push(_ id: Int32) -> String {
        run.push(id, skipSpecial: skipSpecial, to: &pending)
        return settled()
    }

    mutating func finish() -> String {
        run.finish(to: &pending)
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    private mutating func settled() -> String {
        let count = pending.count - UTF8Character.incompleteTail(of: pending)
        if count == 0 { return "" }
        let text = String(decoding: pending[..<count], as: UTF8.self)
        pending.removeFirst(count)
        return text
    }
}
