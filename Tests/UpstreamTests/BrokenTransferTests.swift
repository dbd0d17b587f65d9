import CCurl
import Foundation
import JSON
import Testing

@testable import Worker

/// The client against a server, or a network, that misbehaves. Nothing hangs, nothing grows, every cause has its name.
@Suite struct BrokenTransferTests {
    private func reply(
        to rule: JSON, _ door: FakeGroq.Door, _ change: (inout UpstreamRequest) -> Void = { _ in }
    ) async throws -> UpstreamReply {
        let fake = try await FakeGroq(["rules": [rule]])
        var request = fake.chat("secret word", door: door)
        change(&request)
        return await (try fake.client()).send(request)
    }

    @Test(arguments: FakeGroq.Door.allCases)
    func namesWhatBroke(_ door: FakeGroq.Door) async throws {
        let wanted: [(String, UpstreamFailure.Cause)] = [
            ("reset_first", .reset), ("reset_mid_body", .truncated), ("short", .truncated),
        ]
        for (action, cause) in wanted {
            let reply = try await reply(to: ["do": .string(action)], door)
            #expect(reply.failure?.cause == cause, "\(action): \(reply.failure?.message ?? "no failure")")
            #expect(reply.mayHaveRun)
            #expect(reply.failure?.message.contains("/chat/completions") == true)
        }
    }

    /// More than was promised: what is behind the promise is not the answer's.
    @Test func takesWhatWasPromised() async throws {
        let reply = try await reply(to: ["do": "long"], .http)
        let verdict = UpstreamVerdict(reply, backend: "fake", model: FakeGroq.model, isMapped: false)
        guard case .broken(let error, _) = verdict else {
            Issue.record("half an answer was taken: \(verdict)")
            return
        }
        #expect(error.code == "upstream_notJSON")
    }

    @Test(arguments: FakeGroq.Door.allCases)
    func losesPatience(_ door: FakeGroq.Door) async throws {
        let silent = try await reply(to: ["do": "silence"], door) { $0.timeouts.firstByteMs = 200 }
        #expect(silent.failure?.cause == .firstByteTimeout)
        #expect(silent.mayHaveRun)
        let stalled = try await reply(to: ["do": "stop_mid_body"], door) { $0.timeouts.stallMs = 200 }
        #expect(stalled.failure?.cause == .stall)
        #expect(!stalled.body.isEmpty)
        // Each byte comes in time, and yet.
        let slow = try await reply(to: ["do": "drip", "delay_ms": 20], door) {
            $0.timeouts.stallMs = 10_000
            $0.timeouts.totalMs = 500
        }
        #expect(slow.failure?.cause == .totalTimeout)
        let patient = try await reply(to: ["do": "drip", "delay_ms": 1], door) { $0.timeouts.stallMs = 5000 }
        #expect(patient.failure == nil)
        #expect(patient.status == 200)
    }

    @Test(arguments: FakeGroq.Door.allCases)
    func stopsReadingAtTheLimit(_ door: FakeGroq.Door) async throws {
        for action in ["gigabyte", "bomb"] {
            let reply = try await reply(to: ["do": .string(action)], door) { $0.maxReplyBytes = 1 << 20 }
            #expect(reply.failure?.cause == .tooLarge, "\(action)")
            #expect(reply.body.count <= 1 << 20)
        }
    }

    @Test func allAnswersTogetherAreBounded() async throws {
        let fake = try await FakeGroq(["rules": [["do": "gigabyte"]]])
        let client = try fake.client { $0.maxBufferedBytes = 4 << 20 }
        let replies = await withTaskGroup(of: UpstreamReply.self) { group in
            for _ in 0..<20 {
                let request = fake.chat()
                group.addTask { await client.send(request) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(replies.allSatisfy { $0.failure?.cause == .outOfMemory })
        #expect(replies.allSatisfy { $0.body.count <= 4 << 20 })
        // All of it was given back.
        let small = try await FakeGroq()
        #expect(await client.send(small.chat()).status == 200)
    }

    @Test func aClosedPortIsNoAnswer() async throws {
        let fake = try await FakeGroq()
        let client = try fake.client()
        var request = fake.chat()
        // Nothing listens on port 1.
        request.baseURL = "http://127.0.0.1:1/openai/v1"
        let reply = await client.send(request)
        #expect(reply.failure?.cause == .connect)
        #expect(!reply.mayHaveRun)
        #expect(client.figures.cutOff == 0)
    }

    /// Something accepts the connection and never says a word of TLS.
    @Test func aMuteServerIsNotWaitedForLong() async throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, size)
                listen(listener, 8)
                getsockname(listener, $0, &size)
            }
        }
        let fake = try await FakeGroq()
        var request = fake.chat(door: .https1)
        request.baseURL = "https://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/openai/v1"
        request.timeouts.connectMs = 200
        let reply = await (try fake.client()).send(request)
        #expect(reply.failure?.cause == .connectTimeout)
        #expect(!reply.mayHaveRun)
    }

    @Test(arguments: [
        (CURLE_COULDNT_RESOLVE_HOST, .resolve), (CURLE_COULDNT_RESOLVE_PROXY, .resolve),
        (CURLE_COULDNT_CONNECT, .connect), (CURLE_PEER_FAILED_VERIFICATION, .tls), (CURLE_URL_MALFORMAT, .unusable),
        (CURLE_OUT_OF_MEMORY, .outOfMemory), (CURLE_BAD_CONTENT_ENCODING, .truncated), (CURLE_TOO_MANY_REDIRECTS, .other),
    ] as [(CURLcode, UpstreamFailure.Cause)])
    func curlsResultsHaveCauses(_ code: CURLcode, _ cause: UpstreamFailure.Cause) {
        let failure = UpstreamFailure(code, detail: "words", at: "POST http://x/y", wasSent: false, hasBegun: false)
        #expect(failure.cause == cause)
        #expect(failure.message.hasPrefix("POST http://x/y: words"))
    }

    @Test(arguments: [
        "", "api.groq.com", "ftp://localhost/x", "file:///etc/passwd", "http://", "http:///x", "http://a b/",
        "http://user:pass@localhost", "https://localhost/é",
    ])
    func oddAddressesAreNotSent(_ baseURL: String) async throws {
        let client = try Upstream(Upstream.Settings(environment: [:]))
        let reply = await client.send(UpstreamRequest(baseURL: baseURL, path: "/x"))
        #expect(reply.failure?.cause == .unusable)
        #expect(!reply.mayHaveRun)
    }

    @Test func noHeaderIsSmuggledIn() async throws {
        let client = try Upstream(Upstream.Settings(environment: [:]))
        var request = UpstreamRequest(baseURL: "http://127.0.0.1:1", path: "/x")
        request.contentType = "a\r\nX-Evil: 1"
        #expect(await client.send(request).failure?.cause == .unusable)
        request.contentType = "text/plain"
        request.headers = [UpstreamHeader("X-A", "1\nX-Evil: 1")]
        #expect(await client.send(request).failure?.cause == .unusable)
    }

    @Test func canBeCancelledAndStopped() async throws {
        let fake = try await FakeGroq(["rules": [["do": "silence"]]])
        let client = try fake.client { $0.maxTransfers = 1 }
        let request = fake.chat()
        let running = Task { await client.send(request) }
        while try await fake.counts()["most_at_once"]?.int != 1 { await Task.yield() }
        // The second waits for the first; both can be cancelled.
        let waiting = Task { await client.send(request) }
        waiting.cancel()
        #expect(await waiting.value.failure?.cause == .cancelled)
        running.cancel()
        let reply = await running.value
        #expect(reply.failure?.cause == .cancelled)
        #expect(reply.mayHaveRun)
        let last = Task { await client.send(request) }
        client.stop()
        #expect(await last.value.failure?.cause == .cancelled)
        #expect(await client.send(request).failure?.cause == .cancelled)
    }

    @Test func theKeyShowsNowhere() async throws {
        let fake = try await FakeGroq(["rules": [["do": "echo_key", "times": 1], ["do": "reset_first"]]])
        let client = try fake.client()
        let request = fake.chat()
        var said = ""
        dump(request, to: &said)
        said += "\(request) \(String(reflecting: request)) \(FakeGroq.key)"
        for _ in 0..<2 {
            let reply = await client.send(request)
            dump(reply, to: &said)
            said += String(decoding: reply.body, as: UTF8.self)
            let verdict = UpstreamVerdict(reply, backend: "fake", model: FakeGroq.model, isMapped: false)
            said += "\(verdict)"
        }
        #expect(said.contains(ProviderKey.placeholder))
        #expect(!said.contains(FakeGroq.keyText))
        let witness = try String(contentsOf: fake.folder.appending(path: "witness.jsonl"), encoding: .utf8)
        #expect(!witness.contains(FakeGroq.keyText))
    }
}
