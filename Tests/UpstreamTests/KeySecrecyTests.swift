import Foundation
import JSON
import JobQueue
import RedisServer
import Testing

@testable import Worker

/// A tenant's key on its way through a queue on Redis: it is in no output of any process (I10).
@Suite struct KeySecrecyTests {
    private static let own = "gsk_tenantsOwnKey5Wq8ZtRb"
    private static let master = String(repeating: "c3", count: 32)

    @Test func aKeyIsNowhereButAtTheUpstream() async throws {
        let redis = try RedisServer()
        let scene = try await ProcessTests.Scene([
            "keys": [Self.own: "org_tenant", FakeGroq.keyText: "org_operator"],
            "rules": [
                ["do": "echo_key", "contains": "r3;"], ["do": "status", "status": 503, "contains": "r4;", "times": 2],
            ],
        ])
        let queue = "unix://\(redis.socket)"
        let address = ["--queue", queue]
        // Beside the folder that is searched.
        let secrets = redis.folder.appending(path: "secrets")
        try FileManager.default.createDirectory(at: secrets, withIntermediateDirectories: true)
        func secret(_ name: String, _ text: String) throws -> String {
            let file = secrets.appending(path: name)
            try Data(text.utf8).write(to: file)
            chmod(file.path, 0o600)
            return "file:" + file.path
        }
        let master = try secret("master", Self.master)
        let key = try secret("key", Self.own)
        let operators = try secret("operators", FakeGroq.keyText)
        try scene.write(
            "routes.toml",
            """
            master_key = "\(master)"
            [backend.groq]
            kind = "groq"
            url = "\(scene.fake.baseURL(.http))"
            key = "\(operators)"
            tenant_key = "groq"
            [[route]]
            models = ["*"]
            to = "groq"
            """)
        let set = try scene.run(
            ["keys", "provider", "set", "--tenant", "acme", "--name", "groq", "--from", key, "--master-key", master]
                + address)
        #expect(set.terminationStatus == 0, "\(scene.text("said.err"))")
        try scene.write("in.jsonl", ProcessTests.input(12))
        for tenant in ["acme", "other"] {
            let submitted = try scene.run(
                ["submit", "in.jsonl", "--tenant", tenant, "--model", FakeGroq.model, "--quiet"] + address)
            #expect(submitted.terminationStatus == 0, "\(scene.text("said.err"))")
        }
        let batches = scene.text("said.out").split(separator: "\n").map(String.init).suffix(2)
        let forwarder = try scene.start(
            ["forwarder", "--config", "routes.toml", "--log-level", "trace"] + address)
        for (at, batch) in batches.enumerated() {
            let results = try scene.run(["results", batch, "-o", "out\(at).jsonl", "--follow", "--quiet"] + address)
            // One request of each fails.
            #expect(results.terminationStatus == 1, "\(scene.text("said.err"))")
            #expect(try scene.lines("out\(at).jsonl").count == 11)
        }
        let commandLine = FileHandle(forReadingAtPath: "/proc/\(forwarder.processIdentifier)/cmdline")
        try scene.write("cmdline", String(decoding: try commandLine?.readToEnd() ?? Data(), as: UTF8.self))
        #expect(scene.text("cmdline").contains("forwarder"))
        _ = try scene.run(["keys", "provider", "list", "--json"] + address)
        _ = try scene.run(["top", "--json"] + address)
        _ = try scene.run(["usage", "--json"] + address)
        forwarder.terminate()
        forwarder.waitUntilExit()
        // Each tenant's requests carried the right key, or this test would show nothing.
        let organisations = try scene.fake.witness().compactMap { $0["organisation"]?.string }
        #expect(Set(organisations) == ["org_tenant", "org_operator"])
        #expect(scene.text("out0.errors.jsonl").contains(ProviderKey.placeholder))
        redis.kill()
        // All that was ever sent to Redis is in its append-only file.
        try FileManager.default.removeItem(at: secrets)
        for folder in [scene.folder, redis.folder] {
            for text in [Self.own, FakeGroq.keyText, Self.master] {
                #expect(try Self.files(in: folder, holding: text) == [])
            }
        }
        #expect(try !Self.files(in: redis.folder, holding: "key/acme/groq").isEmpty, "the search finds what is there")
    }

    private static func files(in folder: URL, holding text: String) throws -> [String] {
        let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        return (all?.allObjects ?? []).compactMap { $0 as? URL }.filter { url in
            (try? Data(contentsOf: url))?.range(of: Data(text.utf8)) != nil
        }.map(\.lastPathComponent)
    }
}
