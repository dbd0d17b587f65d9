import JSON

/// Makes a tokenizer of a tokenizer.json and what stands beside it in a Hugging Face folder.
struct HuggingFaceReader {
    let tokenizer: ComponentFields
    /// tokenizer_config.json and others; an absent file is an empty object.
    let config: JSON
    let specialTokensMap: JSON
    let generationConfig: JSON
    let modelConfig: JSON

    /// Highest id accepted: far above any vocabulary, low enough to index by.
    static let idLimit = 1 << 24

    func read() throws(TokenizerError) -> HuggingFaceTokenizer {
        let normalizers = try Normalizer.steps(
            of: tokenizer.json["normalizer"], at: "tokenizer.json: normalizer")
        var preTokenizers = try PreTokenizer.steps(
            of: tokenizer.json["pre_tokenizer"], at: "tokenizer.json: pre_tokenizer")
        var stages = try DecoderStage.stages(of: tokenizer.json["decoder"], at: "tokenizer.json: decoder")

        let reader = try HuggingFaceModelReader(
            ComponentFields(tokenizer.required("model"), at: "tokenizer.json: model"))
        // Bytes need not become letters and back, where that is all that happens to pieces before the model
        // and to tokens behind it.
        let isByteLevel =
            reader.mayBeBytes && Self.isByteLevel(preTokenizers.last) && Self.isByteLevel(stages.first)
        if isByteLevel {
            preTokenizers.removeLast()
            stages[0] = .byteLevel(fromAlphabet: false)
        }
        let made = try reader.make(bytes: isByteLevel)

        let added = try addedTokens(made)
        let vocabularySize = max(made.vocabulary.table.count, added.reduce(0) { max($0, Int($1.id) + 1) })
        let matcher = ExpressionMatcher()
        let normalized = { (token: AddedToken) -> [UInt8] in
            token.isNormalized
                ? normalizers.reduce(token.content) { $1.apply(to: $0, matcher) } : token.content
        }
        var overrides: [Int32: [UInt8]] = [:]
        for token in added {
            let content = normalized(token)
            let piece = isByteLevel ? ByteAlphabet.decode(content) ?? content : content
            if Int(token.id) >= made.vocabulary.table.count
                || !made.vocabulary.table[Int(token.id)].elementsEqual(piece)
            {
                overrides[token.id] = piece
            }
        }
        let names = SpecialNames(config: config, map: specialTokensMap, added: added, made: made)
        let template = try template(names, vocabularySize)
        return HuggingFaceTokenizer(
            special: try special(names, template), vocabularySize: vocabularySize,
            added: AddedTokens(added, normalizedContent: normalized), normalizers: normalizers,
            preTokenizers: preTokenizers, model: made.model, template: template,
            decoder: TokenDecoder(
                table: made.vocabulary.table, overrides: overrides,
                special: Set(added.filter(\.isSpecial).map(\.id)),
                stages: stages))
    }

    private static func isByteLevel(_ step: PreTokenizer?) -> Bool {
        if case .byteLevel? = step { true } else { false }
    }

    private static func isByteLevel(_ stage: DecoderStage?) -> Bool {
        if case .byteLevel? = stage { true } else { false }
    }

    /// Those of tokenizer.json, then those that only tokenizer_config.json knows: `added_tokens_decoder`, and
    /// special tokens by name that the model has.
    private func addedTokens(_ made: HuggingFaceModelReader.Made) throws(TokenizerError) -> [AddedToken] {
        var added: [AddedToken] = []
        var ids: [[UInt8]: Int32] = [:]
        var following = made.vocabulary.count
        func append(_ fields: ComponentFields) throws(TokenizerError) {
            var token = try AddedToken(fields, id: 0)
            if token.content.isEmpty || ids[token.content] != nil { return }
            // The library numbers tokens that the model does not have itself, whatever id the file gives
            // them.
            if let id = made.vocabulary.id(of: token.content) {
                token.id = id
            } else {
                guard following < Self.idLimit else {
                    throw .invalid(fields.place, "there are too many tokens")
                }
                token.id = Int32(following)
                following += 1
            }
            ids[token.content] = token.id
            added.append(token)
        }
        if tokenizer.optional("added_tokens") != nil {
            for fields in try tokenizer.elements("added_tokens") { try append(fields) }
        }
        let place = "tokenizer_config.json: added_tokens_decoder"
        let decoder = (config["added_tokens_decoder"]?.object?.members ?? []).sorted {
            (Int($0.name) ?? .max, $0.name) < (Int($1.name) ?? .max, $1.name)
        }
        for member in decoder {
            try append(try ComponentFields(member.value, at: "\(place).\(member.name)"))
        }
        for name in SpecialNames.keys {
            guard let content = SpecialNames.content(name, config, specialTokensMap), ids[content] == nil,
                let id = made.vocabulary.id(of: content)
            else { continue }
            ids[content] = id
            added.append(AddedToken(special: content, id: id))
        }
        return added
    }

    /// tokenizer_config.json's `add_bos_token` and `add_eos_token`, where either is there, replace the
    /// post-processor, as in the transformers library.
    private func template(_ names: SpecialNames, _ vocabularySize: Int) throws(TokenizerError) -> TextTemplate
    {
        let addsBOS = try flag("add_bos_token")
        let addsEOS = try flag("add_eos_token")
        if addsBOS == nil && addsEOS == nil {
            return try TextTemplate(
                tokenizer.json["post_processor"], at: "tokenizer.json: post_processor",
                vocabularySize: vocabularySize)
        }
        let before = addsBOS == true ? names.id("bos_token") : nil
        let after = addsEOS == true ? names.id("eos_token") : nil
        return TextTemplate(before: before.map { [$0] } ?? [], after: after.map { [$0] } ?? [])
    }

    private func flag(_ name: String) throws(TokenizerError) -> Bool? {
        guard let value = config[name], !value.isNull else { return nil }
        guard let flag = value.bool else {
            throw .invalid("tokenizer_config.json: \(name)", "it is \(value.kindName), not a boolean")
        }
        return flag
    }

    private func special(_ names: SpecialNames, _ template: TextTemplate) throws(TokenizerError)
        -> SpecialTokens
    {
        let generated = try Self.ids(generationConfig["eos_token_id"], "generation_config.json: eos_token_id")
        let modelled = try Self.ids(modelConfig["eos_token_id"], "config.json: eos_token_id")
        let configured = generated ?? modelled ?? []
        let modelBOS = try Self.ids(modelConfig["bos_token_id"], "config.json: bos_token_id")
        let bos = names.id("bos_token") ?? modelBOS?.first
        let eos = names.id("eos_token") ?? configured.first
        var ends = eos.map { [$0] } ?? []
        for id in configured where !ends.contains(id) { ends.append(id) }
        return SpecialTokens(
            bos: bos, eos: eos, ends: ends, padding: names.id("pad_token"), unknown: names.id("unk_token"),
            addsBOS: bos != nil && template.before.first == bos)
    }

    /// A token's id, or an array of them.
    private static func ids(_ json: JSON?, _ place: String) throws(TokenizerError) -> [Int32]? {
        guard let json, !json.isNull else { return nil }
        var ids: [Int32] = []
        for value in json.array ?? [json] {
            guard let id = value.int, id >= 0, id < idLimit else {
                throw .invalid(place, "it is not a token's id")
            }
            ids.append(Int32(id))
        }
        return ids
    }
}

/// The special tokens that the configuration names.
struct SpecialNames {
    static let keys = [
        "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token",
    ]
    private var ids: [String: Int32] = [:]

    init(config: JSON, map: JSON, added: [AddedToken], made: HuggingFaceModelReader.Made) {
        let addedIDs = Dictionary(added.map { ($0.content, $0.id) }, uniquingKeysWith: { first, _ in first })
        for key in Self.keys {
            guard let content = Self.content(key, config, map) else { continue }
            ids[key] = addedIDs[content] ?? made.vocabulary.id(of: content)
        }
    }

    func id(_ key: String) -> Int32? { ids[key] }

    /// `"</s>"` or `{"content": "</s>", …}`, in tokenizer_config.json or, in older folders,
    /// special_tokens_map.json.
    static func content(_ key: String, _ config: JSON, _ map: JSON) -> [UInt8]? {
        for json in [config[key], map[key]] {
            if let text = json?.string ?? json?["content"]?.string { return Array(text.utf8) }
        }
        return nil
    }
}
