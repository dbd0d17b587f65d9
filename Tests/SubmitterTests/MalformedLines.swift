/// Lines that are no requests, of every kind that people and programs make; each with the error that it must get.
struct MalformedLine: Sendable, CustomStringConvertible {
    var bytes: [UInt8]
    var code: String
    /// What the message must say.
    var says: String

    init(_ text: String, _ code: String, says: String) {
        self.init(Array(text.utf8), code, says: says)
    }

    init(_ bytes: [UInt8], _ code: String, says: String) {
        self.bytes = bytes
        self.code = code
        self.says = says
    }

    var description: String { "\(code): \(String(decoding: bytes.prefix(60), as: UTF8.self))" }

    static let all: [MalformedLine] = notJSON + notObjects + deep + notUTF8 + envelopes + names + shapes + repeated

    private static func envelope(
        id: String = "\"x\"", method: String = "\"POST\"", url: String = "\"/v1/completions\"",
        body: String = "{\"prompt\":\"hi\"}", rest: String = ""
    ) -> String { "{\"custom_id\":\(id),\"method\":\(method),\"url\":\(url),\"body\":\(body)\(rest)}" }

    private static let notJSON: [MalformedLine] = ([
        "{", "}", "{oops", "{\"prompt\"", "{\"prompt\":", "{\"prompt\":\"x\"", "{\"prompt\":\"x\",}", "{\"prompt\":\"x}",
        "{'prompt':'x'}", "{prompt:\"x\"}", "{\"prompt\":\"x\"} trailing", "{\"prompt\":\"x\"}{\"prompt\":\"y\"}",
        "{\"prompt\":\"x\"},", "Write me a poem", "# comment", "// comment", "{\"prompt\":undefined}",
        "{\"prompt\":\"x\",\"temperature\":NaN}", "{\"prompt\":\"x\",\"temperature\":Infinity}",
        "{\"prompt\":\"x\",\"n\":01}", "{\"prompt\":\"x\",\"n\":+1}", "{\"prompt\":\"x\",\"n\":1.}",
        "{\"prompt\":\"x\",\"n\":.5}", "{\"prompt\":\"x\",\"n\":0x10}", "{\"prompt\":\"\\x41\"}", "{\"prompt\":\"\\u12\"}",
        "{\"prompt\":\"\\ud800\"}", "{\"prompt\":\"a\tb\"}", "{\"prompt\":\"a\u{1}b\"}", "{\"prompt\":\"x\" \"n\":1}",
        "{\"prompt\":\"x\",,\"n\":1}", "{\"prompt\":True}", "{\"a\":[1,2}", "{\"n\":99999999999999999999999}",
        "{\"n\":1e999}", "<html>", "custom_id,prompt", "\u{0}\u{0}\u{0}", "{\"prompt\":\"x\"\u{A0}}", "tru", "-",
    ] as [String]).map { MalformedLine($0, "invalid_json", says: "not JSON") }

    private static let notObjects: [MalformedLine] = ([
        ("[]", "an array"), ("[{\"prompt\":\"x\"}]", "an array"), ("\"prompt\"", "a string"), ("1", "a number"),
        ("-2.5e3", "a number"), ("true", "a boolean"), ("null", "null"),
    ] as [(String, String)]).map { MalformedLine($0.0, "invalid_request", says: $0.1) }

    private static let deep: [MalformedLine] = [2000, 100_000].flatMap { (depth: Int) -> [MalformedLine] in
        let open = String(repeating: "[", count: depth)
        let close = String(repeating: "]", count: depth)
        let objects = String(repeating: "{\"a\":", count: depth)
        let texts = [open, "{\"prompt\":\(open)\(close)}", objects + "1" + String(repeating: "}", count: depth)]
        return texts.map { MalformedLine($0, "invalid_json", says: "not JSON") }
    }

    private static let notUTF8: [MalformedLine] = [
        [0x80], [0xC3, 0x28], [0xED, 0xA0, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xC0, 0xAF], [0xFF], [0xE9],
    ].map { (bad: [UInt8]) -> MalformedLine in
        MalformedLine(Array("{\"prompt\":\"".utf8) + bad + Array("\"}".utf8), "invalid_utf8", says: "byte 12")
    }

    private static let envelopes: [MalformedLine] = ([
        (envelope(method: "\"GET\""), "'GET'"), (envelope(method: "\"post\""), "'post'"),
        (envelope(method: "1"), "'method' must be a string"), (envelope(method: "null"), "'method' must be a string"),
        (envelope(url: "\"/v1/embeddings\""), "'/v1/embeddings'"), (envelope(url: "\"\""), "''"),
        (envelope(url: "\"https://api.openai.com/v1/completions\""), "'https://api.openai.com/v1/completions'"),
        (envelope(url: "\"/v1/chat/completions/\""), "'/v1/chat/completions/'"),
        (envelope(url: "\"/V1/COMPLETIONS\""), "is not supported"), (envelope(url: "7"), "'url' must be a string"),
        (envelope(body: "null"), "'body' must be an object"), (envelope(body: "[]"), "'body' must be an object"),
        (envelope(body: "\"hi\""), "'body' must be an object"), (envelope(body: "3"), "'body' must be an object"),
        (envelope(rest: ",\"prompt\":\"x\""), "'prompt'"), (envelope(rest: ",\"temperature\":1"), "'temperature'"),
        (envelope(rest: ",\"Body\":{}"), "'Body'"), (envelope(rest: ",\"\":{}"), "''"),
        (envelope(rest: ",\"a\\nb\":{}"), "'a?b'"),
        (envelope(rest: ",\"\(String(repeating: "k", count: 5000))\":1"), "kkk…'"),
        ("{\"custom_id\":\"x\",\"method\":\"POST\",\"url\":\"/v1/completions\"}", "'body' is missing"),
        ("{\"custom_id\":\"x\",\"method\":\"POST\",\"body\":{}}", "'url' is missing"),
        ("{\"custom_id\":\"x\",\"url\":\"/v1/completions\",\"body\":{}}", "'method' is missing"),
        ("{\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"x\"}}", "'custom_id' is missing"),
        ("{\"body\":{\"prompt\":\"x\"}}", "'custom_id' is missing"),
        ("{\"url\":\"/v1/completions\",\"prompt\":\"x\"}", "'prompt'"),
    ] as [(String, String)]).map { MalformedLine($0.0, "invalid_request", says: $0.1) }

    private static let names: [MalformedLine] = ([
        (envelope(id: "7"), "'custom_id' must be a string, is a number"),
        (envelope(id: "null"), "'custom_id' must be a string, is null"),
        (envelope(id: "\"\""), "'custom_id' is empty"), (envelope(id: "{}"), "is an object"),
        (envelope(id: "\"\(String(repeating: "i", count: 1025))\""), "1025 bytes"),
        ("{\"prompt\":\"x\",\"custom_id\":[\"a\"]}", "'custom_id' must be a string, is an array"),
        ("{\"prompt\":\"x\",\"custom_id\":true}", "'custom_id' must be a string, is a boolean"),
        ("{\"prompt\":\"x\",\"custom_id\":\"a\\u0000b\"}", "NUL"),
    ] as [(String, String)]).map { MalformedLine($0.0, "invalid_request", says: $0.1) }

    private static let shapes: [MalformedLine] = ([
        ("{}", "neither"), ("{\"promt\":\"x\"}", "neither"), ("{\"custom_id\":\"x\"}", "neither"),
        ("{\"Prompt\":\"x\"}", "neither"), ("{\"text\":\"x\",\"max_tokens\":3}", "neither"),
        ("{\"prompt\":\"x\",\"messages\":[]}", "both"), ("{\"prompt\":null,\"messages\":null}", "both"),
    ] as [(String, String)]).map { MalformedLine($0.0, "invalid_request", says: $0.1) }

    private static let repeated: [MalformedLine] = ([
        ("{\"prompt\":\"x\",\"prompt\":\"x\"}", "'prompt' occurs twice"),
        ("{\"prompt\":\"x\",\"n\":1,\"n\":2}", "'n' occurs twice"),
        ("{\"prompt\":\"x\",\"\\u006e\":1,\"n\":2}", "'n' occurs twice"),
        (envelope(rest: ",\"body\":{}"), "'body' occurs twice"),
        (envelope(body: "{\"prompt\":\"x\",\"logit_bias\":{\"5\":1,\"5\":2}}"), "'5' occurs twice"),
        ("{\"messages\":[{\"role\":\"user\",\"role\":\"system\",\"content\":\"x\"}]}", "'role' occurs twice"),
        ("{\"custom_id\":\"a\",\"custom_id\":\"b\",\"prompt\":\"x\"}", "'custom_id' occurs twice"),
    ] as [(String, String)]).map { MalformedLine($0.0, "invalid_request", says: $0.1) }
}
