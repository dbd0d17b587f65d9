import JSON
import JobQueue
import Testing

@testable import Worker

@Suite struct CompletionBodyTests {
    /// A completion body with more fields, as JSON text of an object.
    static func completion(_ fields: String) throws -> CompletionBody {
        var object = try #require(try JSON(parsing: fields).object)
        if object["prompt"] == nil { object["prompt"] = "p" }
        return try CompletionBody.parse(.object(object), endpoint: .completions)
    }

    static func chat(_ fields: String) throws -> CompletionBody {
        var object = try #require(try JSON(parsing: fields).object)
        if object["messages"] == nil { object["messages"] = [["role": "user", "content": "hi"]] }
        return try CompletionBody.parse(.object(object), endpoint: .chatCompletions)
    }

    @Test func silenceMeansTheDefaults() throws {
        let body = try Self.completion("{}")
        #expect(body.sampling == SamplingParameters())
        #expect(body.stops == StopCriteria())
        #expect(body.maxTokens == nil && body.seed == nil && body.topLogprobs == nil && body.model == nil)
        #expect(body.choices == 1 && body.skipsSpecial && !body.echoes && !body.returnsTokens)
        #expect(try Self.completion("{\"temperature\":null,\"nonsense\":null,\"stop\":null}") == body)
    }

    @Test func fieldsAreRead() throws {
        let body = try Self.completion(
            """
            {"model":"m","temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"repetition_penalty":1.1,
            "presence_penalty":-2,"frequency_penalty":2,"logit_bias":{"50256":-100,"3":1.5},"bad_words":["x"],
            "allowed_token_ids":[1,2],"stop":["a","b"],"stop_token_ids":[7],"include_stop_str_in_output":true,
            "ignore_eos":true,"max_tokens":9,"min_tokens":3,"seed":-5,"n":2,"best_of":2,"logprobs":5,"echo":true,
            "prompt_logprobs":1,"return_token_ids":true,"return_tokens_as_token_ids":true,
            "skip_special_tokens":false,"spaces_between_special_tokens":true,"add_special_tokens":false,
            "truncate_prompt_tokens":-1,"user":"u","metadata":{"a":"b"},"store":false,"service_tier":"auto",
            "stream":false,"stream_options":null,"suffix":null}
            """)
        #expect(body.model == "m")
        #expect(body.sampling.temperature == 0.5 && body.sampling.topP == 0.9 && body.sampling.topK == 40)
        #expect(body.sampling.minP == 0.1 && body.sampling.repetitionPenalty == 1.1)
        #expect(body.sampling.presencePenalty == -2 && body.sampling.frequencyPenalty == 2)
        #expect(body.sampling.logitBias == [.init(token: 50256, value: -100), .init(token: 3, value: 1.5)])
        #expect(body.sampling.allowedTokens == [1, 2] && body.badWords == ["x"])
        #expect(body.stops.strings == ["a", "b"] && body.stops.tokens == [7])
        #expect(body.stops.includesStop && body.stops.ignoresEnds && body.stops.minTokens == 3)
        #expect(body.maxTokens == 9 && body.seed == UInt64(bitPattern: -5) && body.choices == 2)
        #expect(body.topLogprobs == 5 && body.promptTopLogprobs == 5 && body.promptLogprobsShown == 1)
        #expect(body.echoes && body.returnsTokens && body.namesTokensByID && !body.skipsSpecial)
        #expect(body.addsSpecial == false && body.truncation == -1)
    }

    @Test func promptsOfEveryKind() throws {
        func prompts(_ text: String) throws -> CompletionBody.Input {
            try Self.completion("{\"prompt\":\(text)}").input
        }
        #expect(try prompts("\"a\"") == .prompts([.text("a")]))
        #expect(try prompts("[\"a\",\"b\"]") == .prompts([.text("a"), .text("b")]))
        #expect(try prompts("[1,2]") == .prompts([.tokens([1, 2])]))
        #expect(try prompts("[[1],[2,3]]") == .prompts([.tokens([1]), .tokens([2, 3])]))
    }

    /// Each is refused with an error that names the field.
    @Test(arguments: [
        ("temperature", "-0.1"), ("temperature", "2.1"), ("temperature", "\"1\""), ("temperature", "true"),
        ("top_p", "0"), ("top_p", "1.01"), ("top_k", "-2"), ("top_k", "1.5"), ("min_p", "-0.1"),
        ("min_p", "1.1"),
        ("repetition_penalty", "0"), ("presence_penalty", "2.5"), ("frequency_penalty", "-3"),
        ("logit_bias", "{\"x\":1}"), ("logit_bias", "{\"1\":101}"), ("logit_bias", "{\"1\":\"a\"}"),
        ("logit_bias", "[1]"), ("logit_bias", "{\"-1\":1}"), ("logit_bias", "{\"01\":1}"),
        ("logit_bias", "{\"1\":1,\"1\":2}"), ("allowed_token_ids", "[]"),
        ("allowed_token_ids", "[-1]"), ("allowed_token_ids", "[1.5]"), ("allowed_token_ids", "3"),
        ("bad_words", "[\"\"]"), ("bad_words", "\"x\""), ("stop", "[\"\"]"), ("stop", "\"\""), ("stop", "5"),
        ("stop", "[1]"), ("stop", "[\(String(repeating: "\"x\",", count: 16))\"x\"]"),
        ("stop_token_ids", "[\"a\"]"), ("stop_token_ids", "[4294967296]"), ("max_tokens", "0"),
        ("max_tokens", "1e30"), ("max_tokens", "-1"), ("min_tokens", "-1"), ("seed", "1.5"),
        ("seed", "\"1\""),
        ("n", "0"), ("n", "129"), ("logprobs", "21"), ("logprobs", "true"), ("logprobs", "-1"),
        ("prompt_logprobs", "-1"), ("echo", "1"), ("ignore_eos", "\"yes\""), ("truncate_prompt_tokens", "0"),
        ("truncate_prompt_tokens", "-2"), ("model", "3"), ("prompt", "{}"), ("prompt", "[]"),
        ("prompt", "[true]"),
        ("prompt", "[1,\"a\"]"), ("prompt", "[\"a\",1]"), ("prompt", "[[1],\"a\"]"),
        ("prompt", "[[1],[\"a\"]]"),
        ("prompt", "[-1]"), ("prompt", "3"), ("user", "1"), ("metadata", "{\"a\":1}"),
        ("return_token_ids", "0"),
    ])
    func badValuesNameTheirField(_ field: String, _ value: String) throws {
        let error = #expect(throws: OutcomeError.self) { try Self.completion("{\"\(field)\":\(value)}") }
        #expect(error?.parameter == field)
        #expect(error?.code == "invalid_request")
        #expect(error?.statusCode == 400)
        #expect(error?.message.hasPrefix("\(field): ") == true)
    }

    @Test(arguments: [
        ("stream", "true"), ("best_of", "3"), ("suffix", "\"x\""), ("stream_options", "{}"),
        ("store", "true"),
        ("service_tier", "\"flex\""), ("response_format", "{\"type\":\"json_object\"}"),
        ("guided_json", "{}"),
        ("use_beam_search", "true"), ("typical_p", "0.5"), ("parallel_tool_calls", "false"),
    ])
    func whatIsNotDoneIsRefused(_ field: String, _ value: String) throws {
        let error = #expect(throws: OutcomeError.self) { try Self.completion("{\"\(field)\":\(value)}") }
        #expect(error?.parameter == field)
        #expect(error?.code == "unsupported_field")
    }

    @Test(arguments: ["temperatur", "messages", "top_logprobs", "tools"])
    func unknownFieldsAreNamed(_ field: String) throws {
        let error = #expect(throws: OutcomeError.self) { try Self.completion("{\"\(field)\":1}") }
        #expect(error?.code == "unknown_field")
        #expect(error?.parameter == field)
    }

    @Test func contradictionsAreRefused() throws {
        func refused(_ fields: String, _ field: String) {
            let error = #expect(throws: OutcomeError.self) { try Self.completion(fields) }
            #expect(error?.parameter == field)
        }
        refused("{\"max_tokens\":3,\"min_tokens\":4}", "min_tokens")
        refused("{\"temperature\":1,\"temperature\":0}", "temperature")
        refused("{\"max_tokens\":3,\"max_completion_tokens\":4}", "max_completion_tokens")
        refused(
            "{\"prompt\":[\(Array(repeating: "\"x\"", count: 9).joined(separator: ","))],\"n\":128}", "prompt"
        )
        #expect(throws: OutcomeError.self) { try CompletionBody.parse([1], endpoint: .completions) }
        let missing = #expect(throws: OutcomeError.self) {
            try CompletionBody.parse([:], endpoint: .completions)
        }
        #expect(missing?.parameter == "prompt")
    }

    @Test func edgesOfRangesAreAccepted() throws {
        #expect(try Self.completion("{\"temperature\":0}").sampling.isGreedy)
        #expect(
            try Self.completion("{\"temperature\":2,\"top_p\":1,\"min_p\":1,\"top_k\":-1}").sampling.topK == 0
        )
        #expect(try Self.completion("{\"seed\":-1}").seed == nil)
        #expect(try Self.completion("{\"seed\":9223372036854775807}").seed == UInt64(Int64.max))
        #expect(try Self.completion("{\"echo\":true,\"max_tokens\":0}").maxTokens == 0)
        #expect(try Self.completion("{\"logprobs\":0}").topLogprobs == 0)
        #expect(try Self.completion("{\"logprobs\":20}").topLogprobs == 20)
        #expect(try Self.completion("{\"max_completion_tokens\":5}").maxTokens == 5)
        #expect(try Self.completion("{\"stop\":[]}").stops.strings == [])
    }

    // Chat.

    @Test func chatFieldsAreRead() throws {
        let body = try Self.chat(
            """
            {"messages":[{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
            "function":{"name":"f","arguments":"{\\"x\\":1}"}}]},
            {"role":"tool","tool_call_id":"1","content":"7","name":null}],
            "tools":[{"type":"function"}],"chat_template_kwargs":{"enable_thinking":false},
            "add_generation_prompt":false,"continue_final_message":true,"max_completion_tokens":5,"max_tokens":5,
            "logprobs":true,"top_logprobs":2,"tool_choice":"auto","response_format":{"type":"text"}}
            """)
        guard case .chat(let chat) = body.input else {
            Issue.record("no chat")
            return
        }
        #expect(chat.messages[0] == ["role": "system", "content": "a\nb"])
        #expect(chat.messages[1]["tool_calls"]?.array?[0]["function"]?["arguments"] == ["x": 1])
        #expect(chat.messages[1]["content"] == .null)
        #expect(chat.messages[2] == ["role": "tool", "tool_call_id": "1", "content": "7"])
        #expect(chat.tools.count == 1 && !chat.addsGenerationPrompt && chat.continuesFinalMessage)
        #expect(chat.variables["enable_thinking"] == false)
        #expect(body.maxTokens == 5 && body.topLogprobs == 2)
        #expect(try Self.chat("{\"logprobs\":true}").topLogprobs == 0)
        #expect(try Self.chat("{\"logprobs\":false}").topLogprobs == nil)
    }

    @Test(arguments: [
        ("{\"messages\":[]}", "messages"), ("{\"messages\":{}}", "messages"),
        ("{\"messages\":[1]}", "messages[0]"),
        ("{\"messages\":[{\"content\":\"a\"}]}", "messages[0].role"),
        ("{\"messages\":[{\"role\":1,\"content\":\"a\"}]}", "messages[0].role"),
        ("{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":3}]}", "messages[0].content"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"x\":1}]}", "messages[0].x"),
        (
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]}",
            "messages[0].content[0].type"
        ),
        (
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
            "messages[0].content[0].text"
        ),
        ("{\"top_logprobs\":2}", "top_logprobs"), ("{\"logprobs\":true,\"top_logprobs\":21}", "top_logprobs"),
        ("{\"logprobs\":3}", "logprobs"), ("{\"tools\":[1]}", "tools[0]"),
        ("{\"tool_choice\":\"required\"}", "tool_choice"),
        ("{\"continue_final_message\":true}", "continue_final_message"), ("{\"echo\":true}", "echo"),
        ("{\"chat_template_kwargs\":{\"messages\":1}}", "chat_template_kwargs"),
        ("{\"prompt\":\"a\"}", "prompt"),
        ("{\"functions\":[]}", "functions"), ("{\"modalities\":[\"audio\"]}", "modalities"),
        ("{\"max_completion_tokens\":0}", "max_completion_tokens"), ("{\"n\":1.5}", "n"),
    ])
    func badChatsNameTheirField(_ fields: String, _ field: String) throws {
        let error = #expect(throws: OutcomeError.self) { try Self.chat(fields) }
        #expect(error?.parameter == field)
    }
}
