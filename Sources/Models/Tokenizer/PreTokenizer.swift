import JSON

/// What happens to the matches of a split
/// (https://huggingface.co/docs/tokenizers/api/pre-tokenizers#tokenizers.pre_tokenizers.Split).
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
}

/// One step from normalized text to pieces that no token spans
/// (https://github.com/huggingface/tokenizers/tree/main/tokenizers/src/pre_tokenizers). The library's
/// pre-tokenizers are made of these.
enum PreTokenizer: Sendable {
    /// - inverted: what does not match is split at, instead of what does.
    case split(TextPattern, SplitBehavior, inverted: Bool)
    case replace(TextPattern, [UInt8])
    /// Puts `mark` before every piece that does not begin with it; `firstOnly`: only at the beginning of the
    /// text.
    case prefix(mark: [UInt8], firstOnly: Bool)
    /// Bytes become letters of GPT-2's alphabet.
    case byteLevel

    /// GPT-2's expression (https://github.com/openai/gpt-2/blob/master/src/encoder.py).
    static let gpt2Expression = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    private static let punctuation = #"[\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}\p{P}]"#
    /// Rust's `\w`, for the classes of Whitespace.
    private static let rustWord =
        #"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\x{24b6}-\x{24e9}"#
        + #"\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"#

    /// The steps of a `pre_tokenizer` component, sequences flattened.
    static func steps(of json: JSON?, at place: String) throws(TokenizerError) -> [PreTokenizer] {
        guard let json, !json.isNull else { return [] }
        let fields = try ComponentFields(json, at: place)
        let type = try fields.type()
        switch type {
        case "Sequence":
            var steps: [PreTokenizer] = []
            for element in try fields.elements("pretokenizers") {
                steps += try Self.steps(of: element.json, at: element.place)
            }
            return steps
        case "Split":
            let behavior = try behavior(fields, "behavior")
            return [.split(try fields.pattern("pattern"), behavior, inverted: try fields.bool("invert"))]
        case "ByteLevel": return try byteLevel(fields)
        case "Metaspace": return try metaspace(fields)
        case "Digits":
            let individual = try fields.bool("individual_digits")
            return [try split(#"\p{N}"#, individual ? .isolated : .contiguous)]
        case "Punctuation":
            let chosen =
                fields.optional("behavior") == nil ? SplitBehavior.isolated : try behavior(fields, "behavior")
            return [try split(punctuation, chosen)]
        case "Whitespace":
            return [try split("[\(rustWord)]+|[^\(rustWord)\\s]+", .removed, inverted: true)]
        case "WhitespaceSplit": return [try split(#"\s"#, .removed)]
        case "BertPreTokenizer": return [try split(#"\s"#, .removed), try split(punctuation, .isolated)]
        case "CharDelimiterSplit", "Delimiter":
            return [.split(.literal(Array(try fields.string("delimiter").utf8)), .removed, inverted: false)]
        default: throw .unsupported(place, "a pre-tokenizer of type \(type)")
        }
    }

    private static func behavior(_ fields: ComponentFields, _ name: String) throws(TokenizerError)
        -> SplitBehavior
    {
        let text = try fields.string(name)
        guard let behavior = SplitBehavior(rawValue: text) else {
            throw .unsupported("\(fields.place).\(name)", "the behavior \(text)")
        }
        return behavior
    }

    static func split(
        _ expression: String, _ behavior: SplitBehavior = .isolated, inverted: Bool = false
    ) throws(TokenizerError) -> PreTokenizer {
        .split(
            .expression(try Expression(expression, at: "a built-in pre-tokenizer")), behavior,
            inverted: inverted)
    }

    private static func byteLevel(_ fields: ComponentFields) throws(TokenizerError) -> [PreTokenizer] {
        var steps: [PreTokenizer] = []
        if try fields.bool("add_prefix_space") { steps.append(.prefix(mark: [0x20], firstOnly: false)) }
        if try fields.bool("use_regex", default: true) { steps.append(try split(gpt2Expression)) }
        return steps + [.byteLevel]
    }

    private static func metaspace(_ fields: ComponentFields) throws(TokenizerError) -> [PreTokenizer] {
        let mark = Array(try fields.string("replacement").utf8)
        let scheme = try prependScheme(fields)
        var steps: [PreTokenizer] = [.replace(.literal([0x20]), mark)]
        if scheme != "never" { steps.append(.prefix(mark: mark, firstOnly: scheme == "first")) }
        if try fields.bool("split", default: true) {
            steps.append(.split(.literal(mark), .mergedWithNext, inverted: false))
        }
        return steps
    }

    /// `always`, `first` or `never`; older files say only `add_prefix_space`.
    static func prependScheme(_ fields: ComponentFields) throws(TokenizerError) -> String {
        let scheme = try fields.optionalString("prepend_scheme") ?? "always"
        guard ["always", "first", "never"].contains(scheme) else {
            throw .unsupported("\(fields.place).prepend_scheme", scheme)
        }
        guard try fields.bool("add_prefix_space", default: true) else {
            if fields.optional("prepend_scheme") != nil && scheme != "never" {
                throw .invalid("\(fields.place).add_prefix_space", "it contradicts prepend_scheme \(scheme)")
            }
            return "never"
        }
        return scheme
    }
}
