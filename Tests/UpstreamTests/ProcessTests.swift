import Foundation
import JSON
import JobQueue
import Submitter
import Testing

@testable import Worker

/// The built program against a fake Groq: run, killed, begun again.
@Suite(.serialized) struct ProcessTests {
    static let binary: URL = {
        let bundle = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
        let folder = (bundle ?? URL(filePath: CommandLine.arguments[0])).deletingLastPathComponent()
        return folder.appending(path: "millrace")
    }()

    /// A fake Groq and a folder for what the program reads and writes.
    final class Scene {
        let fake: FakeGroq
        let folder: URL

        init(_ settings: JSON) async throws {
            fake = try await FakeGroq(settings)
            folder = FileManager.default.temporaryDirectory.appending(path: "upstream-process-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: folder.appending(path: name))
        }

        func start(_ arguments: [String], failpoint: String? = nil) throws -> Process {
            let process = Process()
            process.executableURL = ProcessTests.binary
            process.arguments = arguments
            process.currentDirectoryURL = folder
            var environment = [
                "PATH": "/usr/bin:/bin", "GROQ_API_KEY": FakeGroq.keyText, "SSL_CERT_FILE": fake.certificate,
            ]
            environment["MILLRACE_FAILPOINT"] = failpoint
            process.environment = environment
            process.standardInput = FileHandle.nullDevice
            for (name, isError) in [("said.out", false), ("said.err", true)] {
                let file = folder.appending(path: name)
                if !FileManager.default.fileExists(atPath: file.path) { try Data().write(to: file) }
                let handle = try FileHandle(forWritingTo: file)
                try handle.seekToEnd()
                if isError { process.standardError = handle } else { process.standardOutput = handle }
            }
            try process.run()
            return process
        }

        func run(_ arguments: [String], failpoint: String? = nil) throws -> Process {
            let process = try start(arguments, failpoint: failpoint)
            process.waitUntilExit()
            return process
        }

        func text(_ name: String) -> String {
            (try? String(contentsOf: folder.appending(path: name), encoding: .utf8)) ?? ""
        }

        func lines(_ name: String) throws -> [JSON] {
            try text(name).split(separator: "\n").map { try JSON(parsing: String($0)) }
        }

        /// Computings beyond the first, of all requests together.
        func computedAgain() throws -> Int {
            let computed = try fake.witness().filter { $0["computed"]?.bool == true }
            return computed.count - Set(computed.compactMap { $0["user"]?.string }).count
        }

        /// Files that hold the key; there must be none.
        func leaks() throws -> [String] {
            let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
            return (all?.allObjects ?? []).compactMap { $0 as? URL }.filter { url in
                (try? Data(contentsOf: url))?.range(of: Data(FakeGroq.keyText.utf8)) != nil
            }.map(\.lastPathComponent)
        }
    }

    static func input(_ count: Int) -> String {
        (0..<count).map {
            #"{"custom_id":"r\#($0);","messages":[{"role":"user","content":"r\#($0);"}],"user":"r\#($0);"}"# + "\n"
        }.joined()
    }

    static func run(_ scene: Scene) -> [String] {
        [
            "run", "in.jsonl", "-o", "out.jsonl", "--backend", "groq", "--base-url", scene.fake.baseURL(.https2),
            "--model", FakeGroq.model,
        ]
    }

    @Test func runsABatch() async throws {
        let scene = try await Scene(["rules": [["do": "status", "status": 400, "contains": "r7;"], ["do": "echo_key"
            , "contains": "r8;"]]])
        try scene.write("in.jsonl", Self.input(30))
        let ended = try scene.run(Self.run(scene))
        #expect(ended.terminationStatus == 1, "\(scene.text("said.err"))")
        #expect(try scene.lines("out.jsonl").count == 28)
        let errors = try scene.lines("out.errors.jsonl")
        #expect(Set(errors.compactMap { $0["custom_id"]?.string }) == ["r7;", "r8;"])
        #expect(scene.text("out.errors.jsonl").contains(ProviderKey.placeholder))
        #expect(scene.text("said.err").contains("28 completed"))
        #expect(try scene.leaks() == [])
    }

    /// Killed at each place where something could be lost or done twice, and begun again.
    @Test(arguments: [
        "upstream.leased", "upstream.sent:1", "upstream.sent:25", "upstream.replied:1", "upstream.replied:20",
        "upstream.settling:1", "upstream.settling:3", "upstream.settled:1", "upstream.settled:3", "upstream.released:2",
    ])
    func survivesDyingAt(_ failpoint: String) async throws {
        let scene = try await Scene([
            "latency_ms": 3, "rules": [["do": "status", "status": 503, "every": 10, "times": 4]],
        ])
        try scene.write("in.jsonl", Self.input(60))
        let killed = try scene.run(Self.run(scene), failpoint: failpoint)
        #expect(killed.terminationStatus == Failpoint.exitCode, "\(failpoint) was never passed")
        let ended = try scene.run(Self.run(scene))
        #expect(ended.terminationStatus == 0, "\(scene.text("said.err"))")
        let ids = try scene.lines("out.jsonl").compactMap { $0["custom_id"]?.string }
        #expect(ids.count == 60)
        #expect(Set(ids).count == 60)
        // Bounded by what was under way when it died, and said.
        let again = try scene.computedAgain()
        #expect(again <= 32)
        if again > 0 { #expect(scene.text("said.err").contains("twice")) }
        #expect(try scene.leaks() == [])
    }

    /// A person in front of it is told why nothing happens.
    @Test func anUpstreamThatFailsIsSaidOnce() async throws {
        let scene = try await Scene(["rules": [["do": "status", "status": 503, "times": 40]]])
        try scene.write("in.jsonl", Self.input(60))
        #expect(try scene.run(Self.run(scene)).terminationStatus == 0, "\(scene.text("said.err"))")
        #expect(try scene.lines("out.jsonl").count == 60)
        let said = scene.text("said.err").split(separator: "\n").filter { $0.contains("made again") }
        #expect(said.count == 1 && said[0].contains("groq answered 503"), "\(said)")
        let quiet = try await Scene(["rules": [["do": "status", "status": 503, "times": 4]]])
        try quiet.write("in.jsonl", Self.input(6))
        #expect(try quiet.run(Self.run(quiet) + ["--quiet"]).terminationStatus == 0)
        #expect(quiet.text("said.err").isEmpty)
    }

    @Test func aParkedRouteEndsTheRunWithOneMessage() async throws {
        let scene = try await Scene(["revoked": [.string(FakeGroq.keyText)]])
        try scene.write("in.jsonl", Self.input(500))
        let parked = try scene.run(Self.run(scene))
        #expect(parked.terminationStatus == 3)
        let said = scene.text("said.err")
        #expect(said.contains("invalid_api_key"))
        #expect(said.components(separatedBy: "Invalid API Key").count == 2, "\(said)")
        #expect(try scene.fake.witness().count <= 32)
        try await scene.fake.control(["revoked": []])
        #expect(try scene.run(Self.run(scene)).terminationStatus == 0)
        #expect(try scene.lines("out.jsonl").count == 500)
    }

    @Test(arguments: [
        (["--backend", "nowhere"], 64), (["--api-key", "env:X"], 64),
        (["--backend", "groq", "--api-key", "sk-secret"], 3),
        (["--backend", "groq", "--api-key", "file:/nowhere"], 3), (["--backend", "groq", "--base-url", "ftp://x"], 64),
        (["--backend", "http://user:word@host/v1"], 64),
    ] as [([String], Int32)])
    func saysWhatIsWrong(_ arguments: [String], _ status: Int32) async throws {
        let scene = try await Scene(.object(JSONObject()))
        try scene.write("in.jsonl", Self.input(1))
        let ended = try scene.run(["run", "in.jsonl", "-o", "out.jsonl"] + arguments)
        #expect(ended.terminationStatus == status, "\(scene.text("said.err"))")
        #expect(!scene.text("said.err").contains("sk-secret"))
    }

    // MARK: The daemon

    static func routes(_ scene: Scene, key: String = "env:GROQ_API_KEY") -> String {
        """
        [backend.groq]
        kind = "groq"
        url = "\(scene.fake.baseURL(.https1))"
        key = "\(key)"

        [backend.local]
        kind = "local"

        [[route]]
        models = ["alias-*"]
        to = [{ backend = "groq", model = "\(FakeGroq.model)" }]

        [[route]]
        models = ["ours"]
        to = "local"

        [[price]]
        backend = "groq"
        models = ["*"]
        input = 1.0
        output = 2.0
        """
    }

    private func submit(_ requests: [Request], _ queue: SQLiteQueue) async throws -> BatchID {
        let now = WorkClock.system.now()
        let batch = try await queue.open(BatchSpecification(maxAttempts: 20), at: now)
        try await queue.append(requests.map { .accepted($0) }, to: batch, from: 0, at: now)
        try await queue.seal(batch, total: requests.count, at: now)
        return batch
    }

    @Test func theForwarderServesAQueueAndDiesWithoutLoss() async throws {
        let scene = try await Scene(["latency_ms": 5])
        try scene.write("routes.toml", Self.routes(scene))
        let path = scene.folder.appending(path: "queue.sqlite").path
        let queue = try SQLiteQueue(path: path)
        let batch = try await submit(
            (0..<200).map { ForwardingBed.chat("r\($0);", model: "alias-\($0 % 3)") }, queue)
        let other = try await submit([ForwardingBed.chat("local", model: "ours")], queue)
        let arguments = ["forwarder", "--queue", path, "--config", "routes.toml", "--lease", "1"]
        let killed = try scene.run(arguments, failpoint: "upstream.replied:50")
        #expect(killed.terminationStatus == Failpoint.exitCode)
        let process = try scene.start(arguments)
        while process.isRunning, try await queue.status(batch).state != .completed {
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(try await queue.workers(at: WorkClock.system.now()).contains {
            $0.backend == "groq" && $0.models == ["alias-*"]
        })
        process.terminate()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(scene.text("said.err"))")
        let left = try await queue.workers(at: WorkClock.system.now()).map(\.processID)
        #expect(!left.contains(Int(process.processIdentifier)))
        let status = try await queue.status(batch)
        #expect(status.counts.completed == 200)
        // What local workers compute is left to them.
        #expect(try await queue.status(other).counts.queued == 1)
        let results = try await queue.results(batch, after: nil, limit: 500, order: .input)
        var paid = 0
        for result in results {
            paid += result.outcome.usage.costNanodollars
            guard case .response(200, let bytes) = result.outcome.result else { continue }
            let body = try JSON(parsing: bytes)
            let usage = result.outcome.usage
            let cost = Double(usage.promptTokens) + 2 * Double(usage.completionTokens)
            #expect(body["usage"]?["cost_usd"]?.double == cost / 1e6)
            #expect(Double(usage.costNanodollars) == cost * 1000)
            #expect(body["model"]?.string == FakeGroq.model)
            #expect(result.outcome.backend == "groq")
        }
        // What was sent twice is paid twice, and counted once.
        #expect(paid > 0)
        #expect(try scene.run(["usage", "--queue", path, "--by", "backend", "--json"]).terminationStatus == 0)
        let usage = try JSON(parsing: scene.text("said.out")).array?.first
        #expect(usage?["backend"]?.string == "groq")
        #expect(usage?["usage"]?["cost_usd"]?.double == Double(paid) / 1e9)
        #expect(try scene.run(["status", "--queue", path, batch.value]).terminationStatus == 0)
        #expect(scene.text("said.out").contains("cost      \(paid.dollars)\n"))
        let again = try scene.computedAgain()
        #expect(again <= 64)
        if again > 0 { #expect(scene.text("said.err").contains("taken_over")) }
        try await queue.close()
        #expect(try scene.leaks() == [])
    }

    private func wait(_ scene: Scene, for text: String, _ process: Process) async throws {
        while process.isRunning, !scene.text("said.err").contains(text) {
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    @Test func aRoutesFileIsReadAgain() async throws {
        let scene = try await Scene(.object(JSONObject()))
        try scene.write("routes.toml", Self.routes(scene))
        let path = scene.folder.appending(path: "queue.sqlite").path
        let queue = try SQLiteQueue(path: path)
        let process = try scene.start(["forwarder", "--queue", path, "--config", "routes.toml"])
        try await wait(scene, for: "starting", process)
        // Wrong: not taken up, and said.
        try scene.write("routes.toml", Self.routes(scene).replacing("to = \"local\"", with: "to = \"nowhere\""))
        kill(process.processIdentifier, SIGHUP)
        try await wait(scene, for: "the old one stays in force", process)
        #expect(scene.text("said.err").contains("nowhere"))
        let old = try await submit([ForwardingBed.chat("r1;", model: "alias-1")], queue)
        while process.isRunning, try await queue.status(old).state != .completed {
            try await Task.sleep(for: .milliseconds(20))
        }
        // Another model has a way now, at another price.
        let next = Self.routes(scene).replacing("alias-*", with: "other-*")
            .replacing("output = 2.0", with: "output = 9.0")
        try scene.write("routes.toml", next)
        kill(process.processIdentifier, SIGHUP)
        try await wait(scene, for: "were read again", process)
        let new = try await submit([ForwardingBed.chat("r2;", model: "other-1")], queue)
        while process.isRunning, try await queue.status(new).state != .completed {
            try await Task.sleep(for: .milliseconds(20))
        }
        process.terminate()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(scene.text("said.err"))")
        let result = try #require(try await queue.results(new, after: nil, limit: 5, order: .input).first)
        guard case .response(200, let bytes) = result.outcome.result else {
            Issue.record("\(result.outcome)")
            return
        }
        let usage = result.outcome.usage
        let cost = Double(usage.promptTokens) + 9 * Double(usage.completionTokens)
        #expect(try JSON(parsing: bytes)["usage"]?["cost_usd"]?.double == cost / 1e6)
        try await queue.close()
    }

    @Test func theForwarderSaysWhatIsWrong() async throws {
        let scene = try await Scene(.object(JSONObject()))
        let path = scene.folder.appending(path: "queue.sqlite").path
        func forwarder() throws -> Int32 {
            try scene.run(["forwarder", "--queue", path, "--config", "routes.toml"]).terminationStatus
        }
        #expect(try forwarder() == 2)
        try scene.write("routes.toml", Self.routes(scene, key: "env:NO_SUCH_KEY"))
        #expect(try forwarder() == 3)
        #expect(scene.text("said.err").contains("NO_SUCH_KEY"))
        try scene.write(
            "routes.toml", "[backend.local]\nkind = \"local\"\n[[route]]\nmodels = [\"*\"]\nto = \"local\"\n")
        #expect(try forwarder() == 3)
        #expect(scene.text("said.err").contains("no upstream"))
    }
}
