import JSON

extension DecoderStage {
    /// The stages of a `decoder` component, sequences flattened.
    static func stages(of json: JSON?, at place: String) throws(TokenizerError) -> [DecoderStage] {
        guard let json, !json.isNull else { return [.separate] }
        let fields = try ComponentFields(json, at: place)
        let type = try fields.type()
        switch type {
        case "Sequence":
            var stages: [DecoderStage] = []
            for element in try fields.elements("decoders") {
                stages += try Self.stages(of: element.json, at: element.place)
            }
            return stages
        case "ByteLevel": return [.byteLevel(fromAlphabet: true)]
        case "ByteFallback": return [.byteFallback]
        case "Fuse": return [.fuse]
        case "Replace":
            return [.replace(try fields.pattern("pattern"), Array(try fields.string("content").utf8))]
        case "Strip":
            let content = Array(try fields.string("content").utf8)
            guard !content.isEmpty else { throw .invalid("\(place).content", "it is empty") }
            return [
                .strip(content: content, start: try fields.count("start"), stop: try fields.count("stop"))
            ]
        case "Metaspace":
            let mark = Array(try fields.string("replacement").utf8)
            guard !mark.isEmpty else { throw .invalid("\(place).replacement", "it is empty") }
            return [.metaspace(mark: mark, dropsFirst: try PreTokenizer.prependScheme(fields) != "never")]
        case "BPEDecoder":
            let suffix = Array(try fields.string("suffix").utf8)
            guard !suffix.isEmpty else { throw .unsupported("\(place).suffix", "an empty suffix") }
            return [.wordSuffix(suffix)]
        default: throw .unsupported(place, "a decoder of type \(type)")
        }
    }
}
