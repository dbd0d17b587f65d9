import Foundation
import JSON
import RedisServer
import Testing

/// A queue that goes away, and models that nobody serves.
@Suite(.serialized) struct OutageTests {
    /// Redis is killed again and again while a worker computes: it goes on, and settles each request once.
    @Test func aWorkerOutlivesRedis() throws {
        let team = try Team(.redis)
        let server = try #require(team.server)
        let count = 60
        let input = try team.scratch.write("in.jsonl", TeamTests.long(count))
        let batch = try team.submit(input)
        let worker = try team.worker(
            "--max-num-seqs", "8", "--lease", "3s", "--log-level", "debug", "--log-format", "json")
        defer { worker.kill(SIGKILL) }
        try team.until("something is done") { try team.count("completed", of: batch) > 0 }
        func said(_ message: String) throws -> [JSON] {
            try worker.errors().filter { $0["message"]?.string == message }
        }
        for _ in 0..<3 {
            let answered = try said("the queue answers again").count
            server.kill()
            // Long enough for what runs to end, so that the worker has something to tell.
            try team.until("the worker misses it") {
                try said("the queue does not answer; running requests go on").count > answered
            }
            usleep(300_000)
            try server.start()
            try team.until("it goes on") { try said("the queue answers again").count > answered }
        }
        let waited = try team.run("wait", batch, "--quiet")
        #expect(waited.status == 0, "\(waited.output) \(waited.errors)")
        #expect(try team.results(batch).compactMap { $0["custom_id"]?.string } == (0..<count).map { "r\($0)" })
        let usage = try team.json("usage", "--by", "tenant").array?.first
        #expect(usage?["completed"]?.int == count)
        #expect(usage?["usage"]?["completion_tokens"]?.int == count * 200)
        worker.kill(SIGTERM)
        let ended = try worker.wait()
        #expect(ended.status == 0)
        // A reply that was lost with the server: settled there, and told so when it is repeated.
        let settled = try said("settled").compactMap { $0["request"]?.int }
        let late = try said("lease lost before its outcome was settled").compactMap { $0["request"]?.int }
        #expect(settled.count == Set(settled).count, "settled twice: \(settled.sorted())")
        #expect(Set(settled).union(late) == Set(0..<count))
    }

    @Test(arguments: Team.Store.allCases)
    func whatNobodyServesIsSaid(_ store: Team.Store) throws {
        let team = try Team(store)
        let input = try team.scratch.write(
            "in.jsonl",
            """
            {"prompt": "a", "model": "rare", "max_tokens": 2}
            {"prompt": "b", "max_tokens": 2}

            """)
        let submitted = try team.run("submit", input)
        #expect(submitted.status == 0, "\(submitted.errors)")
        #expect(submitted.errors.contains("2 requests wait, and no worker lives"))
        let batch = submitted.output.trimmingCharacters(in: .whitespacesAndNewlines)
        func worker(_ name: String) throws -> MillraceProcess {
            try team.start(
                ["worker", "--model", MillraceProcess.tinyLlama, "--served-model-name", name, "--threads", "1"])
        }
        let first = try worker("tiny")
        defer { first.kill(SIGKILL) }
        try team.until("the other is done") { try team.count("completed", of: batch) == 1 }
        for command in [["status", batch], ["status"], ["queues"], ["wait", batch, "--timeout", "1s"]] {
            let ended = try team.start(command).wait()
            #expect(ended.status == (command[0] == "wait" ? 4 : 0))
            #expect(ended.errors.contains(#"no living worker serves: "rare" (1)"#), "\(command): \(ended.errors)")
        }
        #expect(try team.status(batch)["unserved_models"]?["rare"]?.int == 1)
        let queues = try team.json("queues")
        #expect(queues["unserved_models"]?["rare"]?.int == 1)
        #expect(queues["depths"]?.array?.first?["workers"]?.int == 0)
        let second = try worker("rare")
        defer { second.kill(SIGKILL) }
        let waited = try team.run("wait", batch, "--json")
        #expect(waited.status == 0, "\(waited.errors)")
        let status = try JSON(parsing: Array(waited.output.utf8))
        #expect(status["unserved_models"]?.object?.isEmpty == true)
    }
}
