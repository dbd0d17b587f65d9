import Foundation
import JSON
import Worker

/// Tests/FakeGroq as a child process of a test's own. It ends with this object, or with the test process.
// Nothing of it changes once it is made; the process is touched again only when nobody else has it.
final class FakeGroq: @unchecked Sendable {
    enum Door: String, Sendable, CaseIterable {
        case http
        /// TLS with HTTP/1.1 only.
        case https1
        /// TLS with HTTP/2 only.
        case https2
    }

    struct Failure: Error, CustomStringConvertible { var description: String }

    static let keyText = "gsk_fakefakefakefakefakefake0001"
    static let key = key(keyText)

    static func key(_ text: String) -> ProviderKey {
        do { return try ProviderKey(Array(text.utf8), origin: "a test") } catch { preconditionFailure("\(error)") }
    }

    /// A machine that is busy with other tests takes its time for handshakes.
    static let patienceMs: Int64 = 120_000
    static let model = "llama-3.1-8b-instant"
    static let source = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "FakeGroq")

    let folder: URL
    private let process = Process()
    private let input = Pipe()
    private let ready: JSON
    private let controller: Upstream

    init(_ settings: JSON = .object(JSONObject())) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "fake-groq-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        controller = try Upstream()
        process.executableURL = URL(filePath: try Self.python.get())
        process.arguments = [
            Self.source.appending(path: "fake_groq.py").path, "--folder", folder.path, "--settings", settings.text,
        ]
        process.environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "", "PYTHONDONTWRITEBYTECODE": "1"]
        process.standardInput = input
        let errors = folder.appending(path: "stderr")
        try Data().write(to: errors)
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
        let place = folder.appending(path: "ready.json")
        while !FileManager.default.fileExists(atPath: place.path) {
            guard process.isRunning else {
                let said = (try? String(contentsOf: errors, encoding: .utf8)) ?? ""
                throw Failure(description: "the fake Groq did not start: \(said)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        ready = try JSON(parsing: Array(try Data(contentsOf: place)))
    }

    deinit {
        controller.stop()
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: folder)
    }

    /// With what the fake needs, made once.
    static let python: Result<String, any Error> = Result {
        let script = source.deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "scripts/test-python")
        let process = Process()
        let output = Pipe()
        process.executableURL = script
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(description: "\(script.path) failed") }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    var certificate: String { ready["ca"]?.string ?? "" }
    var readyFile: String { folder.appending(path: "ready.json").path }

    func baseURL(_ door: Door = .http, _ path: String = "/openai/v1") -> String {
        "\(door == .http ? "http" : "https")://localhost:\(ready[door.rawValue]?.int ?? 0)\(path)"
    }

    /// A client that trusts it, and knows no proxy.
    func client(_ change: (inout Upstream.Settings) -> Void = { _ in }) throws -> Upstream {
        var settings = Upstream.Settings(environment: [:])
        settings.caFile = certificate
        settings.proxy = ""
        change(&settings)
        return try Upstream(settings)
    }

    func chat(_ text: String = "Hello", door: Door = .http, more: String = "") -> UpstreamRequest {
        let content = JSON.string(text).text
        let body = """
            {"model":"\(Self.model)","user":\(content),"messages":[{"role":"user","content":\(content)}]\(more)}
            """
        var request = UpstreamRequest(
            baseURL: baseURL(door), path: "/chat/completions", body: Array(body.utf8), key: Self.key)
        request.timeouts.connectMs = Self.patienceMs
        return request
    }

    /// Changes settings while it runs.
    func control(_ settings: JSON) async throws {
        let request = UpstreamRequest(baseURL: baseURL(.http, ""), path: "/_control", body: Array(settings.text.utf8))
        let reply = await controller.send(request)
        guard reply.status == 200 else {
            let why = String(decoding: reply.body, as: UTF8.self)
            throw Failure(description: "the fake refused \(settings.text): \(why)")
        }
    }

    /// Batches that are under way are due.
    func finishBatches() async throws { try await control(["finish_batches": true]) }

    func counts() async throws -> JSON {
        let reply = await controller.send(UpstreamRequest(.get, baseURL: baseURL(.http, ""), path: "/_counts"))
        return try JSON(parsing: reply.body)
    }

    /// What it wrote down of each request that is over. That is after its answer went out, so the client may have it
    /// before: waits for the end of all that has arrived.
    func witness() throws -> [JSON] {
        for _ in 0..<1000 {
            let events = try witnessEvents()
            let ends = events.filter { $0["event"]?.string == "end" }
            let ended = Set(ends.compactMap { $0["number"]?.int })
            if events.allSatisfy({ $0["number"]?.int.map { ended.contains($0) } ?? true }) { return ends }
            Thread.sleep(forTimeInterval: 0.01)
        }
        throw WitnessError()
    }

    private struct WitnessError: Error, CustomStringConvertible {
        let description = "requests that the fake upstream began have no end after 10 s"
    }

    private func witnessEvents() throws -> [JSON] {
        let data = try Data(contentsOf: URL(filePath: ready["witness"]?.string ?? ""))
        // The last line may be on its way.
        let whole = data[..<((data.lastIndex(of: UInt8(ascii: "\n")) ?? data.startIndex - 1) + 1)]
        return try whole.split(separator: UInt8(ascii: "\n")).map { try JSON(parsing: Array($0)) }
    }
}
