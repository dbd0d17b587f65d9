import Foundation
import JSON
import Testing

/// `millrace run`, as a person types it, on a tiny checkpoint.
@Suite struct RunTests {
    /// What of a result must be the same in every run: all but when it was made, and what the prefix cache served.
    static func comparable(_ lines: [JSON]) -> [String: String] {
        Dictionary(
            lines.map { line in
                let body = line["response"]?["body"]
                return (line["custom_id"]?.string ?? "?", (body?["choices"] ?? line["error"] ?? .null).text)
            }, uniquingKeysWith: { first, _ in "twice: \(first)" })
    }

    static func prompts(_ count: Int, maxTokens: Int) -> String {
        (0..<count).map { index in
            let prompt = String(repeating: "some words that begin alike ", count: index % 3) + "and end with \(index)"
            return """
                {"custom_id": "r\(index)", "prompt": "\(prompt)", "max_tokens": \(maxTokens), "ignore_eos": true, \
                "temperature": \(index % 2), "logprobs": 2}
                """
        }.joined(separator: "\n") + "\n"
    }

    static func arguments(_ input: String, _ more: String...) -> [String] {
        ["run", input, "-o", "results.jsonl", "--model", MillraceProcess.tinyLlama, "--quiet"] + more
    }

    @Test func completesABatch() throws {
        let scratch = try Scratch()
        let input = try scratch.write("in.jsonl", Self.prompts(20, maxTokens: 5))
        let ended = try MillraceProcess.run(Self.arguments(input, "--order", "input"), in: scratch.url)
        #expect(ended.status == 0, "\(ended.errors)")
        let lines = try scratch.lines("results.jsonl")
        #expect(lines.map { $0["custom_id"]?.string } == (0..<20).map { "r\($0)" })
        for line in lines {
            #expect(line["response"]?["status_code"]?.int == 200)
            #expect(line["response"]?["body"]?["usage"]?["completion_tokens"]?.int == 5)
        }
        // The same command again has nothing to do and changes nothing.
        let before = try Data(contentsOf: scratch.url.appending(path: "results.jsonl"))
        #expect(try MillraceProcess.run(Self.arguments(input, "--order", "input"), in: scratch.url).status == 0)
        #expect(try Data(contentsOf: scratch.url.appending(path: "results.jsonl")) == before)
    }

    /// Killed at thirty random moments and begun again each time, it ends with what an undisturbed run ends with.
    @Test func survivesKills() throws {
        let calm = try Scratch()
        let text = Self.prompts(300, maxTokens: 40)
        var ended = try MillraceProcess.run(Self.arguments(try calm.write("in.jsonl", text)), in: calm.url)
        try #require(ended.status == 0, "\(ended.errors)")
        let expected = Self.comparable(try calm.lines("results.jsonl"))
        try #require(expected.count == 300)

        let stormy = try Scratch()
        let input = try stormy.write("in.jsonl", text)
        var kills = 0
        var restarts = false
        while kills < 30 {
            let process = try MillraceProcess(
                Self.arguments(input) + (restarts ? ["--restart"] : []), in: stormy.url)
            usleep(.random(in: 1_000...250_000))
            process.kill(SIGKILL)
            ended = try process.wait()
            if ended.wasKilled { kills += 1 }
            try #require(ended.wasKilled || ended.status == 0, "\(ended.errors)")
            // It came to the end between two kills: once more from the beginning.
            restarts = !ended.wasKilled
            if restarts { #expect(Self.comparable(try stormy.lines("results.jsonl")) == expected) }
        }
        ended = try MillraceProcess.run(Self.arguments(input), in: stormy.url)
        #expect(ended.status == 0, "\(ended.errors)")
        let lines = try stormy.lines("results.jsonl")
        #expect(lines.count == 300)
        #expect(Self.comparable(lines) == expected)
        #expect(!FileManager.default.fileExists(atPath: stormy.url.appending(path: "results.errors.jsonl").path))
    }

    @Test func badLinesHurtNobodyElse() throws {
        let scratch = try Scratch()
        let good = #"{"custom_id": "good-N", "prompt": "Hello", "max_tokens": 2}"#
        let bad = [
            "{", "[]", "17", #"{"prompt": 5}"#, #"{"prompt": "a", "messages": []}"#, #"{"prompt": "a", "unknown": 1}"#,
            #"{"custom_id": "x", "method": "GET", "url": "/v1/completions", "body": {"prompt": "a"}}"#,
            #"{"custom_id": "y", "method": "POST", "url": "/v1/embeddings", "body": {"input": "a"}}"#,
            #"{"prompt": "a", "temperature": -1}"#, #"{"prompt": "a", "stream": true}"#, #"{"prompt": []}"#,
            #"{"prompt": "a", "max_tokens": 100000}"#,
        ]
        let lines = (0..<100).map { bad[$0 % bad.count] + "\n" + good.replacing("N", with: "\($0)") }
        let input = try scratch.write("in.jsonl", lines.joined(separator: "\n"))
        let ended = try MillraceProcess.run(Self.arguments(input), in: scratch.url)
        #expect(ended.status == 1, "\(ended.errors)")
        #expect(try scratch.lines("results.jsonl").count == 100)
        let errors = try scratch.lines("results.errors.jsonl")
        #expect(errors.count == 100)
        for error in errors { #expect(error["error"]?["message"]?.string?.isEmpty == false) }
        let numbers = Set(errors.compactMap { $0["error"]?["line"]?.int })
        #expect(numbers == Set((0..<100).map { $0 * 2 + 1 }))
    }

    @Test func interruptHandsBackAndGoesOn() throws {
        let scratch = try Scratch()
        let input = try scratch.write("in.jsonl", Self.prompts(400, maxTokens: 150))
        // Few at once: when the first is done, nearly all are still to do.
        let process = try MillraceProcess(Self.arguments(input, "--max-num-seqs", "8"), in: scratch.url)
        while process.isRunning, try scratch.lines("results.jsonl").isEmpty { usleep(5_000) }
        process.kill(SIGTERM)
        process.kill(SIGTERM)
        let ended = try process.wait()
        #expect(ended.status == 143, "\(ended.errors)")
        #expect(!ended.wasKilled)
        let again = try MillraceProcess.run(Self.arguments(input), in: scratch.url)
        #expect(again.status == 0, "\(again.errors)")
        let ids = try scratch.lines("results.jsonl").compactMap { $0["custom_id"]?.string }
        #expect(ids.count == 400)
        #expect(Set(ids).count == 400)
    }

    @Test func refusesAChangedInput() throws {
        let scratch = try Scratch()
        let input = try scratch.write("in.jsonl", Self.prompts(3, maxTokens: 2))
        #expect(try MillraceProcess.run(Self.arguments(input), in: scratch.url).status == 0)
        _ = try scratch.write("in.jsonl", Self.prompts(4, maxTokens: 2))
        let refused = try MillraceProcess.run(Self.arguments(input), in: scratch.url)
        #expect(refused.status > 1)
        #expect(refused.errors.contains("--restart"))
        #expect(try scratch.lines("results.jsonl").count == 3)
        #expect(try MillraceProcess.run(Self.arguments(input, "--restart"), in: scratch.url).status == 0)
        #expect(try scratch.lines("results.jsonl").count == 4)
    }

    @Test func saysWhatIsWrongWithTheModel() throws {
        let scratch = try Scratch()
        let input = try scratch.write("in.jsonl", Self.prompts(1, maxTokens: 1))
        let missing = try MillraceProcess.run(["run", input, "-o", "r.jsonl", "--model", "nowhere"], in: scratch.url)
        #expect(missing.status == 3)
        #expect(missing.errors.contains("nowhere"))
        let noModel = try scratch.write("bad.gguf", "GGUF and nothing else")
        let broken = try MillraceProcess.run(["run", input, "-o", "r.jsonl", "--model", noModel], in: scratch.url)
        #expect(broken.status == 3)
        #expect(broken.errors.contains("bad.gguf"))
    }

    @Test(.enabled(if: MillraceProcess.demoModel != nil, "the demo model is not fetched: make model"))
    func chatsWithTheDemoModel() throws {
        let scratch = try Scratch()
        let input = try scratch.write(
            "in.jsonl",
            #"{"custom_id": "q", "messages": [{"role": "user", "content": "What is the capital of France?"}], "#
                + #""temperature": 0, "max_tokens": 24}"# + "\n")
        let ended = try MillraceProcess.run(
            ["run", input, "-o", "r.jsonl", "--model", MillraceProcess.demoModel ?? "", "--quiet"], in: scratch.url)
        #expect(ended.status == 0, "\(ended.errors)")
        let message = try scratch.lines("r.jsonl").first?["response"]?["body"]?["choices"]?.array?.first?["message"]
        #expect(message?["content"]?.string?.contains("Paris") == true)
    }
}
