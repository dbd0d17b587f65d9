/// Turns text into token ids and back, exactly as the checkpoint's authors do. Immutable, so safe from any
/// thread.
package protocol Tokenizer: Sendable {
    /// Number of ids; every id is below it.
    var vocabularySize: Int { get }
    var special: SpecialTokens { get }

    /// - Parameters:
    ///   - parseSpecial: special (control) tokens spelled out in the text become their ids; false treats
    ///     their spelling as ordinary text.
    ///   - addSpecial: put what the tokenizer puts around a text (BOS, where it does).
    func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [Int32]

    /// The bytes of the ids as a whole text. Bytes that are not UTF-8 stay as they are; `decode` repairs
    /// them.
    func decodeBytes(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> [UInt8]

    /// The text of the ids; bytes that are not UTF-8 become U+FFFD, as many as the tokenizer's own decoder
    /// makes of them.
    func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> String

    /// The text that token `id` stands for by itself, for logprobs; may be part of a character.
    func bytes(of id: Int32) -> [UInt8]

    /// A decoder for ids that arrive one at a time and begin a text.
    func makeStreamDecoder(skipSpecial: Bool) -> any StreamDecoder

    /// A decoder for ids that arrive one at a time.
    /// - Parameter continuing: the ids go on from earlier text, so nothing is taken away that only the
    ///   beginning of a text loses (the space that SentencePiece puts there).
    func makeStreamDecoder(skipSpecial: Bool, continuing: Bool) -> any StreamDecoder
}

extension Tokenizer {
    /// `decodeBytes` as a string.
    package func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> String {
        String(decoding: decodeBytes(ids, skipSpecial: skipSpecial), as: UTF8.self)
    }

    /// The same whether they begin a text or go on, as for tokenizers without a leading space of their own.
    package func makeStreamDecoder(skipSpecial: Bool, continuing: Bool) -> any StreamDecoder {
        makeStreamDecoder(skipSpecial: skipSpecial)
    }
}

/// Detokenizes ids as they arrive; never splits a UTF-8 character. What `push` and then `finish` return,
/// concatenated, equals `Tokenizer.decode` of the same ids.
package protocol StreamDecoder {
    /// Text that is certain now; empty while a character is incomplete.
    mutating func push(_ id: Int32) -> String
    /// What is left, invalid bytes replaced.
    mutating func finish() -> String
}

package struct SpecialTokens: Sendable, Equatable {
    package var bos: Int32?
    /// Ids that end a sequence: EOS and, where the checkpoint names them, end-of-turn tokens.
    package var ends: [Int32]
    package var eos: Int32?
    package var padding: Int32?
    package var unknown: Int32?
    /// `encode(addSpecial: true)` puts BOS first.
    package var addsBOS: Bool

    package init(
        bos: Int32? = nil, eos: Int32? = nil, ends: [Int32] = [], padding: Int32? = nil,
        unknown: Int32? = nil,
        addsBOS: Bool = false
    ) {
        self.bos = bos
        self.eos = eos
        self.ends = ends
        self.padding = padding
        self.unknown = unknown
        self.addsBOS = addsBOS
    }
}
