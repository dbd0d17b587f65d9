import JSON
import JobQueue
import Testing

@testable import Worker

/// Requests of one body against a toy model with a context of 32 tokens.
enum Planning {
    struct Template: ChatRenderer {
        func render(_ input: ChatInput) throws -> String {
            var text = "<s>"
            for message in input.messages {
                guard let role = message["role"]?.string, let content = message["content"]?.string else {
                    continue
                }
                if role == "system" { throw TemplateRefusal(description: "no system role") }
                text += "\(role):\(content)</s>"
            }
            return input.addsGenerationPrompt ? text + "assistant:" : text
        }
    }

    struct TemplateRefusal: Error, CustomStringConvertible { var description: String }

    static let tokenizer = ToyTokenizer.bytesAndWords
    static let model = ServedModel(
        name: "toy", tokenizer: tokenizer, chat: Template(), contextLength: 32,
        vocabulary: tokenizer.vocabularySize + 10)

    static func lease(_ endpoint: Endpoint, customID: String = "a", batchSeed: UInt64 = 3) -> LeasedRequest {
        LeasedRequest(
            lease: Lease(key: RequestKey(batch: BatchID("batch_0123"), ordinal: 4), attempt: 1),
            request: Request(customID: customID, endpoint: endpoint, body: []), tenant: "t", priority: 2,
            batchSeed: batchSeed, expiresAt: Timestamp(milliseconds: 0))
    }

    static func plan(
        _ body: String, _ endpoint: Endpoint = .completions, customID: String = "a",
        model: ServedModel = model
    ) throws -> RequestPlan {
        let parsed = try CompletionBody.parse(try JSON(parsing: body), endpoint: endpoint)
        return try RequestPlan(lease(endpoint, customID: customID), body: parsed, model: model)
    }

    static func error(_ body: String, _ endpoint: Endpoint = .completions) -> OutcomeError? {
        do {
            _ = try plan(body, endpoint)
            return nil
        } catch {
            return error as? OutcomeError
        }
    }
}

@Suite struct RequestPlanTests {
    let tokenizer = Planning.tokenizer

    @Test func everyPromptGetsItsChoices() throws {
        let plan = try Planning.plan(
            "{\"prompt\":[\"a\",\"bc\"],\"n\":2,\"prompt_logprobs\":1,\"ignore_eos\":true}")
        #expect(plan.prompts.map(\.tokens) == [[tokenizer.bos, 97], [tokenizer.bos, 98, 99]])
        #expect(
            plan.specs.map(\.prompt)
                == [plan.prompts[0], plan.prompts[0], plan.prompts[1], plan.prompts[1]].map(\.tokens))
        #expect(plan.specs.map(\.id.choice) == [0, 1, 2, 3])
        #expect(plan.specs.map(\.promptTopLogprobs) == [1, nil, 1, nil])
        #expect(Set(plan.specs.map(\.seed)).count == 4)
        #expect(plan.specs[0].tenant == "t" && plan.specs[0].priority == 2)
        #expect(
            plan.specs[0].stops.ends == [tokenizer.eos, tokenizer.eos + 1] && plan.specs[0].stops.ignoresEnds)
    }

    @Test func seedsComeFromTheBodyOrTheName() throws {
        func seed(_ fields: String, _ customID: String) throws -> RequestSeed {
            try Planning.plan("{\"prompt\":\"a\"\(fields)}", customID: customID).specs[0].seed
        }
        #expect(try seed("", "x") == RequestSeed.derive(batchSeed: 3, customID: "x", choice: 0))
        #expect(try seed("", "x") != seed("", "y"))
        #expect(try seed(",\"seed\":5", "x") == seed(",\"seed\":5", "y"))
        #expect(try seed(",\"seed\":-1", "x") == seed("", "x"))
    }

    @Test func specialTokensOfPrompts() throws {
        #expect(
            try Planning.plan("{\"prompt\":\"a</s>\"}").specs[0].prompt == [tokenizer.bos, 97, tokenizer.eos])
        #expect(try Planning.plan("{\"prompt\":\"a\",\"add_special_tokens\":false}").specs[0].prompt == [97])
        #expect(try Planning.plan("{\"prompt\":[97]}").specs[0].prompt == [97])
        let chat = try Planning.plan("{\"messages\":[{\"role\":\"u\",\"content\":\"x\"}]}", .chatCompletions)
        let assistant = "assistant:".utf8.map { Int32($0) }
        #expect(chat.specs[0].prompt == [tokenizer.bos, 117, 58, 120, tokenizer.eos] + assistant)
    }

    @Test func lengthsFillTheContextWhenSilent() throws {
        #expect(try Planning.plan("{\"prompt\":[1,2]}").specs[0].maxTokens == 16)
        let ids = (1...20).map(String.init).joined(separator: ",")
        #expect(try Planning.plan("{\"prompt\":[\(ids)]}").specs[0].maxTokens == 12)
        #expect(try Planning.plan("{\"prompt\":[\(ids)],\"max_tokens\":12}").specs[0].maxTokens == 12)
        let chat = try Planning.plan("{\"messages\":[{\"role\":\"u\",\"content\":\"x\"}]}", .chatCompletions)
        #expect(chat.specs[0].maxTokens == 32 - chat.specs[0].prompt.count)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let ids = (1...20).map(String.init).joined(separator: ",")
        let tooMany = try #require(Planning.error("{\"prompt\":[\(ids)],\"max_tokens\":13}"))
        #expect(tooMany.code == "context_length_exceeded" && tooMany.parameter == "max_tokens")
        #expect(["20", "13", "32"].allSatisfy(tooMany.message.contains))
        let full = (1...32).map(String.init).joined(separator: ",")
        #expect(Planning.error("{\"prompt\":[\(full)]}")?.code == "context_length_exceeded")
        #expect(Planning.error("{\"prompt\":[\(full)]}")?.parameter == "prompt")
        // Only to be scored, it fits.
        #expect(
            try Planning.plan("{\"prompt\":[\(full)],\"echo\":true,\"max_tokens\":0}").specs[0].maxTokens == 0
        )
        #expect(Planning.error("{\"prompt\":[1],\"min_tokens\":17}")?.parameter == "min_tokens")
    }

    @Test func truncationKeepsTheEnd() throws {
        func prompt(_ fields: String) throws -> RequestPlan.PlannedPrompt {
            try Planning.plan("{\(fields)}").prompts[0]
        }
        #expect(try prompt("\"prompt\":[1,2,3],\"truncate_prompt_tokens\":2").tokens == [2, 3])
        let text = try prompt("\"prompt\":\"abc\",\"truncate_prompt_tokens\":2")
        #expect(text.tokens == [tokenizer.bos, 99] && text.text == nil)
        let long = (1...40).map(String.init).joined(separator: ",")
        let fitted = try prompt("\"prompt\":[\(long)],\"truncate_prompt_tokens\":-1,\"max_tokens\":30")
        #expect(fitted.tokens == [39, 40])
    }

    @Test(arguments: [
        ("{\"prompt\":[999]}", "prompt"), ("{\"prompt\":[[1],[999]]}", "prompt[1]"),
        ("{\"prompt\":\"a\",\"logit_bias\":{\"999\":1}}", "logit_bias"),
        ("{\"prompt\":\"a\",\"allowed_token_ids\":[999]}", "allowed_token_ids"),
        ("{\"prompt\":\"a\",\"stop_token_ids\":[999]}", "stop_token_ids"), ("{\"prompt\":[[]]}", "prompt"),
        ("{\"prompt\":\"\",\"add_special_tokens\":false}", "prompt"),
        ("{\"prompt\":\"a\",\"bad_words\":[\" \"]}", "bad_words"),
    ])
    func tokensTheModelHasNotAreRefused(_ body: String, _ field: String) {
        #expect(Planning.error(body)?.parameter == field)
    }

    @Test func badWordsAtTheStartAndInside() throws {
        let plan = try Planning.plan("{\"prompt\":\"a\",\"bad_words\":[\"foo\",\" bar\",\"xy\"]}")
        let (foo, spaceFoo, bar, spaceBar) = (Int32(256), Int32(257), Int32(258), Int32(259))
        // " xy" is three tokens, "xy" two: only as long sequences are banned with it.
        #expect(plan.specs[0].badWords == [[foo], [spaceFoo], [bar], [spaceBar], [120, 121]])
    }

    @Test func templatesSayWhyTheyRefuse() throws {
        let error = try #require(
            Planning.error("{\"messages\":[{\"role\":\"system\",\"content\":\"x\"}]}", .chatCompletions))
        #expect(error.parameter == "messages" && error.message.contains("no system role"))
        var bare = Planning.model
        bare.chat = nil
        #expect(throws: OutcomeError.self) {
            try Planning.plan(
                "{\"messages\":[{\"role\":\"u\",\"content\":\"x\"}]}", .chatCompletions, model: bare)
        }
    }

    @Test func finalMessagesGoOn() throws {
        let plan = try Planning.plan(
            """
            {"messages":[{"role":"u","content":"x"},{"role":"assistant","content":"y"}],
            "add_generation_prompt":false,"continue_final_message":true}
            """, .chatCompletions)
        #expect(plan.prompts[0].text == "<s>u:x</s>assistant:y")
        #expect(RequestPlan.cut("a:b c</s>", afterLast: "b c") == "a:b c")
        #expect(RequestPlan.cut("a:b</s>", afterLast: " b \n") == "a:b")
        #expect(RequestPlan.cut("a: b  </s>", afterLast: " b ") == "a: b ")
        #expect(RequestPlan.cut("b:b</s>", afterLast: "b") == "b:b")
        #expect(RequestPlan.cut("a:c</s>", afterLast: "b") == nil)
    }
}
