import Models
import Testing

/// Tokenizers of GGUF metadata, against what llama.cpp's rules give for vocabularies small enough to work out.
@Suite struct TokenizerGGUFTests {
    static let words = [
        "h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d", "Ġwor ld", "Ġ h", "Ġh e", "Ã ©",
    ]

    @Test func mergesInOrderOfRank() throws {
        let sample = SampleVocabulary.bytePair(merges: Self.words)
        let tokenizer = try sample.tokenizer()
        func encode(_ text: String) -> [Int32] { tokenizer.encode(text, parseSpecial: true, addSpecial: true) }
        #expect(encode("hello world") == sample.ids("hello", "Ġworld"))
        // "h e" goes before "Ġ h", so "Ġhe" is never made.
        #expect(encode(" hell") == sample.ids("Ġ", "hell"))
        #expect(encode("é") == sample.ids("Ã©"))
        #expect(encode("") == [])
        #expect(encode("\0\n") == [0, 10])
        #expect(tokenizer.vocabularySize == 256 + Self.words.count)
    }

    @Test func canonicallyEqualTextsDiffer() throws {
        let sample = SampleVocabulary.bytePair(merges: Self.words)
        let tokenizer = try sample.tokenizer()
        let decomposed = tokenizer.encode("e\u{301}", parseSpecial: true, addSpecial: false)
        #expect(decomposed == [0x65, 0xCC, 0x81])
    }

    @Test func aPieceThatIsATokenNeedsNoMerges() throws {
        var sample = SampleVocabulary.bytePair(merges: ["b c"], special: ["<|begin|>"], pre: "llama-bpe")
        guard case .strings(var tokens)? = sample["tokens"] else { return }
        tokens[0x21] = Array("abc".utf8)  // Takes the place of "!".
        sample["tokens"] = .strings(tokens)
        sample["bos_token_id"] = .int(257)
        let tokenizer = try sample.tokenizer()
        #expect(tokenizer.encode("abc", parseSpecial: true, addSpecial: true) == [257, 0x21])
        #expect(tokenizer.encode("abcd", parseSpecial: true, addSpecial: false) == [0x61, 256, 0x64])
    }

    @Test func bytesWithoutATokenVanishButKeepNeighboursApart() throws {
        let sample = SampleVocabulary.bytePair(merges: ["! !"], without: [4])
        let tokenizer = try sample.tokenizer()
        #expect(tokenizer.encode("!\u{4}!", parseSpecial: true, addSpecial: false) == [0x21, 0x21])
        #expect(tokenizer.encode("!!\u{4}", parseSpecial: true, addSpecial: false) == [256])
    }

    @Test func specialTokensTakeTheirPlacesLongestFirst() throws {
        let sample = SampleVocabulary.bytePair(
            merges: [], special: ["<a>", "<a><b>", "b><c>"], userDefined: ["<u>"])
        let tokenizer = try sample.tokenizer()
        func encode(_ text: String, _ special: Bool) -> [Int32] {
            tokenizer.encode(text, parseSpecial: special, addSpecial: false)
        }
        #expect(encode("<a><b><c>", true) == sample.ids("<a><b>", "<", "c", ">"))
        #expect(encode("<a><a><u>", true) == sample.ids("<a>", "<a>", "<u>"))
        // What overlaps a longer token's place is not found; a shorter one that fits beside it is.
        #expect(encode("<a>b><c>", true) == sample.ids("<a>", "b><c>"))
        #expect(encode("<a><u>", false) == sample.ids("<", "a", ">", "<u>"))
    }

    @Test func phi3TokensTakeTheSpaceBehindThem() throws {
        var sample = SampleVocabulary.sentencePiece(["▁", "a", "▁a"], userDefined: ["<|end|>"])
        var values = sample.metadata.values
        values["general.name"] = SampleVocabulary.text("Phi-3 mini")
        let tokenizer = try TokenizerLoader.make(gguf: GGUFMetadata(values))
        let ids = tokenizer.encode("<|end|> \n a", parseSpecial: true, addSpecial: false)
        #expect(ids == sample.ids("<|end|>", "▁a"))
        sample["add_space_prefix"] = .bool(false)
        let other = try sample.tokenizer().encode("<|end|> a", parseSpecial: true, addSpecial: false)
        #expect(other == sample.ids("<|end|>", "▁a"))
    }

    @Test func sentencePieceMergesByScore() throws {
        let sample = SampleVocabulary.sentencePiece(["▁", "a", "b", "ab", "▁a", "ba", "▁ab", "bab"])
        let tokenizer = try sample.tokenizer()
        func encode(_ text: String) -> [Int32] { tokenizer.encode(text, parseSpecial: true, addSpecial: false) }
        // "ab" scores better than "▁a" and "ba".
        #expect(encode("ab") == sample.ids("▁ab"))
        #expect(encode("abab") == sample.ids("▁ab", "ab"))
        #expect(encode("bab") == sample.ids("▁", "bab"))
        #expect(encode("é") == sample.ids("▁", "<0xC3>", "<0xA9>"))
        #expect(encode("<s>ab</s>ab") == sample.ids("<s>", "▁ab", "</s>", "▁ab"))
        #expect(tokenizer.encode("ab", parseSpecial: true, addSpecial: true) == sample.ids("<s>", "▁ab"))
    }

    @Test func theSpaceInFrontIsForBeginningsAndGoesWhenDecoding() throws {
        var sample = SampleVocabulary.sentencePiece(["▁", "a", "b", "▁a", "▁b"])
        let tokenizer = try sample.tokenizer()
        let ids = sample.ids("▁a", "▁b")
        #expect(tokenizer.decode(ids, skipSpecial: true) == "a b")
        #expect(tokenizer.decode(sample.ids("<s>") + ids, skipSpecial: true) == "a b")
        #expect(tokenizer.decode(sample.ids("<s>") + ids, skipSpecial: false) == "<s> a b")
        #expect(tokenizer.bytes(of: ids[0]) == Array(" a".utf8))
        var continuing = tokenizer.makeStreamDecoder(skipSpecial: true, continuing: true)
        #expect(continuing.push(ids[0]) + continuing.push(ids[1]) + continuing.finish() == " a b")
        sample["add_space_prefix"] = .bool(false)
        let bare = try sample.tokenizer()
        #expect(bare.encode("a b", parseSpecial: true, addSpecial: false) == sample.ids("a", "▁b"))
        #expect(bare.decode(ids, skipSpecial: true) == " a b")
    }

    @Test func userDefinedSpacesAreFoundBeforeTheModelSeesThem() throws {
        var sample = SampleVocabulary.sentencePiece(["▁", "a", "▁a", "▁▁"], userDefined: ["   ", "<h1>"])
        sample["add_space_prefix"] = .bool(false)
        let tokenizer = try sample.tokenizer()
        let ids = tokenizer.encode("a    a<h1>", parseSpecial: false, addSpecial: false)
        #expect(ids == sample.ids("a", "   ", "▁a", "<h1>"))
        #expect(tokenizer.decode(ids, skipSpecial: true) == "a    a<h1>")
    }

    @Test func endsAreNamedByKeysAndByTokens() throws {
        var sample = SampleVocabulary.bytePair(
            merges: [], special: ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<x>"], userDefined: ["<|eot_id|>"])
        sample["eos_token_id"] = .int(258)
        sample["eot_token_id"] = .int(259)
        sample["padding_token_id"] = .int(256)
        let special = try sample.tokenizer().special
        #expect(special.eos == 258)
        #expect(special.ends == [258, 259, 256, 260])
        #expect(special.padding == 256)
        #expect(special.bos == nil)
        #expect(!special.addsBOS)
    }

    @Test func eosIsAddedWhereTheFileSaysSo() throws {
        var sample = SampleVocabulary.sentencePiece(["▁", "a"])
        sample["add_eos_token"] = .bool(true)
        sample["add_bos_token"] = .bool(false)
        let tokenizer = try sample.tokenizer()
        #expect(tokenizer.encode("a", parseSpecial: true, addSpecial: true) == sample.ids("▁", "a", "</s>"))
        #expect(!tokenizer.special.addsBOS)
    }

    @Test(arguments: [
        ("default", "12345 it's", [["123", "45", "Ġit", "'", "s"]]), ("gpt-2", "12345 it's", [["12345", "Ġit", "'s"]]),
        ("smollm", "12 it's", [["1", "2", "Ġit", "'s"]]), ("qwen2", "12 it'S", [["1", "2", "Ġit", "'S"]]),
        ("tekken", "ABc'sDe", [["ABc", "'s", "De"]]), ("gpt-4o", "ABc'SDe", [["ABc'S", "De"]]),
        ("llama-bpe", "12345\n\n x", [["123", "45", "ĊĊ", "Ġx"]]), ("falcon", "a==b", [["a", "==", "b"]]),
        ("deepseek-coder", "a1\nb", [["a", "1", "Ċ", "b"]]), ("superbpe", "12345", [["12", "345"]]),
    ])
    func preTokenizersSplitAsTheirModelsDo(_ pre: String, _ text: String, _ expected: [[String]]) throws {
        // Every piece is a token of its own, and every beginning of one, so that pieces show as single ids.
        var merges: [String] = []
        for piece in expected[0] {
            let letters = piece.unicodeScalars.map(String.init)
            for end in 1..<max(1, letters.count) { merges.append(letters[..<end].joined() + " " + letters[end]) }
        }
        var sample = SampleVocabulary.bytePair(merges: merges, special: ["<s>"], pre: pre)
        sample["bos_token_id"] = .int(Int64(sample.id("<s>")))
        let ids = try sample.tokenizer().encode(text, parseSpecial: true, addSpecial: false)
        #expect(ids == expected[0].map(sample.id))
    }
}
