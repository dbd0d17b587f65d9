import Foundation
import JSON
import Testing

/// `millrace keys provider`, `routes test` and `caps`, as an operator types them.
@Suite struct ProviderKeysTests {
    private static let secret = "gsk_Zq81mWcXv7RkTn3yPdLs"
    private static let master = String(repeating: "5a", count: 32)

    private func set(_ scratch: Scratch, _ arguments: [String] = [], key: String = secret) throws
        -> (MillraceProcess.Ended, commandLine: String)
    {
        let pipe = Pipe()
        let process = try MillraceProcess(
            [
                "keys", "provider", "set", "--queue", "q.sqlite", "--tenant", "acme", "--name", "groq", "--master-key",
                "env:MASTER",
            ] + arguments, in: scratch.url, environment: ["MASTER": Self.master], input: pipe)
        // It waits for the key; by then no core dump can hold one.
        while process.isRunning, !Self.forbidsCores(process.facts("limits")) { sched_yield() }
        let commandLine = process.commandLine
        // One that ends at once reads nothing.
        signal(SIGPIPE, SIG_IGN)
        try? pipe.fileHandleForWriting.write(contentsOf: Data((key + "\n").utf8))
        try? pipe.fileHandleForWriting.close()
        return (try process.wait(), commandLine)
    }

    private static func forbidsCores(_ limits: String) -> Bool {
        limits.split(separator: "\n").contains { line in
            line.hasPrefix("Max core file size") && line.split(separator: " ").suffix(3).prefix(2) == ["0", "0"]
        }
    }

    /// Every file under the folder, and what the processes printed with them.
    private func expectNowhere(_ secret: String, in scratch: Scratch) throws {
        let files = try FileManager.default.subpathsOfDirectory(atPath: scratch.url.path)
        #expect(files.contains("q.sqlite"))
        for file in files {
            let path = scratch.url.appending(path: file).path
            let data = FileManager.default.contents(atPath: path) ?? Data()
            #expect(data.range(of: Data(secret.utf8)) == nil, "\(file) holds the key")
        }
    }

    @Test func aKeyIsSetListedAndRemovedAndNeverShown() throws {
        let scratch = try Scratch()
        let (ended, commandLine) = try set(scratch)
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(commandLine.contains("keys"))
        #expect(!commandLine.contains(Self.secret))
        #expect(ended.errors.contains("key groq of tenant acme is set (sha256:"))
        let list = try MillraceProcess.run(
            ["keys", "provider", "list", "--queue", "q.sqlite", "--json"], in: scratch.url)
        let entry = try JSON(parsing: Array(list.output.utf8))
        #expect(entry["tenant"]?.string == "acme")
        #expect(entry["fingerprint"].map { ended.errors.contains($0.string ?? "?") } == true)
        try expectNowhere(Self.secret, in: scratch)
        try expectNowhere(Self.master, in: scratch)
        let remove = ["keys", "provider", "remove", "--queue", "q.sqlite", "--tenant", "acme", "--name", "groq"]
        #expect(try MillraceProcess.run(remove, in: scratch.url).status == 0)
        let again = try MillraceProcess.run(remove, in: scratch.url)
        #expect(again.status == 3)
        #expect(again.errors.contains("tenant acme has no key named groq"))
    }

    @Test func mistakesDoNotRepeatTheKey() throws {
        let scratch = try Scratch()
        let spoiled = try set(scratch, key: Self.secret + " " + Self.secret)
        #expect(spoiled.0.status == 3)
        #expect(spoiled.0.errors.contains("standard input holds spaces"))
        #expect(!(spoiled.0.errors + spoiled.0.output).contains(Self.secret))
        let asArgument = try set(scratch, ["--from", Self.secret])
        #expect(asArgument.0.status == 3)
        #expect(asArgument.0.errors.contains("say where the secret is kept"))
        #expect(!asArgument.0.errors.contains(Self.secret))
        let open = try scratch.write("key", Self.secret)
        chmod(open, 0o644)
        let readable = try set(scratch, ["--from", "file:" + open])
        #expect(readable.0.errors.contains("chmod 600"))
        #expect(!readable.0.errors.contains(Self.secret))
    }

    @Test func routesAreTested() throws {
        let scratch = try Scratch()
        let file = try scratch.write(
            "routes.toml",
            """
            [backend.groq]
            kind = "groq"
            key = "env:GROQ"
            [[route]]
            models = ["llama*"]
            to = "groq"
            [[price]]
            backend = "groq"
            models = ["*"]
            input = 0.05
            output = 0.08
            """)
        func test(_ more: String...) throws -> MillraceProcess.Ended {
            try MillraceProcess.run(
                ["routes", "test", "--config", file] + more, in: scratch.url, environment: ["GROQ": Self.secret])
        }
        let found = try test("--model", "llama-3", "--json")
        #expect(found.status == 0, "\(found.errors)")
        let json = try JSON(parsing: Array(found.output.utf8))
        #expect(json["backend"]?.string == "groq")
        #expect(json["key_source"]?.string == "env:GROQ")
        #expect(json["cost_usd"]?.double == 0.00013)
        #expect(json["reason"]?.string == "the route's only backend")
        #expect(!found.output.contains(Self.secret))
        #expect(try test("--model", "llama-3").output.contains("because"))
        #expect(try test("--model", "gpt-9").status == 1)
        #expect(try test("--model", "llama-3", "--parked", "groq").status == 1)
        _ = try scratch.write("routes.toml", "[[route]]\nmodels = \"m\"\nto = \"none\"\n")
        let broken = try test("--model", "llama-3")
        #expect(broken.status == 2)
        #expect(broken.errors.contains("routes.toml:3: route[0].to: there is no [backend.none]"))
    }
}
