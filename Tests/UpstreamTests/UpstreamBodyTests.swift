import JSON
import JobQueue
import Testing

@testable import Worker

@Suite struct UpstreamBodyTests {
    static func make(
        _ body: String, _ endpoint: Endpoint = .chatCompletions, _ dialect: UpstreamDialect = .groq,
        model: String? = nil, tier: String? = nil, maps: Bool? = nil
    ) throws(OutcomeError) -> UpstreamBody {
        let request = Request(customID: "c", endpoint: endpoint, body: Array(body.utf8))
        return try UpstreamBody(request, dialect: dialect, model: model, serviceTier: tier, mapsCompletions: maps)
    }

    static func sent(_ body: UpstreamBody) -> String { String(decoding: body.bytes, as: UTF8.self) }

    /// Numbers as written, escapes, members that nobody knows, content parts: byte for byte.
    @Test func passesWhatItDoesNotKnow() throws {
        let inner = #"""
            [{"role":"user","content":[{"type":"text","text":"Wh\u0061t?"}, {"type":"image_url",
             "image_url":{"url":"data:image/png;base64,AAAA","detail":"high"}}]}]
            """#
        let body = #"{"messages":\#(inner), "temperature" : 1.0e0,"seed":3e2,"x\"y":{"a":[1,2.50]},"model":"m"}"#
        let made = try Self.make(body)
        let expected = #"{"messages":\#(inner),"temperature":1.0e0,"seed":3e2,"x\"y":{"a":[1,2.50]},"model":"m"}"#
        #expect(Self.sent(made) == expected)
        #expect(made.path == "/chat/completions")
        #expect(!made.isMapped)
    }

    @Test func namesTheModelAsTheUpstreamDoes() throws {
        let body = #"{"model":"alias","messages":[{"role":"user","content":"model"}],"stream":false}"#
        let messages = #""messages":[{"role":"user","content":"model"}]"#
        #expect(
            Self.sent(try Self.make(body, model: "llama-3.1-8b-instant", tier: "flex"))
                == #"{"model":"llama-3.1-8b-instant",\#(messages),"service_tier":"flex"}"#)
        #expect(
            Self.sent(try Self.make(#"{"messages":[],"service_tier":"on_demand"}"#, model: "m", tier: "flex"))
                == #"{"messages":[],"service_tier":"on_demand","model":"m"}"#)
        #expect(throws: OutcomeError.self) { try Self.make(#"{"messages":[]}"#) }
    }

    @Test(arguments: [
        (#""logprobs":true"#, "logprobs"), (#""top_logprobs":2"#, "top_logprobs"), (#""logit_bias":{}"#, "logit_bias"),
        (#""n":2"#, "n"), (#""n":"1""#, "n"), (#""stream":true"#, "stream"),
        (#""messages":[{"role":"user","content":"a"},{"role":"user","name":"bob","content":"a"}]"#, "messages[1].name"),
        (#""service_tier":"fast""#, "service_tier"), (#""temperature":1,"temperature":2"#, "temperature"),
    ])
    func groqsRefusalsComeBeforehand(_ member: String, _ field: String) throws {
        let error = #expect(throws: OutcomeError.self) { try Self.make(#"{"model":"m",\#(member)}"#) }
        #expect(error?.parameter == field)
        #expect(error?.message.hasPrefix(field) == true)
    }

    @Test(arguments: [
        #""logprobs":false"#, #""logprobs":null"#, #""n":1"#, #""n":null"#, #""service_tier":"auto""#,
        #""messages":[{"role":"user","name":null,"content":"a"}]"#, #""stream":null"#,
    ])
    func whatAsksForNothingPasses(_ member: String) throws {
        _ = try Self.make(#"{"model":"m",\#(member)}"#)
    }

    @Test func otherDialectsTakeWhatGroqDoesNot() throws {
        for dialect in [UpstreamDialect.openai, .generic] {
            let body = #"{"model":"m","n":3,"logprobs":true,"top_logprobs":2,"service_tier":"priority"}"#
            #expect(Self.sent(try Self.make(body, .chatCompletions, dialect)) == body)
        }
    }

    @Test(arguments: ["", "{", "[]", "3", "{}x", "\u{0}"])
    func refusesWhatIsNoObject(_ body: String) {
        #expect(throws: OutcomeError.self) { try Self.make(body) }
    }

    @Test func completionsBecomeChats() throws {
        let made = try Self.make(#"{"prompt":"a \"b\"","model":"m","temperature":0.50,"echo":false}"#, .completions)
        #expect(made.isMapped)
        #expect(made.path == "/chat/completions")
        let messages = #""messages":[{"role":"user","content":"a \"b\""}]"#
        #expect(Self.sent(made) == #"{\#(messages),"model":"m","temperature":0.50,"max_tokens":16}"#)
        let one = try Self.make(#"{"model":"m","prompt":["x"],"max_tokens":5}"#, .completions)
        #expect(Self.sent(one) == #"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":5}"#)
        // Where there are completions they stay.
        let kept = #"{"model":"m","prompt":[1,2],"echo":true,"logprobs":3}"#
        let made2 = try Self.make(kept, .completions, .generic)
        #expect(made2.path == "/completions")
        #expect(Self.sent(made2) == kept)
        #expect(try Self.make(#"{"model":"m","prompt":"x"}"#, .completions, .generic, maps: true).isMapped)
    }

    @Test(arguments: [
        (#""echo":true"#, "echo"), (#""suffix":"x""#, "suffix"), (#""best_of":2"#, "best_of"),
        (#""logprobs":2"#, "logprobs"),
        (#""prompt":[1,2]"#, "prompt"), (#""prompt":["a","b"]"#, "prompt"), (#""prompt":null"#, "prompt"),
    ])
    func whatAChatCannotDoIsNamed(_ member: String, _ field: String) {
        let prompt = member.contains("prompt") ? "" : #","prompt":"x""#
        let error = #expect(throws: OutcomeError.self) {
            try Self.make(#"{"model":"m",\#(member)\#(prompt)}"#, .completions, .openai)
        }
        #expect(error?.parameter == field)
    }

    @Test func guessesTokens() throws {
        let text = String(repeating: "word", count: 100)
        let made = try Self.make(#"{"model":"m","messages":[{"role":"user","content":"\#(text)"}],"max_tokens":50}"#)
        #expect((150...200).contains(made.estimatedTokens))
        var request = Request(customID: "c", endpoint: .chatCompletions, body: Array(#"{"model":"m"}"#.utf8), cost: 777)
        #expect(try UpstreamBody(request, dialect: .groq).estimatedTokens == 777)
        request.cost = 1
        #expect(try UpstreamBody(request, dialect: .groq).estimatedTokens >= 256)
    }

    @Test(arguments: [(Int.max, 1), (Int.max, 7), (1 << 41, 1)])
    func noNumberOfTokensIsTooLarge(_ most: Int, _ copies: Int) throws {
        let text = #"{"model":"m","messages":[],"max_tokens":\#(most),"n":\#(copies)}"#
        let made = try Self.make(text, .chatCompletions, .openai)
        #expect(made.maxTokens == Outcome.maxTokens)
        #expect(made.estimatedTokens > Outcome.maxTokens)
    }

    @Test(arguments: [
        "{}", #"{ "a" : 1 , "b":[{"}":"]"}], "c" : "\\\"}" }"#, #"{"a":{"b":{"c":[[[]]]}},"d":null}"#,
        #"{"é":"ü","\u00e9x":true}"#,
        "{\n\t\"a\"\r:\n-1.5E+3\n}",
    ])
    func membersAreFoundWhereTheyAre(_ text: String) throws {
        let members = try #require(JSONMembers(Array(text.utf8)))
        let object = try #require(try JSON(parsing: text).object)
        #expect(members.members.map(\.name) == object.names)
        for member in members.members { #expect(try JSON(parsing: member.valueText) == object[member.name]) }
        #expect(try JSON(parsing: members.text) == .object(object))
    }
}
