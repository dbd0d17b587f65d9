import JSON
import JobQueue
import Testing

/// What a request is taken to cost before anything is tokenized.
@Suite struct RequestEstimateTests {
    private func cost(_ body: String, _ endpoint: Endpoint = .completions) throws -> Int {
        let object = try #require(try JSON(parsing: body).object)
        return Request(customID: "a", endpoint: endpoint, body: object, line: 1).cost
    }

    @Test func promptsAndLimitsAreAdded() throws {
        #expect(try cost(#"{"prompt":"12345678","max_tokens":100}"#) == 102)
        #expect(try cost(#"{"prompt":"123456789","max_tokens":100}"#) == 103)
        #expect(try cost(#"{"prompt":"","max_tokens":0}"#) == 1)
        #expect(try cost(#"{"prompt":"abcd"}"#) == 17)
        #expect(try cost(#"{"messages":[{"role":"user","content":"abcd"}]}"#, .chatCompletions) == 258)
        #expect(try cost(#"{"prompt":[1,2,3],"max_tokens":5}"#) == 8)
        #expect(try cost(#"{"prompt":["abcd","abcd"],"max_tokens":5}"#) == 12)
        #expect(try cost(#"{"prompt":"abcd","max_tokens":5,"n":3}"#) == 16)
        #expect(try cost(#"{"prompt":"abcd","max_tokens":5,"max_completion_tokens":7}"#) == 8)
    }

    @Test(arguments: [
        #"{"prompt":"a","max_tokens":-5}"#, #"{"prompt":{"a":null},"max_tokens":"x"}"#, "{}",
        #"{"prompt":"a","max_tokens":9223372036854775807,"n":9223372036854775807}"#, #"{"messages":7,"n":0}"#,
        #"{"prompt":["a","b"],"max_tokens":9223372036854775807}"#,
    ])
    func anyBodyHasACost(_ body: String) throws {
        #expect((1...Request.maxCost).contains(try cost(body)))
    }

    @Test func theModelIsTheBodys() throws {
        for (body, model) in [(#"{"model":"m"}"#, "m"), ("{}", ""), (#"{"model":5}"#, "")] {
            let object = try #require(try JSON(parsing: body).object)
            let request = Request(customID: "a", endpoint: .completions, body: object, line: 1)
            #expect(request.model == model)
            #expect(String(decoding: request.body, as: UTF8.self) == body)
        }
    }
}
