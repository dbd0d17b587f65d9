import JSON
import Models
import Testing

/// Broken vocabularies: an error that names the key or field, never a crash.
@Suite struct TokenizerMetadataTests {
    static let bytePair = SampleVocabulary.bytePair(merges: ["a b"], special: ["<s>"])
    static let sentencePiece = SampleVocabulary.sentencePiece(["▁", "a"])

    @Test(arguments: ["model", "tokens", "merges"])
    func bytePairNeeds(_ key: String) {
        var sample = Self.bytePair
        sample[key] = nil
        #expect(throws: TokenizerError.missing("tokenizer.ggml.\(key)")) { try sample.tokenizer() }
    }

    @Test(arguments: ["model", "tokens", "scores"])
    func sentencePieceNeeds(_ key: String) {
        var sample = Self.sentencePiece
        sample[key] = nil
        #expect(throws: TokenizerError.missing("tokenizer.ggml.\(key)")) { try sample.tokenizer() }
    }

    static let wrong: [(key: String, value: GGUFValue)] = [
        ("tokens", .ints([1, 2])), ("tokens", .strings([])), ("token_type", .doubles([1])), ("token_type", .ints([1])),
        ("merges", .int(3)), ("merges", .strings([Array("ab".utf8)])), ("merges", .strings([Array("ab ".utf8)])),
        ("merges", .strings([[]])), ("bos_token_id", .int(1 << 40)), ("eos_token_id", .int(-7)),
        ("eot_token_id", .string([65])), ("unknown_token_id", .int(258)), ("add_bos_token", .int(1)),
        ("tokens", .strings([[UInt8]](repeating: [65], count: 258))),
    ]

    @Test(arguments: wrong.indices)
    func wrongValuesAreNamed(_ index: Int) {
        var sample = Self.bytePair
        let (key, value) = Self.wrong[index]
        sample[key] = value
        #expect { try sample.tokenizer() } throws: { error in
            guard case .invalid(let place, _)? = error as? TokenizerError else { return false }
            return place == "tokenizer.ggml.\(key)"
        }
    }

    @Test func scoresAreChecked() {
        var sample = Self.sentencePiece
        sample["scores"] = .doubles([0, 1])
        #expect(throws: TokenizerError.self) { try sample.tokenizer() }
        sample["scores"] = .doubles([Double](repeating: .nan, count: 261))
        #expect(throws: TokenizerError.self) { try sample.tokenizer() }
        sample["scores"] = .ints([Int64](repeating: 0, count: 261))
        #expect(throws: Never.self) { try sample.tokenizer() }
    }

    @Test func tokensThatAreNotText() throws {
        var sample = Self.sentencePiece
        sample["tokens"] = .strings((0..<261).map { [0xFF, UInt8($0 & 0xFF), UInt8($0 >> 8)] })
        #expect(throws: TokenizerError.self) { try sample.tokenizer() }
        sample["token_type"] = .ints([Int64](repeating: 1, count: 261))
        let tokenizer = try sample.tokenizer()
        #expect(tokenizer.encode("a", parseSpecial: true, addSpecial: false) == [0, 0, 0, 0])
        #expect(tokenizer.decodeBytes([0, 1], skipSpecial: false).count == 6)
    }

    @Test func unknownNamesListTheKnown() {
        var sample = Self.bytePair
        sample["pre"] = SampleVocabulary.text("novel")
        #expect { try sample.tokenizer() } throws: { error in
            ["tokenizer.ggml.pre", "novel", "llama-bpe"].allSatisfy { "\(error)".contains($0) }
        }
        sample["model"] = SampleVocabulary.text("bert")
        #expect { try sample.tokenizer() } throws: { "\($0)".contains("bert") && "\($0)".contains("gpt2") }
    }

    @Test func idsThatDoNotExistAreNoText() throws {
        for sample in [Self.bytePair, Self.sentencePiece] {
            let tokenizer = try sample.tokenizer()
            #expect(tokenizer.decode([-1, 1 << 30, .max, .min], skipSpecial: false) == "")
            #expect(tokenizer.bytes(of: 100_000) == [])
        }
    }

    static let minimal = """
        {"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
         "decoder": null, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4},
         "merges": ["a b"]}}
        """

    /// Puts `json` in the place of the top-level field or, with a dot, of the model's.
    static func changed(_ field: String, _ json: String) throws -> JSON {
        var root = try #require(try JSON(parsing: minimal).object)
        let value = try JSON(parsing: json)
        if field.hasPrefix("model.") {
            var model = try #require(root["model"]?.object)
            model[String(field.dropFirst(6))] = value
            root["model"] = .object(model)
        } else {
            root[field] = value
        }
        return .object(root)
    }

    @Test(arguments: [
        ("normalizer", #"{"type": "Precompiled"}"#, "Precompiled"),
        ("normalizer", #"{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Bert"}]}"#, "normalizers[1]"),
        ("normalizer", #"{"type": "Replace", "pattern": {"Regex": "(a"}, "content": ""}"#, "(a"),
        ("normalizer", #"{"type": "Replace", "content": ""}"#, "normalizer.pattern"),
        ("pre_tokenizer", #"{"type": "UnicodeScripts"}"#, "UnicodeScripts"),
        ("pre_tokenizer", #"{"type": "Split", "pattern": {"String": " "}, "behavior": "Odd", "invert": false}"#, "Odd"),
        ("pre_tokenizer", #"{"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Removed"}"#, "intersection"),
        ("pre_tokenizer", "7", "pre_tokenizer"),
        ("post_processor", #"{"type": "Odd"}"#, "Odd"),
        ("post_processor", #"{"type": "TemplateProcessing", "single": [], "special_tokens": {}}"#, "single"),
        ("decoder", #"{"type": "WordPiece"}"#, "WordPiece"),
        ("model", #"{"type": "WordPiece", "vocab": {}}"#, "WordPiece"),
        ("model", "null", "model"),
        ("model.vocab", #"{"a": 0, "b": 0}"#, "vocab"),
        ("model.vocab", #"{"a": -1}"#, "vocab"),
        ("model.vocab", #"{"a": 99999999999}"#, "vocab"),
        ("model.vocab", #"{"a": "0"}"#, "vocab"),
        ("model.merges", #"["a c"]"#, "merges[0]"),
        ("model.merges", #"["a b c"]"#, "merges[0]"),
        ("model.merges", #"[["a"]]"#, "merges[0]"),
        ("model.merges", #"[7]"#, "merges[0]"),
        ("model.unk_token", #""[UNK]""#, "[UNK]"),
        ("model.dropout", "0.5", "dropout"),
        ("model.end_of_word_suffix", #""</w>""#, "</w>"),
        ("added_tokens", #"[{"id": 1}]"#, "added_tokens[0].content"),
    ])
    func whatTokenizerJSONCannotBeIsNamed(_ field: String, _ json: String, _ named: String) throws {
        let changed = try Self.changed(field, json)
        #expect { try TokenizerLoader.make(tokenizerJSON: changed) } throws: { error in
            error is TokenizerError && "\(error)".contains(named)
        }
    }

    @Test func configurationNamesSpecialTokens() throws {
        let json = try JSON(parsing: Self.minimal)
        let config = try JSON(
            parsing: #"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true}"#)
        let generation = try JSON(parsing: #"{"eos_token_id": [4, 2]}"#)
        let tokenizer = try TokenizerLoader.make(
            tokenizerJSON: json, tokenizerConfig: config, generationConfig: generation)
        #expect(tokenizer.special.bos == 3)
        #expect(tokenizer.special.ends == [4, 2])
        #expect(tokenizer.special.addsBOS)
        #expect(tokenizer.encode("ab</s>", parseSpecial: true, addSpecial: true) == [3, 2, 4])
        #expect(tokenizer.decode([3, 2, 4], skipSpecial: true) == "ab")
        #expect(throws: TokenizerError.self) {
            try TokenizerLoader.make(tokenizerJSON: json, generationConfig: ["eos_token_id": "no"])
        }
    }

    @Test func aFolderWithoutTokenizerIsNamed() {
        #expect { try TokenizerLoader.make(folder: "/nowhere/at/all") } throws: { error in
            "\(error)".contains("/nowhere/at/all/tokenizer.json")
        }
    }
}
