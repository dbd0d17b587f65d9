import Glibc
import Models

/// A tokenizer whose tokens are given: byte strings, matched longest first. The last ids are special: `<s>`,
/// `</s>`, `<end>`. Decoding drops one space at the beginning of a text.
struct ToyTokenizer: Tokenizer {
    let pieces: [[UInt8]]
    let addsBOS: Bool

    static let specials = ["<s>", "</s>", "<end>"]

    init(_ pieces: [[UInt8]], addsBOS: Bool = false) {
        self.pieces = pieces + Self.specials.map { Array($0.utf8) }
        self.addsBOS = addsBOS
    }

    init(_ pieces: [String], addsBOS: Bool = false) {
        self.init(pieces.map { Array($0.utf8) }, addsBOS: addsBOS)
    }

    /// All single bytes, then some words.
    static let bytesAndWords = ToyTokenizer(
        (0...255).map { [$0] }
            + ["foo", " foo", "bar", " bar", "foobar", "Hello", " world"].map { Array($0.utf8) },
        addsBOS: true)

    var vocabularySize: Int { pieces.count }
    var firstSpecial: Int { pieces.count - Self.specials.count }
    var bos: Int32 { Int32(firstSpecial) }
    var eos: Int32 { Int32(firstSpecial + 1) }
    var special: SpecialTokens {
        SpecialTokens(bos: bos, eos: eos, ends: [eos, eos + 1], addsBOS: addsBOS)
    }

    func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [Int32] {
        let bytes = Array(text.utf8)
        var result: [Int32] = addSpecial && addsBOS ? [bos] : []
        var at = 0
        while at < bytes.count {
            let fitting = pieces.indices.filter { i in
                (parseSpecial || i < firstSpecial) && !pieces[i].isEmpty
                    && bytes[at...].starts(with: pieces[i])
            }
            guard let best = fitting.max(by: { pieces[$0].count < pieces[$1].count }) else { return result }
            result.append(Int32(best))
            at += pieces[best].count
        }
        return result
    }

    func decodeBytes(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> [UInt8] {
        ids.flatMap { skipSpecial && Int($0) >= firstSpecial ? [] : pieces[Int($0)] }
    }

    func bytes(of id: Int32) -> [UInt8] { pieces[Int(id)] }

    func makeStreamDecoder(skipSpecial: Bool) -> any StreamDecoder {
        makeStreamDecoder(skipSpecial: skipSpecial, continuing: false)
    }

    func makeStreamDecoder(skipSpecial: Bool, continuing: Bool) -> any StreamDecoder {
        Decoder(tokenizer: self, skipSpecial: skipSpecial, begins: !continuing)
    }

    struct Decoder: StreamDecoder {
        let tokenizer: ToyTokenizer
        let skipSpecial: Bool
        var begins: Bool
        var pending: [UInt8] = []

        mutating func push(_ id: Int32) -> String {
            var bytes = tokenizer.decodeBytes([id], skipSpecial: skipSpecial)[...]
            if begins, bytes.first == UInt8(ascii: " ") { bytes.removeFirst() }
            begins = begins && bytes.isEmpty
            pending += bytes
            // The last character is held back while it may go on: a lead byte and fewer continuations than it
            // wants.
            var open = 0
            for back in 1...4 where back <= pending.count {
                let byte = pending[pending.count - back]
                if byte & 0xC0 == 0x80 { continue }
                let wanted = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
                if wanted > back { open = back }
                break
            }
            let certain = pending.dropLast(open)
            pending = Array(pending.suffix(open))
            return String(decoding: certain, as: UTF8.self)
        }

        mutating func finish() -> String {
            defer { pending = [] }
            return String(decoding: pending, as: UTF8.self)
        }
    }
}

/// A generator of test data: SplitMix64.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Normally distributed, by Box and Muller's method.
    mutating func normal() -> Double {
        let u = Double.random(in: 0x1p-53...1, using: &self)
        let v = Double.random(in: 0..<1, using: &self)
        return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
    }
}
