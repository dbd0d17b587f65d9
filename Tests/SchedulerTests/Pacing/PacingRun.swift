import HeapModule
import Scheduler

/// Sends requests through a budget to a simulated limiter, in simulated time.
struct PacingRun {
    struct Setup {
        var kind: SimulatedLimiter.Kind
        var headers: SimulatedLimiter.Headers = .all(skewMs: 0)
        var requests = 5000
        var requestsPerMinute = 1000
        var tokensPerMinute = 400_000
        /// What the budget is told; nil: it has to learn from headers.
        var limits: RateLimits?
        var promptTokens = 100...300
        var completionTokens = 20...180
        /// What estimates count for the completion.
        var maxTokens = 180
        var latencyMs = 300...1500
        /// What the server needs to take one request in, in the first minute (over new connections) and later; those
        /// that come meanwhile wait, and are counted later.
        var intakeMs = (first: 0, later: 0)
        /// Whether the server counts what a request can take at most until it has ended.
        var reserves = false
        /// What the server calls a minute.
        var spanMs = 60_000.0
        var seed: UInt64 = 1
    }

    private struct Event: Comparable {
        var at: Int64
        var number: Int
        var ticket: RateBudget.Ticket
        var request: Int
        var answer: SimulatedLimiter.Answer

        static func == (a: Event, b: Event) -> Bool { a.number == b.number }
        static func < (a: Event, b: Event) -> Bool { (a.at, a.number) < (b.at, b.number) }
    }

    var durationMs: Int64 = 0
    /// The same, for a client that knows the server's mind and everything beforehand.
    var leastMs: Int64 = 0
    var attempts = 0
    var refusals: [Int64] = []
    var completed = 0
    var mostInFlight = 0

    var refusalsAfterFirstSpan: Int { refusals.count { $0 >= 60_000 } }

    init(_ setup: Setup) {
        var random = SeededGenerator(seed: setup.seed)
        let costs = Self.costs(setup, &random)
        leastMs = Self.least(setup)
        var limiter = Self.limiter(setup)
        var budget = RateBudget(
            setup.limits
                ?? RateLimits(
                    requestsPerMinute: setup.requestsPerMinute, tokensPerMinute: setup.tokensPerMinute,
                    requestHeaderSpan: .minute))
        var waiting = Array((0..<setup.requests).reversed())
        var events = Heap<Event>()
        var now: Int64 = 0
        var busyUntil: Int64 = 0
        while completed < setup.requests {
            var wake: Int64?
            while let request = waiting.last {
                let cost = costs[request].prompt + setup.maxTokens
                let admission = budget.admit(cost: cost, at: now)
                if case .notBefore(let time) = admission {
                    precondition(time > now, "asked to wait for the past")
                    wake = time
                }
                guard admission == .now else { break }
                waiting.removeLast()
                let ticket = budget.sent(cost: cost, at: now)
                mostInFlight = max(mostInFlight, budget.inFlight)
                attempts += 1
                let actual = costs[request].prompt + costs[request].completion
                busyUntil = max(now, busyUntil) + Int64(now < 55_000 ? setup.intakeMs.first : setup.intakeMs.later)
                let answer = limiter.receive(tokens: setup.reserves ? cost : actual, at: busyUntil)
                let latency = answer.isAccepted ? random.int(setup.latencyMs) : random.int(20...100)
                events.insert(
                    Event(
                        at: busyUntil + Int64(latency), number: attempts, ticket: ticket, request: request,
                        answer: answer))
            }
            guard let next = [events.min?.at, wake].compactMap(\.self).min() else {
                preconditionFailure("nothing in flight, and nothing to wait for")
            }
            now = max(now, next)
            while let event = events.min, event.at <= now {
                events.removeMin()
                if event.answer.isAccepted {
                    completed += 1
                    precondition(setup.intakeMs.first == 0 || !setup.reserves, "a limiter goes forward only")
                    let cost = costs[event.request]
                    if setup.reserves { limiter.giveBack(tokens: setup.maxTokens - cost.completion, at: now) }
                    budget.finished(
                        event.ticket, actual: cost.prompt + cost.completion, report: event.answer.report, at: now)
                } else {
                    waiting.append(event.request)
                    budget.refused(
                        event.ticket, report: event.answer.report, at: now,
                        random: Double(random.int(0...999)) / 1000)
                }
            }
        }
        durationMs = now
        refusals = limiter.refusals
    }

    private static func limiter(_ setup: Setup) -> SimulatedLimiter {
        SimulatedLimiter(
            setup.kind, headers: setup.headers, requests: setup.requestsPerMinute, tokens: setup.tokensPerMinute,
            spanMs: setup.spanMs)
    }

    private static func costs(
        _ setup: Setup, _ random: inout SeededGenerator
    ) -> [(prompt: Int, completion: Int)] {
        (0..<setup.requests).map { _ in (random.int(setup.promptTokens), random.int(setup.completionTokens)) }
    }

    /// When the last request can be accepted at the earliest.
    static func least(_ setup: Setup) -> Int64 {
        var random = SeededGenerator(seed: setup.seed)
        var limiter = limiter(setup)
        var now: Int64 = 0
        for cost in costs(setup, &random) {
            var next = limiter.earliest(tokens: cost.prompt + cost.completion, at: now)
            while !limiter.receive(tokens: cost.prompt + cost.completion, at: next).isAccepted { next += 1 }
            now = next
        }
        return now
    }
}
