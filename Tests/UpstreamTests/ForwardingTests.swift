import Foundation
import JSON
import JobQueue
import Testing

@testable import Worker

/// Batches through the worker to a fake Groq and back.
@Suite struct ForwardingTests {
    static func chats(_ count: Int, more: String = "") -> [Request] {
        (0..<count).map { ForwardingBed.chat("r\($0);", more: more) }
    }

    @Test func answersEverything() async throws {
        let bed = try await ForwardingBed()
        let batch = try await bed.submit(Self.chats(300))
        let figures = try await bed.work(batch)
        let results = try await bed.results(batch)
        #expect(Set(results.map(\.customID)) == Set((0..<300).map { "r\($0);" }))
        #expect(results.count == 300)
        #expect(figures.sent == 300)
        #expect(figures.answered == 300)
        var usage = Usage()
        for result in results {
            #expect(result.state == .completed)
            #expect(result.attempt == 1)
            #expect(result.outcome.backend == "groq")
            guard case .response(200, let bytes) = result.outcome.result else { continue }
            let body = try JSON(parsing: bytes)
            #expect(body["choices"]?.array?.first?["message"]?["content"]?.string?.contains(result.customID) == true)
            #expect(body["usage"]?["total_tokens"]?.int == result.outcome.usage.totalTokens)
            #expect(result.outcome.usage.cachedTokens == result.outcome.usage.promptTokens / 2)
            #expect(result.outcome.timings.queuedMs >= 12)
            usage += result.outcome.usage
        }
        // I4, and the upstream's own count.
        let status = try await bed.queue.status(batch)
        #expect(status.usage == usage)
        #expect(usage == figures.usage)
        #expect(usage.totalTokens == (try bed.fake.witness().reduce(0) { $0 + ($1["tokens"]?.int ?? 0) }))
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    /// Everything that can go wrong once goes wrong for some; all are answered in the end, and nothing was computed
    /// twice but what had been cut off, which was counted.
    @Test(arguments: [FakeGroq.Door.http, .https2])
    func outlastsMisbehaviour(_ door: FakeGroq.Door) async throws {
        let rules: [JSON] = [
            "reset_first", "reset_mid_body", "short", "invalid_json", "html", "empty", "no_choices", "late_status",
            "no_headers", "bad_headers", "gigabyte", "bomb", "stop_mid_body", "silence",
        ].enumerated().map { index, action in
            ["do": .string(action), "contains": .string("r\(index);"), "times": 1, "bytes": 4_000_000]
        }
        let statuses: [JSON] = [500, 502, 503, 408, 409, 499, 498, 429].enumerated().map { index, status in
            ["do": "status", "status": .int(Int64(status)), "contains": .string("r\(20 + index);"), "times": 2]
        }
        let bed = try await ForwardingBed(["rules": .array(rules + statuses)])
        let batch = try await bed.submit(Self.chats(60))
        var target = bed.target(door)
        target.timeouts.firstByteMs = 1500
        target.timeouts.stallMs = 500
        target.maxReplyBytes = 1 << 20
        let figures = try await bed.work(batch, target)
        let results = try await bed.results(batch)
        #expect(results.count == 60)
        for result in results where result.state != .completed {
            Issue.record("\(result.customID): \(result.outcome.error?.message ?? "?")")
        }
        #expect(figures.broken >= rules.count - 2)
        let again = try bed.computed().values.reduce(0) { $0 + $1 - 1 }
        // An answer that came whole and made no sense is known not to be cut off.
        let senseless = 5
        #expect(again <= figures.cutOff + senseless, "\(figures)")
        #expect(again > 0)
        for result in results where Int(result.customID.dropFirst().dropLast()) ?? 0 >= 30 {
            #expect(result.attempt == 1, "\(result.customID) failed for its neighbours")
        }
    }

    @Test func attemptsRunOut() async throws {
        let bed = try await ForwardingBed(["rules": [["do": "status", "status": 503, "contains": "r1;"]]], speed: 50)
        let batch = try await bed.submit(Self.chats(3), maxAttempts: 4)
        try await bed.work(batch)
        let failed = try await bed.results(batch).filter { $0.state == .failed }
        #expect(failed.map(\.customID) == ["r1;"])
        #expect(failed.first?.outcome.error?.code == "attempts_exhausted")
        #expect(failed.first?.outcome.error?.message.contains("503") == true)
        #expect(try bed.fake.witness().filter { $0["user"]?.string == "r1;" }.count == 4)
    }

    @Test func badRequestsFailAlone() async throws {
        let bed = try await ForwardingBed(["rules": [["do": "status", "status": 422, "contains": "teapot"]]])
        let batch = try await bed.submit([
            ForwardingBed.chat("fine"), ForwardingBed.chat("two", more: #","n":2"#), ForwardingBed.chat("teapot"),
            ForwardingBed.chat("bias", more: #","logit_bias":{"1":2}"#),
        ])
        try await bed.work(batch)
        let results = try await bed.results(batch)
        let errors = results.reduce(into: [:]) { $0[$1.customID] = $1.outcome.error }
        #expect(errors.keys.sorted() == ["bias", "teapot", "two"])
        #expect(errors["two"]?.parameter == "n")
        #expect(errors["bias"]?.parameter == "logit_bias")
        #expect(errors["teapot"]?.statusCode == 422)
        // What Groq does not take was not sent, and what it refused was sent once.
        #expect(try bed.fake.witness().compactMap { $0["user"]?.string }.sorted() == ["fine", "teapot"])
    }

    @Test func completionsBecomeChatsAndBack() async throws {
        let bed = try await ForwardingBed()
        let body = #"{"model":"llama-3.1-8b-instant","prompt":"Once upon","max_tokens":3}"#
        let batch = try await bed.submit([
            Request(customID: "c", endpoint: .completions, body: Array(body.utf8), model: FakeGroq.model)
        ])
        try await bed.work(batch)
        guard case .response(200, let bytes) = try await bed.results(batch).first?.outcome.result else {
            Issue.record("no response")
            return
        }
        let answer = try JSON(parsing: bytes)
        #expect(answer["object"]?.string == "text_completion")
        #expect(answer["choices"]?.array?.first?["text"]?.string == "echo Once upon")
        #expect(answer["choices"]?.array?.first?["message"] == nil)
        #expect(answer["choices"]?.array?.first?["finish_reason"]?.string == "length")
        #expect(answer["usage"]?["completion_tokens"]?.int == 3)
        #expect(try bed.fake.witness().first?["path"]?.string == "/openai/v1/chat/completions")
    }
}
