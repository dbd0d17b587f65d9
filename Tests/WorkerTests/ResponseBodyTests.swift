import JSON
import JobQueue
import Testing

@testable import Worker

@Suite struct ResponseBodyTests {
    static let created = Timestamp(milliseconds: 1_700_000_000_999)

    static func sequence(
        _ spec: GenerationSpec, _ output: [Int32], _ finish: FinishReason, textEnd: Int? = nil,
        prompt: [TokenLogprobs?] = [], cached: Int = 0
    ) -> GeneratedSequence {
        // Each token is as likely as its place says; the one with the id before it is the most likely.
        let logprobs = spec.topLogprobs.map { top in
            output.enumerated().map { i, token in
                TokenLogprobs(
                    token: token, logprob: -Float(i) - 0.5, rank: 2,
                    top: Array([ScoredToken(token: token - 1, logprob: -0.25)].prefix(top)))
            }
        }
        return GeneratedSequence(
            spec: spec, output: output, finish: finish, textEnd: textEnd, logprobs: logprobs ?? [],
            promptLogprobs: prompt, cachedTokens: cached)
    }

    static func response(
        _ body: String, _ endpoint: Endpoint = .completions, _ sequences: (RequestPlan) -> [GeneratedSequence]
    ) throws -> (json: JSON, usage: Usage) {
        let plan = try Planning.plan(body, endpoint)
        let response = ResponseBody(plan, sequences(plan), model: Planning.model, created: created)
        #expect(try JSON(parsing: response.bytes) == response.json)
        return (response.json, response.usage)
    }

    @Test func completions() throws {
        let (json, usage) = try Self.response("{\"prompt\":\"ab\",\"model\":\"m\"}") {
            [Self.sequence($0.specs[0], [257, 259], .length, cached: 2)]
        }
        #expect(
            json.text == """
                {"id":"cmpl-batch_0123-4","object":"text_completion","created":1700000000,"model":"m",\
                "choices":[\
                {"text":" foo bar","index":0,"logprobs":null,"finish_reason":"length","stop_reason":null}],\
                "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,\
                "prompt_tokens_details":{"cached_tokens":2}}}
                """)
        #expect(usage == Usage(promptTokens: 3, completionTokens: 2, cachedTokens: 2))
    }

    @Test func chatCompletions() throws {
        let body = "{\"messages\":[{\"role\":\"u\",\"content\":\"x\"}],\"logprobs\":true,\"top_logprobs\":1}"
        let (json, _) = try Self.response(body, .chatCompletions) {
            [Self.sequence($0.specs[0], [65, 0xE9, Planning.tokenizer.eos], .end)]
        }
        #expect(
            json.text == """
                {"id":"chatcmpl-batch_0123-4","object":"chat.completion","created":1700000000,"model":"toy",\
                "choices":[{"index":0,"message":{"role":"assistant","content":"A\u{FFFD}","refusal":null},\
                "logprobs":{"content":[\
                {"token":"A","logprob":-0.5,"bytes":[65],\
                "top_logprobs":[{"token":"@","logprob":-0.25,"bytes":[64]}]},\
                {"token":"\u{FFFD}","logprob":-1.5,"bytes":[233],\
                "top_logprobs":[{"token":"\u{FFFD}","logprob":-0.25,"bytes":[232]}]},\
                {"token":"</s>","logprob":-2.5,"bytes":[60,47,115,62],\
                "top_logprobs":[{"token":"<s>","logprob":-0.25,"bytes":[60,115,62]}]}],"refusal":null},\
                "finish_reason":"stop","stop_reason":null}],\
                "usage":{"prompt_tokens":15,"completion_tokens":3,"total_tokens":18,\
                "prompt_tokens_details":{"cached_tokens":0}}}
                """)
    }

    @Test func completionLogprobs() throws {
        let (json, _) = try Self.response("{\"prompt\":\"ab\",\"logprobs\":1}") {
            [Self.sequence($0.specs[0], [0xE2, 0x82, 0xAC, 66], .stopString("B"), textEnd: 3)]
        }
        let choice = try #require(json["choices"]?.array?.first)
        #expect(choice["text"] == "€")
        #expect(choice["finish_reason"] == "stop" && choice["stop_reason"] == "B")
        #expect(
            choice["logprobs"] == [
                "tokens": ["bytes:\\xe2", "bytes:\\x82", "bytes:\\xac", "B"],
                "token_logprobs": [-0.5, -1.5, -2.5, -3.5],
                "top_logprobs": [
                    ["bytes:\\xe1": -0.25, "bytes:\\xe2": -0.5], ["bytes:\\x81": -0.25, "bytes:\\x82": -1.5],
                    ["bytes:\\xab": -0.25, "bytes:\\xac": -2.5], ["A": -0.25, "B": -3.5],
                ],
                "text_offset": [0, 0, 0, 1],
            ])
    }

    @Test func echoesCarryThePromptsLogprobs() throws {
        let scored = TokenLogprobs(
            token: 97, logprob: -.infinity, rank: 7,
            top: [.init(token: 98, logprob: -0.125), .init(token: 99, logprob: -3)])
        let fields = "\"prompt\":\"a\",\"echo\":true,\"max_tokens\":1,\"return_token_ids\":true"
        let (json, usage) = try Self.response("{\(fields),\"n\":2,\"logprobs\":1,\"prompt_logprobs\":2}") {
            plan in
            plan.specs.enumerated().map { i, spec in
                Self.sequence(spec, [66], .length, prompt: i == 0 ? [nil, scored] : [])
            }
        }
        for choice in try #require(json["choices"]?.array) {
            #expect(choice["text"] == "aB")
            #expect(choice["logprobs"]?["tokens"] == ["<s>", "a", "B"])
            #expect(choice["logprobs"]?["token_logprobs"] == [nil, -9999.0, -0.5])
            #expect(
                choice["logprobs"]?["top_logprobs"] == [
                    nil, ["b": -0.125, "a": -9999.0], ["A": -0.25, "B": -0.5],
                ])
            #expect(choice["logprobs"]?["text_offset"] == [0, 0, 1])
            #expect(choice["token_ids"] == [66])
            #expect(choice["prompt_token_ids"] == [.int(Int64(Planning.tokenizer.bos)), 97])
            #expect(
                choice["prompt_logprobs"] == [
                    nil,
                    [
                        "97": ["logprob": -9999.0, "rank": 7, "decoded_token": "a"],
                        "98": ["logprob": -0.125, "rank": 1, "decoded_token": "b"],
                        "99": ["logprob": -3.0, "rank": 2, "decoded_token": "c"],
                    ],
                ])
        }
        #expect(usage == Usage(promptTokens: 2, completionTokens: 2), "a prompt counts once, whatever n is")
    }

    @Test func tokensByIDAndVLLMsFieldsInChats() throws {
        let fields =
            "\"logprobs\":true,\"return_tokens_as_token_ids\":true,\"return_token_ids\":true"
        let more = "\(fields),\"prompt_logprobs\":0,\"stop_token_ids\":[66]"
        let body = "{\"messages\":[{\"role\":\"u\",\"content\":\"x\"}],\(more)}"
        let (json, _) = try Self.response(body, .chatCompletions) {
            [Self.sequence($0.specs[0], [65, 66], .stopToken(66), prompt: [nil])]
        }
        let choice = try #require(json["choices"]?.array?.first)
        #expect(choice["message"]?["content"] == "A")
        #expect(choice["stop_reason"] == 66)
        #expect(choice["token_ids"] == [65, 66])
        #expect(
            choice["logprobs"]?["content"]?.array?.compactMap { $0["token"]?.string } == [
                "token_id:65", "token_id:66",
            ])
        #expect(choice["logprobs"]?["content"]?.array?[0]["top_logprobs"] == [])
        #expect(json["prompt_logprobs"] == [nil])
        #expect(json["prompt_token_ids"]?.array?.count == 15)
    }

    /// Ids beyond the tokenizer's (a padded vocabulary) are no text, and crash nothing.
    @Test func paddingTokensAreNoText() throws {
        let padding = Int32(Planning.tokenizer.vocabularySize + 3)
        let (json, _) = try Self.response("{\"prompt\":\"ab\",\"logprobs\":0}") {
            [Self.sequence($0.specs[0], [65, padding, 66], .length)]
        }
        #expect(json["choices"]?.array?[0]["text"] == "AB")
        #expect(json["choices"]?.array?[0]["logprobs"]?["tokens"] == ["A", "", "B"])
    }

    @Test func logprobsHaveFloatsDigits() {
        #expect(JSON.logprob(-0.1).text == "-0.1")
        #expect(JSON.logprob(-.infinity).text == "-9999.0")
        #expect(JSON.logprob(-1e-9).double == -1e-9)
    }
}
