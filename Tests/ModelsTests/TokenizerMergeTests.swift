import Models
import Testing

/// The fast paths of merging against the definition, and against time.
@Suite struct TokenizerMergeTests {
    /// Merges as the definition says: the best pair, leftmost, until none is left.
    static func byDefinition(_ text: String, _ ranks: [[String]: Int]) -> [String] {
        var symbols = text.utf8.map { SampleVocabulary.letters[Int($0)] }
        while true {
            let pairs = symbols.indices.dropLast().compactMap { at in
                ranks[[symbols[at], symbols[at + 1]]].map { (rank: $0, at: at) }
            }
            guard let best = pairs.min(by: { ($0.rank, $0.at) < ($1.rank, $1.at) }) else { return symbols }
            symbols[best.at] += symbols.remove(at: best.at + 1)
        }
    }

    @Test(arguments: 1...12)
    func equalsTheDefinition(_ seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let alphabet = ["a", "b", "c"]
        var parts = alphabet
        var merges: [String] = []
        while merges.count < 60 {
            let pair = "\(parts.randomElement(using: &random)!) \(parts.randomElement(using: &random)!)"
            if merges.contains(pair) || pair.count > 12 { continue }
            merges.append(pair)
            parts.append(pair.split(separator: " ").joined())
        }
        let sample = SampleVocabulary.bytePair(merges: merges)
        let tokenizer = try sample.tokenizer()
        var ranks: [[String]: Int] = [:]
        for (rank, merge) in merges.enumerated() { ranks[merge.split(separator: " ").map(String.init)] = rank }
        for length in [1, 2, 23, 24, 25, 26, 63, 64, 65, 200] {
            let text = (0..<length).map { _ in alphabet.randomElement(using: &random)! }.joined()
            let expected = Self.byDefinition(text, ranks).map(sample.id)
            let ids = tokenizer.encode(text, parseSpecial: true, addSpecial: false)
            #expect(ids == expected, "\(length) letters")
            // Once more, now that the word may be remembered.
            #expect(tokenizer.encode(text, parseSpecial: true, addSpecial: false) == expected)
        }
    }

    @Test(arguments: ["a", " ", "\n", "한", "\0", "é", "<", "a "])
    func aLongTextOfOneLetterDoesNotTakeForever(_ letter: String) throws {
        let text = String(repeating: letter, count: 200_000 / letter.utf8.count)
        let bytePair = SampleVocabulary.bytePair(merges: ["a a", "aa aa", "Ġ Ġ", "ĠĠ ĠĠ"], special: ["<x>"])
        let sentencePiece = SampleVocabulary.sentencePiece(
            ["▁", "a", "aa", "aaaa", "▁▁"], userDefined: ["  ", "    ", "<<"])
        for sample in [bytePair, sentencePiece] {
            let tokenizer = try sample.tokenizer()
            let ids = tokenizer.encode(text, parseSpecial: true, addSpecial: false)
            let decoded = tokenizer.decode(ids, skipSpecial: false)
            // A leading space goes where the text begins with a user-defined token of spaces, as in llama.cpp.
            #expect(decoded == text || (letter == " " && decoded == text.dropFirst()))
        }
    }

    @Test func threadsDoNotDisturbEachOther() async throws {
        let sample = SampleVocabulary.bytePair(merges: TokenizerGGUFTests.words, special: ["<s>"])
        let tokenizer = try sample.tokenizer()
        let texts = (0..<50).map { "hello world\(String(repeating: " hell", count: $0))<s>\($0)" }
        let expected = texts.map { tokenizer.encode($0, parseSpecial: true, addSpecial: true) }
        await withTaskGroup(of: Bool.self) { group in
            for offset in 0..<16 {
                group.addTask {
                    (0..<200).allSatisfy { round in
                        let at = (round * 7 + offset) % texts.count
                        return tokenizer.encode(texts[at], parseSpecial: true, addSpecial: true) == expected[at]
                    }
                }
            }
            for await agreed in group { #expect(agreed) }
        }
    }
}

/// https://prng.di.unimi.it/splitmix64.c
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
