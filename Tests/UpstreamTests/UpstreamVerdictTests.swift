import JSON
import JobQueue
import Scheduler
import Testing

@testable import Worker

/// The table in docs/upstreams.md.
@Suite struct UpstreamVerdictTests {
    enum Kind: String, Sendable { case answered, refused, later, broken, parkedRoute, parkedModel }

    static func verdict(
        _ status: Int, _ body: String, headers: [UpstreamHeader] = [], failure: UpstreamFailure? = nil,
        maps: Bool = false
    ) -> UpstreamVerdict {
        let reply = UpstreamReply(status: status, headers: headers, body: Array(body.utf8), failure: failure)
        return UpstreamVerdict(reply, backend: "groq", model: "some-model", isMapped: maps)
    }

    static func kind(_ verdict: UpstreamVerdict) -> Kind {
        switch verdict {
        case .answered: .answered
        case .refused: .refused
        case .later: .later
        case .broken: .broken
        case .parked(_, .route): .parkedRoute
        case .parked(_, .model): .parkedModel
        }
    }

    static func error(_ code: String?, _ message: String = "words") -> String {
        let code: JSON = code.map { .string($0) } ?? .null
        return (["error": ["message": .string(message), "type": "x", "code": code]] as JSON).text
    }

    @Test(arguments: [
        (400, nil, .refused), (400, "json_validate_failed", .refused), (400, "model_decommissioned", .parkedModel),
        (401, nil, .parkedRoute), (401, "invalid_api_key", .parkedRoute), (400, "invalid_api_key", .parkedRoute),
        (402, nil, .parkedRoute), (403, nil, .parkedRoute), (403, "model_permission_blocked_org", .parkedModel),
        (404, "model_not_found", .parkedModel), (404, "unknown_url", .parkedRoute), (405, nil, .refused),
        (408, nil, .broken), (409, nil, .broken), (413, nil, .refused), (413, "rate_limit_exceeded", .refused),
        (422, nil, .refused), (424, nil, .refused), (429, nil, .later), (429, "rate_limit_exceeded", .later),
        (429, "insufficient_quota", .parkedRoute), (498, nil, .later), (498, "capacity_exceeded", .later),
        (499, nil, .broken), (500, nil, .broken), (502, nil, .broken), (503, nil, .broken), (504, nil, .broken),
        (529, nil, .broken), (301, nil, .parkedRoute), (204, nil, .broken), (418, nil, .refused),
    ] as [(Int, String?, Kind)])
    func statusesMean(_ status: Int, _ code: String?, _ kind: Kind) {
        #expect(Self.kind(Self.verdict(status, Self.error(code))) == kind)
    }

    @Test(arguments: UpstreamFailure.Cause.allCases)
    func causesMean(_ cause: UpstreamFailure.Cause) {
        let verdict = Self.verdict(0, "", failure: UpstreamFailure(cause, "what happened"))
        let wanted: Kind =
            switch cause {
            case .unusable: .parkedRoute
            case .outOfMemory, .cancelled: .later
            default: .broken
            }
        #expect(Self.kind(verdict) == wanted)
        if case .broken(let error, _) = verdict {
            #expect(error.code == "upstream_\(cause.rawValue)")
            #expect(error.message == "groq: what happened")
        }
    }

    @Test func saysWhenToComeBack() {
        let headers = [UpstreamHeader("retry-after", "7")]
        guard case .later(let error, 7000) = Self.verdict(429, Self.error(nil, "slow down"), headers: headers) else {
            Issue.record("not later, or not in 7 s")
            return
        }
        #expect(error.message == "groq answered 429: slow down")
        #expect(error.statusCode == 429)
        guard case .broken(_, 7000) = Self.verdict(503, "", headers: headers) else {
            Issue.record("not broken, or not in 7 s")
            return
        }
    }

    @Test func neverFittingIsNotWaitedFor() {
        let message = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 61337."
        #expect(Self.kind(Self.verdict(429, Self.error("rate_limit_exceeded", message))) == .refused)
    }

    @Test func olderServersSayItInWords() {
        let vllm = #"{"object":"error","message":"The model `some-model` does not exist.","code":404}"#
        #expect(Self.kind(Self.verdict(404, vllm)) == .parkedModel)
        guard case .refused(let error) = Self.verdict(422, #"{"detail":"field required"}"#) else {
            Issue.record("not refused")
            return
        }
        #expect(error.message.hasSuffix("field required"))
        guard case .broken(let page, _) = Self.verdict(502, "<html>bad gateway</html>") else {
            Issue.record("not broken")
            return
        }
        #expect(page.message.contains("bad gateway"))
        guard case .broken(let mute, _) = Self.verdict(500, "") else {
            Issue.record("not broken")
            return
        }
        #expect(mute.message.hasSuffix("said nothing"))
    }

    static let chat = """
        {"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi","reasoning":"hm"},\
        "finish_reason":"stop"}],\
        "usage":{"queue_time":0.25,"prompt_tokens":10,"prompt_time":0.5,"completion_tokens":4,"completion_time":1.5,\
        "prompt_tokens_details":{"cached_tokens":6},"completion_tokens_details":{"reasoning_tokens":3}},\
        "x_groq":{"id":"r"}}
        """

    @Test func readsUsage() throws {
        guard case .answered(let answer) = Self.verdict(200, Self.chat) else {
            Issue.record("no answer")
            return
        }
        #expect(answer.body == Array(Self.chat.utf8))
        #expect(answer.usage == Usage(promptTokens: 10, completionTokens: 4, cachedTokens: 6))
        #expect(answer.reasoningTokens == 3)
        var transfer = UpstreamTimings()
        #expect(
            answer.timings(waitedMs: 100, transfer: transfer) == Timings(queuedMs: 350, prefillMs: 500, decodeMs: 1500))
        // An upstream that tells no times.
        guard case .answered(let plain) = Self.verdict(200, #"{"choices":[],"usage":{"prompt_tokens":-3}}"#) else {
            Issue.record("no answer")
            return
        }
        #expect(plain.usage == Usage())
        // What no store would take is cut off, so that the answer is not lost with it.
        let count = Int64.max
        guard case .answered(let absurd) = Self.verdict(200, #"{"choices":[],"usage":{"prompt_tokens":\#(count)}}"#)
        else {
            Issue.record("not answered")
            return
        }
        #expect(absurd.usage == Usage(promptTokens: Outcome.maxTokens))
        let price = Price(input: Money(nanodollars: .max), output: .zero)
        let spending = UpstreamSpending(book: SpendBook(NoRecords(), sender: "w", caps: { _ in [:] })) {
            PriceTable([.init(backend: "groq", models: [NamePattern("*")], price: price)])
        }
        let priced = spending.priced(absurd, backend: "groq", model: "m")
        #expect(priced.usage.costNanodollars == Outcome.maxCostNanodollars)
        #expect(spending.priced(absurd, backend: "vllm", model: "m") == absurd)
        transfer.sentMs = 5
        transfer.firstByteMs = 205
        transfer.totalMs = 305
        #expect(plain.timings(waitedMs: 7, transfer: transfer) == Timings(queuedMs: 7, prefillMs: 200, decodeMs: 100))
    }

    @Test func chatsBecomeCompletions() throws {
        guard case .answered(let answer) = Self.verdict(200, Self.chat, maps: true) else {
            Issue.record("no answer")
            return
        }
        let json = try JSON(parsing: answer.body)
        #expect(json["object"]?.string == "text_completion")
        #expect(json["x_groq"]?["id"]?.string == "r")
        let choice = try #require(json["choices"]?.array?.first)
        #expect(choice["text"]?.string == "hi")
        #expect(choice["reasoning"]?.string == "hm")
        #expect(choice["message"] == nil)
        #expect(choice["finish_reason"]?.string == "stop")
        #expect(choice["logprobs"] == .null)
    }

    @Test(arguments: ["", "{", "<html>", #"{"object":"list"}"#, #"{"choices":null}"#, "null", #"["choices"]"#])
    func anAnswerWithoutChoicesIsNone(_ body: String) {
        guard case .broken(let error, nil) = Self.verdict(200, body) else {
            Issue.record("taken for an answer")
            return
        }
        #expect(error.code == "upstream_notJSON")
    }
}

/// A store that nothing is asked of.
private struct NoRecords: RecordStore {
    func records(_ names: [String]) async throws(JobQueueError) -> [StoredRecord?] { names.map { _ in nil } }
    func write(_ changes: [RecordChange]) async throws(JobQueueError) -> Bool { false }
    func recordNames(prefix: String) async throws(JobQueueError) -> [String] { [] }
}
