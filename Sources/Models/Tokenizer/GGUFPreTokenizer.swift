/// What a GGUF file's `tokenizer.ggml.pre` names: how text is split before byte-level merges run. The file
/// holds only a name; the expressions are those of the tokenizer.json files that the names were given for
/// (https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf_update.py lists models and names).
struct GGUFPreTokenizer: Sendable {
    let names: [String]
    /// Applied one after the other; matches and what lies between them become pieces.
    let expressions: [String]
    /// A piece that is a token is not merged.
    var ignoresMerges = false
    /// BOS is put first where the file does not say.
    var addsBOS = false

    static func named(_ name: String) -> GGUFPreTokenizer? { all.first { $0.names.contains(name) } }

    static var knownNames: [String] { all.flatMap(\.names).sorted() }

    private static let gpt2 = PreTokenizer.gpt2Expression
    private static let contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let blanks = #"\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// The expression of cl100k and its descendants, which differ in how many digits make a piece.
    private static func cl100k(digits: String) -> String {
        contraction + #"|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|"# + blanks
    }

    /// The expression of o200k and its descendants: words may change from upper to lower case once.
    private static func o200k(contraction: String, digits: String) -> String {
        let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
        let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
        let before = #"[^\r\n\p{L}\p{N}]?"#
        return before + upper + "*" + lower + "+" + contraction + "|" + before + upper + "+" + lower + "*"
            + contraction
            + "|" + digits + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|"# + blanks
    }

    private static let all: [GGUFPreTokenizer] = [
        GGUFPreTokenizer(
            names: ["default"],
            expressions: [#"[\p{P}\$\+<=>\^~\|]+"#, gpt2, #"\p{N}+"#, "[0-9][0-9][0-9]"]),
        GGUFPreTokenizer(
            names: [
                "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "jina-es", "jina-de",
                "jina-v2-es",
                "jina-v2-de", "gigachat", "a.x-4.0", "mellum", "modern-bert", "exaone4",
            ],
            expressions: [gpt2]),
        GGUFPreTokenizer(
            names: [
                "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2",
            ],
            expressions: [#"\p{N}"#, gpt2]),
        GGUFPreTokenizer(
            names: [
                "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
            ],
            expressions: [cl100k(digits: #"\p{N}{1,3}"#)], ignoresMerges: true, addsBOS: true),
        GGUFPreTokenizer(
            names: ["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"],
            expressions: [cl100k(digits: #"\p{N}{1,3}"#)]),
        GGUFPreTokenizer(
            names: [
                "qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open",
                "kormo", "f2llmv2",
            ],
            expressions: [cl100k(digits: #"\p{N}"#)]),
        GGUFPreTokenizer(
            names: ["qwen35"],
            expressions: [
                contraction + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"#
                    + blanks
            ]),
        GGUFPreTokenizer(
            names: ["tekken"],
            expressions: [o200k(contraction: "", digits: #"\p{N}"#)], ignoresMerges: true, addsBOS: true),
        GGUFPreTokenizer(
            names: ["gpt-4o", "llama4", "kanana2", "minimax-m2"],
            expressions: [o200k(contraction: contraction + "?", digits: #"\p{N}{1,3}"#)]),
        GGUFPreTokenizer(
            names: ["falcon"],
            expressions: [#"[\p{P}\$\+<=>\^~\|`]+"#, gpt2, "[0-9][0-9][0-9]"]),
        GGUFPreTokenizer(
            names: ["deepseek-llm"],
            expressions: [
                "[\r\n]", #"\s?["# + casedLetters + "]+", #"\s?[!-/:-~！-／：-～‘-‟　-。]+"#, #"\s+$"#,
                "[一-龥ࠀ-一가-퟿]+",
                #"\p{N}"#,
            ]),
        GGUFPreTokenizer(
            names: ["deepseek-coder"],
            expressions: ["[\r\n]", #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥ࠀ-一가-퟿]+", #"\p{N}"#]),
        GGUFPreTokenizer(
            names: ["deepseek-v3", "hunyuan-dense", "joyai-llm"],
            expressions: [
                #"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+",
                ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
                    + #"| ?[\p{P}\p{S}]+[\r\n]*|"# + blanks,
            ]),
        GGUFPreTokenizer(
            names: ["poro-chat", "bloom", "gpt3-finnish"],
            expressions: [#" ?[^(\s|.,!?…。，、।۔،)]+"#]),
        GGUFPreTokenizer(
            names: ["viking"],
            expressions: [#" ?[^(\s|.,!?…。，、।۔،)]+"#, #"\p{N}"#]),
        GGUFPreTokenizer(
            names: ["bailingmoe", "bailingmoe2", "llada-moe"],
            expressions: [
                #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"#
                    + #"|\s*[\r\n]|\s+(?!\S)|\s+"#
            ]),
        GGUFPreTokenizer(
            names: ["seed-coder"],
            expressions: [
                contraction + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|"# + blanks
            ]),
        GGUFPreTokenizer(names: ["superbpe"], expressions: [#"\p{N}+"#, #"(?=(\d{3})+(?!\d))"#]),
    ]

    /// Letters with case, as deepseek-llm's tokenizer.json lists them.
    private static let casedLetters =
        "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽ"
        + "Ა-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼ"
        + "ℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ"
        + "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
}
