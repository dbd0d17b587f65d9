import Foundation
import JSON
import Testing

@testable import Worker

/// The client against a server that behaves.
@Suite(.serialized) struct TransferTests {
    @Test(arguments: FakeGroq.Door.allCases)
    func getsAnAnswer(_ door: FakeGroq.Door) async throws {
        let fake = try await FakeGroq(["tokens_per_minute": 6000, "requests_per_day": 100])
        let client = try fake.client()
        let reply = await client.send(fake.chat("Grüße", door: door))
        #expect(reply.failure == nil)
        #expect(reply.status == 200)
        #expect(reply.usesHTTP2 == (door == .https2))
        #expect(try JSON(parsing: reply.body)["choices"]?.array?.first?["message"]?["content"]?.string?
            .contains("Grüße") == true)
        #expect(reply.limits.tokens.limit == 6000)
        #expect(reply.limits.requests.remaining == 99)
        #expect(reply.limits.requests.resetMs != nil)
        #expect(reply.header("x-request-id") == "req_fake")
        #expect(reply.sends == 1)
        #expect(reply.timings.firstByteMs <= reply.timings.totalMs + 1)
        // What was sent is what was meant, and the witness has seen it once.
        // It writes that down after the answer has left.
        var seen = try fake.witness()
        while seen.isEmpty {
            try await Task.sleep(for: .milliseconds(5))
            seen = try fake.witness()
        }
        #expect(seen.count == 1)
        #expect(seen.first?["body"]?.string == String(decoding: fake.chat("Grüße").body, as: UTF8.self))
        #expect(client.figures.finished == 1)
        #expect(client.figures.failed == 0)
    }

    @Test func reusesConnections() async throws {
        let fake = try await FakeGroq()
        let client = try fake.client()
        for door in FakeGroq.Door.allCases {
            let before = client.figures.connections
            for index in 0..<20 {
                let reply = await client.send(fake.chat("\(index)", door: door))
                #expect(reply.status == 200)
            }
            #expect(client.figures.connections == before + 1, "\(door)")
        }
    }

    @Test func multiplexes() async throws {
        let fake = try await FakeGroq(["gather": 200])
        let client = try fake.client()
        let replies = await withTaskGroup(of: UpstreamReply.self) { group in
            for index in 0..<200 {
                let request = fake.chat("\(index)", door: .https2)
                group.addTask { await client.send(request) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(replies.allSatisfy { $0.status == 200 && $0.usesHTTP2 })
        // A stream each would be 200; a server lets 100 into a connection before it has said how many it takes.
        #expect(client.figures.connections < 100)
        #expect(try await fake.counts()["most_at_once"]?.int == 200)
    }

    /// The server answers none of them before it has all.
    @Test func carriesTwoThousandAtOnce() async throws {
        let fake = try await FakeGroq(["gather": 2000])
        let client = try fake.client()
        let replies = await withTaskGroup(of: UpstreamReply.self) { group in
            for index in 0..<2000 {
                let request = fake.chat("\(index)")
                group.addTask { await client.send(request) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(replies.count == 2000)
        #expect(replies.allSatisfy { $0.status == 200 && $0.failure == nil })
        #expect(Set(try fake.witness().compactMap { $0["user"]?.string }).count == 2000)
        #expect(try await fake.counts()["most_at_once"]?.int == 2000)
    }

    @Test func opensConnectionsWhereNothingMultiplexes() async throws {
        let fake = try await FakeGroq(["gather": 150])
        let client = try fake.client()
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<150 {
                let request = fake.chat("\(index)", door: .https1)
                group.addTask { #expect(await client.send(request).status == 200) }
            }
        }
        #expect(client.figures.connections == 150)
    }

    @Test func keepsToItsLimitOfTransfers() async throws {
        let fake = try await FakeGroq(["latency_ms": 20])
        let client = try fake.client { $0.maxTransfers = 7 }
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<100 {
                let request = fake.chat("\(index)")
                group.addTask { #expect(await client.send(request).status == 200) }
            }
        }
        #expect(try await fake.counts()["most_at_once"]?.int == 7)
        let refusing = try fake.client { $0.maxTransfers = 1; $0.maxWaiting = 2 }
        let slow = fake.chat()
        let replies = await withTaskGroup(of: UpstreamReply.self) { group in
            for _ in 0..<50 { group.addTask { await refusing.send(slow) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(replies.contains { $0.failure?.cause == .outOfMemory && $0.sends == 0 })
        #expect(replies.contains { $0.status == 200 })
    }

    @Test func understandsGzip() async throws {
        let fake = try await FakeGroq(["gzip": true, "completion_tokens": 5000])
        let client = try fake.client()
        for door in FakeGroq.Door.allCases {
            let reply = await client.send(fake.chat(door: door))
            #expect(try JSON(parsing: reply.body)["usage"]?["completion_tokens"]?.int == 5000)
        }
    }

    @Test func goesThroughAProxy() async throws {
        let fake = try await FakeGroq()
        let proxy = fake.baseURL(.http, "")
        let client = try fake.client { $0.proxy = proxy }
        var request = fake.chat()
        // Nobody but the proxy knows this name.
        request.baseURL = "http://groq.example/openai/v1"
        #expect(await client.send(request).status == 200)
    }

    @Test func trustsNobodyUnasked() async throws {
        let fake = try await FakeGroq()
        let client = try fake.client { $0.caFile = nil }
        for door in [FakeGroq.Door.https1, .https2] {
            let reply = await client.send(fake.chat(door: door))
            #expect(reply.failure?.cause == .tls)
            #expect(reply.sends == 0)
        }
        let wrong = try fake.client { $0.caFile = "/nowhere/ca.pem" }
        #expect(await wrong.send(fake.chat(door: .https1)).failure?.cause == .tls)
    }

    @Test func officialClientsUnderstandTheFake() async throws {
        let fake = try await FakeGroq(["tokens_per_minute": 1_000_000, "requests_per_day": 1000])
        let process = Process()
        process.executableURL = URL(filePath: try FakeGroq.python.get())
        process.arguments = [FakeGroq.source.appending(path: "check_clients.py").path, fake.readyFile]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(text)")
    }
}
