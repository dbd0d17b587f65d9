import JSON

/// The ids that a tokenizer puts around a text
/// (https://github.com/huggingface/tokenizers/tree/main/tokenizers/src/processors).
struct TextTemplate: Sendable, Equatable {
    var before: [Int32] = []
    var after: [Int32] = []

    init(before: [Int32] = [], after: [Int32] = []) {
        self.before = before
        self.after = after
    }

    /// Of a `post_processor` component. What it does to offsets is of no interest here.
    init(_ json: JSON?, at place: String, vocabularySize: Int) throws(TokenizerError) {
        guard let json, !json.isNull else { return }
        let fields = try ComponentFields(json, at: place)
        let type = try fields.type()
        switch type {
        case "ByteLevel": break
        case "TemplateProcessing": try read(fields, vocabularySize)
        case "BertProcessing", "RobertaProcessing":
            before = [try Self.pairID(fields, "cls", vocabularySize)]
            after = [try Self.pairID(fields, "sep", vocabularySize)]
        case "Sequence":
            for element in try fields.elements("processors") {
                let inner = try TextTemplate(element.json, at: element.place, vocabularySize: vocabularySize)
                before = inner.before + before
                after += inner.after
            }
        default: throw .unsupported(place, "a post-processor of type \(type)")
        }
    }

    private mutating func read(_ fields: ComponentFields, _ vocabularySize: Int) throws(TokenizerError) {
        var sequences = 0
        for piece in try fields.elements("single") {
            if piece.optional("Sequence") != nil {
                let id = try piece.fields("Sequence").string("id")
                guard id == "A" else {
                    throw .unsupported("\(piece.place).Sequence.id", "the sequence \(id)")
                }
                sequences += 1
                continue
            }
            let name = try piece.fields("SpecialToken").string("id")
            let ids = try Self.ids(fields.fields("special_tokens").fields(name), vocabularySize)
            if sequences == 0 { before += ids } else { after += ids }
        }
        guard sequences == 1 else {
            throw .unsupported("\(fields.place).single", "\(sequences) sequences in a template")
        }
    }

    private static func ids(_ token: ComponentFields, _ vocabularySize: Int) throws(TokenizerError) -> [Int32]
    {
        var ids: [Int32] = []
        for value in try token.array("ids") {
            ids.append(try id(value, "\(token.place).ids", vocabularySize))
        }
        return ids
    }

    private static func id(_ value: JSON, _ place: String, _ vocabularySize: Int) throws(TokenizerError)
        -> Int32
    {
        guard let id = value.int, id >= 0, id < vocabularySize else {
            throw .invalid(place, "an element is not an id below \(vocabularySize)")
        }
        return Int32(id)
    }

    /// `["</s>", 2]`
    private static func pairID(
        _ fields: ComponentFields, _ name: String, _ vocabularySize: Int
    ) throws(TokenizerError) -> Int32 {
        let pair = try fields.array(name)
        guard pair.count == 2 else {
            throw .invalid("\(fields.place).\(name)", "it is not a token and its id")
        }
        return try id(pair[1], "\(fields.place).\(name)", vocabularySize)
    }
}
