import Foundation
import JSON
import RedisServer
import Testing

/// A queue that several processes work on, as a team would use it.
struct Team {
    let scratch: Scratch
    let address: String
    /// Nil where the queue is a file.
    let server: RedisServer?

    private init(scratch: Scratch, address: String, server: RedisServer?) {
        self.scratch = scratch
        self.address = address
        self.server = server
    }

    /// What queues can be on.
    enum Store: String, CaseIterable, CustomTestStringConvertible {
        case sqlite, redis

        var testDescription: String { rawValue }
    }

    init(_ store: Store) throws {
        let scratch = try Scratch()
        switch store {
        case .sqlite:
            self.init(scratch: scratch, address: scratch.url.appending(path: "queue.sqlite").path, server: nil)
        case .redis:
            let server = try RedisServer()
            self.init(scratch: scratch, address: "unix://\(server.socket)", server: server)
        }
    }

    private var environment: [String: String] { ["MILLRACE_QUEUE": address] }

    func run(_ arguments: String...) throws -> MillraceProcess.Ended {
        try MillraceProcess.run(arguments, in: scratch.url, environment: environment)
    }

    func start(_ arguments: [String]) throws -> MillraceProcess {
        try MillraceProcess(arguments, in: scratch.url, environment: environment)
    }

    /// A worker on a tiny model, for requests that name any model.
    func worker(_ more: String...) throws -> MillraceProcess {
        try start(
            ["worker", "--model", MillraceProcess.tinyLlama, "--served-model-name", "tiny,*", "--threads", "1"] + more)
    }

    /// - Returns: the batch's id.
    func submit(_ input: String, _ more: String...) throws -> String {
        let ended = try MillraceProcess.run(["submit", input] + more, in: scratch.url, environment: environment)
        try #require(ended.status == 0, "\(ended.errors)")
        return ended.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func status(_ batch: String) throws -> JSON {
        try json("status", batch)
    }

    func json(_ arguments: String...) throws -> JSON {
        let ended = try MillraceProcess.run(
            arguments + ["--json"], in: scratch.url, environment: environment)
        try #require(ended.status == 0, "\(arguments): \(ended.errors)")
        return try JSON(parsing: Array(ended.output.utf8))
    }

    func count(_ state: String, of batch: String) throws -> Int {
        try #require(try status(batch)["requests"]?[state]?.int)
    }

    /// Result lines, read from standard output.
    func results(_ batch: String) throws -> [JSON] {
        let ended = try run("results", batch, "--order", "input")
        try #require(ended.status == 0, "\(ended.errors)")
        return try ended.output.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
    }

    /// Looks again and again until it is so.
    func until(_ what: String, seconds: Int = 60, _ isSo: () throws -> Bool) throws {
        for _ in 0..<(seconds * 20) {
            if try isSo() { return }
            usleep(50_000)
        }
        Issue.record("waited \(seconds) s in vain until \(what)")
        throw CancellationError()
    }
}

/// Submit, work, results, usage; workers that stop, die and take over.
@Suite(.serialized) struct TeamTests {
    /// Requests that take a while, even on a tiny model.
    static func long(_ count: Int, choices: Int = 1) -> String {
        (0..<count).map {
            """
            {"custom_id": "r\($0)", "prompt": "word \($0)", "max_tokens": 200, "ignore_eos": true, "n": \(choices), \
            "temperature": 1}

            """
        }.joined()
    }

    @Test(arguments: Team.Store.allCases)
    func fromSubmitToUsage(_ store: Team.Store) throws {
        let team = try Team(store)
        let input = try team.scratch.write("in.jsonl", RunTests.prompts(60, maxTokens: 8) + "not a request\n")
        let batch = try team.submit(input, "--tenant", "acme", "--metadata", "job=7", "--priority", "2")
        // The same again is the same.
        #expect(try team.submit(input, "--tenant", "acme", "--metadata", "job=7", "--priority", "2") == batch)
        #expect(try team.json("list").array?.count == 1)
        #expect(try team.json("queues")["depths"]?.array?.first?["queued"]?.int == 60)

        let worker = try team.worker()
        defer { worker.kill(SIGKILL) }
        let waited = try team.run("wait", batch, "--quiet")
        // One line was refused.
        #expect(waited.status == 1, "\(waited.errors)")
        let status = try team.status(batch)
        #expect(status["state"]?.string == "completed")
        #expect(status["tenant"]?.string == "acme")
        #expect(status["metadata"]?["job"]?.string == "7")
        #expect(status["requests"]?["completed"]?.int == 60)
        #expect(status["requests"]?["failed"]?.int == 1)

        // The results are those of a run by itself, bit for bit.
        let alone = try Scratch()
        let own = try MillraceProcess.run(RunTests.arguments(input), in: alone.url)
        try #require(own.status == 1, "\(own.errors)")
        let results = try team.results(batch)
        #expect(results.count == 61)
        let succeeded = results.filter { $0["error"]?.isNull == true }
        #expect(RunTests.comparable(succeeded) == RunTests.comparable(try alone.lines("results.jsonl")))
        let refused = try #require(results.last)
        #expect(refused["error"]?["code"]?.string == "invalid_json")
        #expect(refused["error"]?["line"]?.int == 61)

        // As a file, and page by page.
        #expect(try team.run("results", batch, "-o", "r.jsonl").status == 0)
        #expect(try team.scratch.lines("r.jsonl").count == 60)
        #expect(try team.scratch.lines("r.errors.jsonl").count == 1)
        let first = try team.run("results", batch, "--limit", "20")
        let cursor = try #require(first.errors.split(separator: " ").last).trimmingCharacters(in: .newlines)
        let rest = try team.run("results", batch, "--cursor", cursor)
        #expect(first.output.split(separator: "\n").count == 20)
        #expect(rest.output.split(separator: "\n").count == 41)
        #expect(Set((first.output + rest.output).split(separator: "\n")).count == 61)

        // The ledger has what the batch has.
        let usage = try team.json("usage", "--by", "tenant")
        #expect(usage.array?.count == 1)
        #expect(usage.array?.first?["usage"]?["total_tokens"]?.int == status["usage"]?["total_tokens"]?.int)
        #expect(usage.array?.first?["completed"]?.int == 60)

        let workers = try team.json("workers")
        #expect(workers.array?.count == 1)
        #expect(workers.array?.first?["phase"]?.string == "running")
        #expect(try team.json("top")["workers"]?.array?.count == 1)
        worker.kill(SIGTERM)
        #expect(try worker.wait().status == 0)
        #expect(try team.json("workers").array?.isEmpty == true)
    }

    @Test(arguments: Team.Store.allCases)
    func aStoppedWorkerDrains(_ store: Team.Store) throws {
        let team = try Team(store)
        let input = try team.scratch.write("in.jsonl", Self.long(80))
        let batch = try team.submit(input, "--max-attempts", "1")
        let first = try team.worker("--drain-timeout", "100ms", "--max-num-seqs", "16")
        defer { first.kill(SIGKILL) }
        try team.until("something runs") { try team.count("running", of: batch) > 0 }
        first.kill(SIGTERM)
        let ended = try first.wait()
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(!ended.wasKilled)
        // Whatever did not finish is queued again, at once and unpenalised: one failed attempt would end it.
        #expect(try team.count("running", of: batch) == 0)
        #expect(try team.count("queued", of: batch) > 0)
        let second = try team.worker()
        defer { second.kill(SIGKILL) }
        let waited = try team.run("wait", batch, "--quiet")
        #expect(waited.status == 0, "\(waited.output) \(waited.errors)")
        #expect(try team.results(batch).count == 80)
    }

    @Test(arguments: Team.Store.allCases)
    func anotherWorkerFinishesWhatADeadOneBegan(_ store: Team.Store) throws {
        let team = try Team(store)
        let input = try team.scratch.write("in.jsonl", Self.long(100))
        let batch = try team.submit(input)
        let doomed = try team.worker("--lease", "3s")
        defer { doomed.kill(SIGKILL) }
        try team.until("something is done") { try team.count("completed", of: batch) > 0 }
        doomed.kill(SIGKILL)
        #expect(try doomed.wait().wasKilled)
        let heir = try team.worker("--lease", "3s")
        defer { heir.kill(SIGKILL) }
        let waited = try team.run("wait", batch, "--quiet")
        #expect(waited.status == 0, "\(waited.output) \(waited.errors)")
        let ids = try team.results(batch).compactMap { $0["custom_id"]?.string }
        #expect(ids == (0..<100).map { "r\($0)" })
    }

    @Test(arguments: Team.Store.allCases)
    func aCancelledBatchStops(_ store: Team.Store) throws {
        let team = try Team(store)
        let input = try team.scratch.write("long.jsonl", Self.long(100, choices: 4))
        let batch = try team.submit(input)
        let worker = try team.worker()
        defer { worker.kill(SIGKILL) }
        try team.until("something runs") { try team.count("running", of: batch) > 0 }
        #expect(try team.run("cancel", batch).status == 0)
        let status = try team.status(batch)
        #expect(status["state"]?.string == "cancelled")
        #expect(status["requests"]?["running"]?.int == 0)
        // Cancelling again is no mistake, and the worker has room for others.
        #expect(try team.run("cancel", batch).status == 0)
        let next = try team.submit(try team.scratch.write("next.jsonl", RunTests.prompts(5, maxTokens: 5)))
        #expect(try team.run("wait", next, "--quiet").status == 0)
        #expect(try team.status(batch) == status)
    }

    @Test(arguments: Team.Store.allCases)
    func deadLettersAreSubmittedAgain(_ store: Team.Store) throws {
        let team = try Team(store)
        let count = 48
        let input = try team.scratch.write("in.jsonl", Self.long(count, choices: 16))
        let batch = try team.submit(input, "--max-attempts", "1", "--tenant", "acme")
        let doomed = try team.worker("--lease", "3s")
        defer { doomed.kill(SIGKILL) }
        try team.until("something runs") { try team.count("running", of: batch) > 0 }
        let early = try team.run("requeue", batch)
        #expect(early.status == 2)
        #expect(early.errors.contains("in_progress"))
        doomed.kill(SIGKILL)
        _ = try doomed.wait()
        let heir = try team.worker("--lease", "3s")
        defer { heir.kill(SIGKILL) }
        #expect(try team.run("wait", batch, "--quiet").status == 1)
        let failed = try team.count("failed", of: batch)
        #expect(failed > 0)
        #expect(try team.count("completed", of: batch) == count - failed)
        let requeued = try team.run("requeue", batch)
        #expect(requeued.status == 0, "\(requeued.errors)")
        let new = requeued.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(new != batch)
        // Once is enough.
        #expect(try team.run("requeue", batch).output.trimmingCharacters(in: .whitespacesAndNewlines) == new)
        #expect(try team.run("wait", new, "--quiet").status == 0)
        let status = try team.status(new)
        #expect(status["tenant"]?.string == "acme")
        #expect(status["requests"]?["completed"]?.int == failed)
        #expect(status["metadata"]?["requeued.from"]?.string == batch)
        // What has ended stays ended.
        #expect(try team.count("failed", of: batch) == failed)
    }

    @Test(arguments: Team.Store.allCases)
    func aSubmitThatWasKilledGoesOn(_ store: Team.Store) throws {
        let team = try Team(store)
        let input = try team.scratch.write("in.jsonl", RunTests.prompts(20_000, maxTokens: 1))
        var kills = 0
        for _ in 0..<12 {
            let process = try team.start(["submit", input, "--quiet"])
            usleep(.random(in: 20_000...300_000))
            process.kill(SIGKILL)
            if try process.wait().wasKilled { kills += 1 }
        }
        #expect(kills > 0)
        let batch = try team.submit(input)
        #expect(try team.count("queued", of: batch) == 20_000)
        #expect(try team.json("list").array?.count == 1)
    }

    /// Under a journal each line is an object; none has anything of what requests say.
    @Test func logsForJournals() throws {
        let team = try Team(.sqlite)
        let config = try team.scratch.write(
            "w.conf",
            """
            model = \(MillraceProcess.tinyLlama)
            queue = \(team.address)
            log-level = debug
            drain-timeout = 5s
            """)
        let input = try team.scratch.write(
            "in.jsonl",
            #"{"prompt": "a very secret prompt", "max_tokens": 4}"# + "\n" + #"{"prompt": "secret", "top_p": 7}"#)
        let worker = try MillraceProcess(
            ["worker", "--config", config], in: team.scratch.url, environment: ["JOURNAL_STREAM": "8:1"])
        let batch = try team.submit(input)
        #expect(try team.run("wait", batch, "--quiet").status == 1)
        _ = try team.scratch.write(
            "w.conf",
            """
            model = \(MillraceProcess.tinyLlama)
            queue = \(team.address)
            threads = 1
            drain-timeout = 7s
            """)
        worker.kill(SIGHUP)
        _ = try team.scratch.write("w.conf", "nonsense = 1")
        usleep(300_000)
        worker.kill(SIGHUP)
        usleep(300_000)
        worker.kill(SIGTERM)
        let ended = try worker.wait()
        #expect(ended.status == 0)
        #expect(!ended.errors.contains("secret"))
        let lines = try ended.errors.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
        let settled = lines.filter { $0["message"]?.string == "settled" }
        #expect(settled.count == 2)
        #expect(settled.allSatisfy { $0["batch"]?.string == batch && $0["attempt"]?.int == 1 })
        #expect(Set(settled.compactMap { $0["request"]?.int }) == [0, 1])
        #expect(ended.errors.contains("w.conf:1: Unknown option '--nonsense'"))
        #expect(lines.last?["message"]?.string == "stopped")
    }

    @Test func saysWhatIsWrongWithACommand() throws {
        let team = try Team(.sqlite)
        let input = try team.scratch.write("in.jsonl", RunTests.prompts(1, maxTokens: 1))
        let cases: [(arguments: [String], status: Int32, says: String)] = [
            (["status", "batch_nowhere"], 2, "no batch batch_nowhere"),
            (["results", "batch_nowhere"], 2, "no batch batch_nowhere"),
            (["wait", "batch_nowhere"], 2, "no batch batch_nowhere"),
            (["submit", "nowhere.jsonl"], 2, "nowhere.jsonl"),
            (["submit", input, "--window", "tomorrow"], 64, "--window"),
            (["submit", input, "--metadata", "x"], 64, "name=value"),
            (["submit", input, "--queue", "http://host/"], 2, "--queue: queue addresses begin with redis://"),
            (["submit", input, "--queue", input], 3, "is not a queue"),
            (["submit", input, "--queue", "/nowhere/q.sqlite"], 3, "/nowhere"),
            (["list", "--queue", "redis://h/", "--queue-password-file", "none"], 2, "none cannot be read"),
            (["usage", "--from", "2026-02-30"], 64, "--from"),
            (["usage", "--by", "colour"], 64, "--by"),
            (["worker"], 2, "no model"),
            (["worker", "--config", "none.conf"], 2, "none.conf cannot be read"),
            (["worker", "--model", "nowhere"], 3, "nowhere"),
            (["worker", "--model", MillraceProcess.tinyLlama, "--queue", input], 3, "is not a queue"),
            (["worker", "--model", "x", "--device", "abacus"], 64, "abacus"),
        ]
        for (arguments, status, says) in cases {
            let process = try team.start(arguments)
            let ended = try process.wait()
            #expect(ended.status == status, "\(arguments): \(ended.errors)")
            #expect(ended.errors.contains(says), "\(arguments): \(ended.errors)")
        }
    }
}
