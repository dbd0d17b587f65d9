import Bench
import JSON
import Testing

@Suite struct BulkJobTests {
    @Test func everyLineIsARequestOfTheWantedShape() throws {
        let lines = BulkJob(requests: 300, newTokens: 5, vocabulary: 50).lines
        #expect(lines.count == 300)
        var names: Set<String> = []
        for line in lines {
            let request = try JSON(parsing: line)
            let body = try #require(request["body"])
            let prompt = try #require(body["prompt"]?.array)
            #expect(BulkJob.promptTokens.contains(prompt.count))
            for token in prompt {
                let id = try #require(token.int)
                #expect((0..<50).contains(id))
            }
            #expect(body["max_tokens"]?.int == 5 && body["ignore_eos"] == .bool(true))
            names.insert(try #require(request["custom_id"]?.string))
        }
        #expect(names.count == 300)
    }

    @Test func itIsTheSameEveryTime() {
        let job = BulkJob(requests: 20, newTokens: 5, vocabulary: 1000)
        #expect(job.lines == job.lines)
        // A larger job begins with the smaller one.
        #expect(BulkJob(requests: 40, newTokens: 5, vocabulary: 1000).lines.prefix(20) == job.lines.prefix(20))
    }
}
