import Models
import Testing

/// Ids that arrive one at a time.
@Suite struct TokenizerStreamTests {
    static func stream(_ tokenizer: any Tokenizer, _ ids: [Int32]) -> [String] {
        var decoder = tokenizer.makeStreamDecoder(skipSpecial: false)
        return ids.map { decoder.push($0) } + [decoder.finish()]
    }

    @Test func charactersComeWhole() throws {
        let tokenizer = try SampleVocabulary.bytePair(merges: []).tokenizer()
        let ids = Array("é한🚀a".utf8).map { Int32($0) }
        #expect(Self.stream(tokenizer, ids) == ["", "é", "", "", "한", "", "", "", "🚀", "a", ""])
        // Cut off, and broken off.
        #expect(Self.stream(tokenizer, [0xF0, 0x9F]) == ["", "", "\u{FFFD}"])
        #expect(Self.stream(tokenizer, [0xE2, 0x28, 0xA1]) == ["", "\u{FFFD}(", "\u{FFFD}", ""])
    }

    @Test func bytesOfARunStandOrFallTogether() throws {
        let sample = SampleVocabulary.sentencePiece(["▁", "a"])
        let tokenizer = try sample.tokenizer()
        let whole = sample.ids("<0xC3>", "<0xA9>", "a")
        #expect(Self.stream(tokenizer, whole) == ["", "", "éa", ""])
        // One bad byte spoils the good letter before it, as in the original decoder; the bytes themselves stay.
        let broken = sample.ids("<0x41>", "<0xC3>", "a")
        #expect(Self.stream(tokenizer, broken).joined() == "\u{FFFD}\u{FFFD}a")
        #expect(tokenizer.decode(broken, skipSpecial: false) == "\u{FFFD}\u{FFFD}a")
        #expect(tokenizer.decodeBytes(broken, skipSpecial: false) == [0x41, 0xC3, 0x61])
        #expect(tokenizer.bytes(of: broken[1]) == [0xC3])
    }

    @Test(arguments: 1...20)
    func partsMakeTheWhole(_ seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let samples = [
            SampleVocabulary.bytePair(merges: ["Ã ©", "í ķ"], special: ["<s>"]),
            SampleVocabulary.sentencePiece(["▁", "a", "▁a", "한"], userDefined: ["  "]),
        ]
        for sample in samples {
            let tokenizer = try sample.tokenizer()
            for _ in 0..<50 {
                let ids = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                    Int32.random(in: -1...Int32(tokenizer.vocabularySize), using: &random)
                }
                for skipping in [false, true] {
                    var decoder = tokenizer.makeStreamDecoder(skipSpecial: skipping)
                    let parts = ids.map { decoder.push($0) } + [decoder.finish()]
                    let whole = tokenizer.decode(ids, skipSpecial: skipping)
                    #expect(Array(parts.joined().utf8) == Array(whole.utf8), "\(ids)")
                }
            }
        }
    }
}
