import HeapModule
import Scheduler
import Testing

/// Several senders with one organisation's limits.
@Suite struct FleetTests {
    private struct Sender {
        var budget: RateBudget
        var share: BudgetShare
        var wake: Int64 = 0
    }

    private struct Event: Comparable {
        var at: Int64
        var order: Int
        var sender: Int
        var ticket: RateBudget.Ticket
        var request: Int
        var answer: SimulatedLimiter.Answer
        var number = (sequence: UInt64(0), takenAt: Int64(0))

        static func == (a: Event, b: Event) -> Bool { a.order == b.order }
        static func < (a: Event, b: Event) -> Bool { (a.at, a.order) < (b.at, b.order) }
    }

    struct Variant: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var kind: SimulatedLimiter.Kind
        var requestsPerMinute = 1000
        var tokensPerMinute = 400_000
        /// Sender 0 is that many times as eager.
        var isUneven = false
        var senders = 4
        /// Nothing states the limit of requests.
        var isHidden = false
        var intakeMs = (first: 0, later: 0)
    }

    static let variants = [
        Variant(testDescription: "rolling", kind: .rolling),
        Variant(testDescription: "fixed", kind: .fixed(phaseMs: 23_000)),
        Variant(testDescription: "bucket", kind: .bucket),
        Variant(testDescription: "tokens bind", kind: .rolling, requestsPerMinute: 3000, tokensPerMinute: 200_000),
        Variant(testDescription: "one does most", kind: .rolling, isUneven: true),
        Variant(testDescription: "sixteen", kind: .rolling, senders: 16),
        Variant(testDescription: "taken in one by one", kind: .rolling, intakeMs: (5, 1)),
    ]

    static let hidden: [Variant] = [
        ("rolling", SimulatedLimiter.Kind.rolling), ("fixed", .fixed(phaseMs: 23_000)), ("bucket", .bucket),
    ].flatMap { name, kind in
        [
            Variant(testDescription: "\(name), two", kind: kind, senders: 2, isHidden: true),
            Variant(testDescription: "\(name), five", kind: kind, senders: 5, isHidden: true),
            Variant(testDescription: "\(name), one does most", kind: kind, isUneven: true, isHidden: true),
            Variant(testDescription: "\(name), taken in one by one", kind: kind, isHidden: true, intakeMs: (5, 1)),
        ]
    }

    @Test(arguments: variants) func sharesOneBudget(_ variant: Variant) {
        let run = run(variant, sharing: true)
        let least = least(variant)
        #expect(Double(run.durationMs) <= Double(least) * 1.05 + 1500, "\(run.durationMs) ms; least \(least) ms")
        #expect(run.refusals * 100 < 5000, "\(run.refusals) refusals")
    }

    /// What one learned all know: a limit that nothing states is kept by all together.
    @Test(arguments: hidden) func sharesWhatWasLearned(_ variant: Variant) {
        let run = run(variant, sharing: true)
        let least = least(variant)
        #expect(run.refusals > 0, "the limit binds")
        #expect(run.later * 100 < 5000, "\(run.later) refusals after the first minute, \(run.refusals) in all")
        #expect(Double(run.durationMs) <= Double(least) * 1.05 + 1500, "\(run.durationMs) ms; least \(least) ms")
    }

    /// The test can fail: without the store each takes the whole.
    @Test func withoutSharingTheyAreRefused() {
        var variant = Self.variants[0]
        variant.senders = 16
        #expect(run(variant, sharing: false).refusals * 100 >= 5000)
    }

    private func setup(_ variant: Variant) -> PacingRun.Setup {
        .init(
            kind: variant.isHidden ? variant.kind : .rolling, requestsPerMinute: variant.requestsPerMinute,
            tokensPerMinute: variant.tokensPerMinute)
    }

    private func least(_ variant: Variant) -> Int64 { PacingRun.least(setup(variant)) }

    private func run(_ variant: Variant, sharing: Bool) -> (durationMs: Int64, refusals: Int, later: Int) {
        var random = SeededGenerator(seed: 7)
        let limits = variant.isHidden ? RateLimits(requestHeaderSpan: .day) : RateLimits(
            requestsPerMinute: variant.requestsPerMinute, tokensPerMinute: variant.tokensPerMinute,
            requestHeaderSpan: .minute)
        var limiter = SimulatedLimiter(
            variant.kind, headers: variant.isHidden ? .groq : .all(skewMs: 0), requests: variant.requestsPerMinute,
            tokens: variant.tokensPerMinute)
        var busyUntil: Int64 = 0
        var shared = SharedBudget(limits)
        var senders = (0..<variant.senders).map { _ in
            Sender(budget: RateBudget(limits, learnsHidden: !sharing), share: BudgetShare(limits))
        }
        var waiting = Array(0..<5000)
        var events = Heap<Event>()
        var (now, done, attempts) = (Int64(0), 0, 0)
        while done < 5000 {
            for at in senders.indices where senders[at].wake <= now {
                if variant.isUneven, at > 0, random.chance(900) {
                    senders[at].wake = now + 50
                    continue
                }
                senders[at].wake = .max
                while let request = waiting.last {
                    let tokens = senders[at].budget.counted(380)
                    switch senders[at].budget.admit(cost: 380, at: now) {
                    case .notBefore(let time): senders[at].wake = time
                    case .afterAnswer: break
                    case .now:
                        switch sharing ? senders[at].share.admit(tokens: tokens, at: now) : .now {
                        case .notBefore(let time): senders[at].wake = time
                        case .ask(let exchange):
                            if !exchange.report.isEmpty { shared.settle(exchange.report, at: now) }
                            let answer = shared.take(exchange.wanted, least: exchange.least, at: now)
                            senders[at].share.take(answer, for: exchange, at: now)
                            continue
                        case .now:
                            waiting.removeLast()
                            let ticket = senders[at].budget.sent(cost: 380, at: now)
                            let number = senders[at].share.send(tokens: ticket.tokens)
                            attempts += 1
                            let actual = 200 + request * 37 % 180
                            busyUntil = max(busyUntil, now)
                                + Int64(now < 55_000 ? variant.intakeMs.first : variant.intakeMs.later)
                            let answer = limiter.receive(tokens: actual, at: busyUntil)
                            let latency = answer.isAccepted ? random.int(300...1500) : 50
                            events.insert(
                                Event(
                                    at: busyUntil + Int64(latency), order: attempts, sender: at, ticket: ticket,
                                    request: request, answer: answer, number: number))
                            continue
                        }
                    }
                    break
                }
            }
            let wake = waiting.isEmpty ? .max : senders.map(\.wake).min() ?? .max
            guard let next = [events.min?.at, wake].compactMap(\.self).min(), next < .max else { break }
            now = max(now, next)
            while let event = events.min, event.at <= now {
                events.removeMin()
                senders[event.sender].wake = now
                if event.answer.isAccepted {
                    done += 1
                    let actual = 200 + event.request * 37 % 180
                    let countedAt = senders[event.sender].budget.finished(
                        event.ticket, actual: actual, report: event.answer.report, at: now)
                    senders[event.sender].share.note(
                        tokens: event.ticket.tokens, takenAt: event.number.takenAt, countedAt: countedAt)
                    senders[event.sender].share.correct(from: event.ticket.tokens, to: actual)
                } else {
                    waiting.append(event.request)
                    let isExplained = senders[event.sender].budget.refused(
                        event.ticket, report: event.answer.report, at: now, random: 0.5)
                    senders[event.sender].share.refuse(tokens: event.ticket.tokens)
                    guard sharing else { continue }
                    shared.refuse(
                        SharedBudget.Refusal(
                            sequence: event.number.sequence, sentAt: event.number.takenAt, at: now,
                            retryAfterMs: event.answer.report.retryAfterMs, isExplained: isExplained), at: now)
                }
            }
        }
        return (now, limiter.refusals.count, limiter.refusals.count { $0 >= 60_000 })
    }

    @Test func whatWasTakenIsNeverMoreThanTheLimit() {
        var random = SeededGenerator(seed: 3)
        var shared = SharedBudget(RateLimits(requestsPerMinute: 100, tokensPerMinute: 5000))
        var taken: [(at: Int64, Allotment)] = []
        var grants = 0
        for step in 0..<4000 {
            let now = Int64(step) * 50
            let least = Allotment(requests: 1, tokens: random.int(1...200))
            if case .granted(let grant) = shared.take(
                Allotment(requests: 5, tokens: 400), least: least, at: now)
            {
                let granted = grant.amount
                grants += 1
                #expect(granted.requests >= 1 && granted.tokens >= least.tokens)
                var kept = granted
                if random.chance(300) {
                    let unused = Allotment(requests: granted.requests / 2, tokens: granted.tokens / 2)
                    shared.settle(.init(unused: unused, takenAt: now), at: now)
                    kept.requests -= unused.requests
                    kept.tokens -= unused.tokens
                }
                taken.append((now, kept))
            }
            let last = taken.filter { $0.at > now - 60_000 }.map(\.1)
            #expect(last.reduce(0) { $0 + $1.requests } <= 100)
            #expect(last.reduce(0) { $0 + $1.tokens } <= 5000)
        }
        #expect(grants > 40)
    }
}
