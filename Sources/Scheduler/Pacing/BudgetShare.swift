/// A sender's part of a shared budget: what it took and has not sent yet. Pure; whoever holds it does the asking.
package struct BudgetShare: Sendable, Equatable {
    /// What to ask the store: gives back what got old, takes what is needed.
    package struct Exchange: Sendable, Equatable {
        package var unused: Allotment
        package var takenAt: Int64
        package var wanted: Allotment
        package var least: Allotment
    }

    private var held = Allotment()
    private var takenAt = Int64.min
    private var notBefore = Int64.min
    private let portion: Allotment
    private let lastsMs: Int64

    /// - Parameters:
    ///   - portions: how many make the minute's limit: many are shared out finely, few ask the store seldom.
    ///   - lastsMs: what is held longer may be a later minute's by the server's clock; it is given back.
    package init(_ limits: RateLimits, portions: Int = 60, lastsMs: Int64 = 2000) {
        portion = Allotment(
            requests: max(1, (limits.requestsPerMinute ?? 60_000) / portions),
            tokens: max(1, (limits.tokensPerMinute ?? 1 << 40) / portions))
        self.lastsMs = lastsMs
    }

    package enum Verdict: Sendable, Equatable {
        case now
        case notBefore(Int64)
        /// Ask the store first, then again.
        case ask(Exchange)
    }

    /// - Parameter tokens: what the request will be counted as.
    package func admit(tokens: Int, at now: Int64) -> Verdict {
        let isFresh = now < takenAt.advanced(byMs: lastsMs)
        if isFresh, held.requests >= 1, held.tokens >= tokens { return .now }
        if now < notBefore { return .notBefore(notBefore) }
        // A debt (answers that took more than was counted) is taken along.
        let least = Allotment(requests: 1, tokens: max(1, tokens - min(0, held.tokens)))
        let unused = Allotment(requests: max(0, held.requests), tokens: max(0, held.tokens))
        return .ask(
            Exchange(
                unused: unused, takenAt: takenAt,
                wanted: Allotment(
                    requests: max(portion.requests, least.requests), tokens: max(portion.tokens, least.tokens)),
                least: least))
    }

    /// The store's answer; what the exchange gave back is gone either way.
    package mutating func take(_ answer: SharedBudget.Answer, for exchange: Exchange, at now: Int64) {
        held.requests -= exchange.unused.requests
        held.tokens -= exchange.unused.tokens
        switch answer {
        case .granted(let more):
            held.requests += more.requests
            held.tokens += more.tokens
            takenAt = now
            notBefore = .min
        case .notBefore(let time): notBefore = time
        }
    }

    package mutating func send(tokens: Int) {
        held.requests -= 1
        held.tokens -= tokens
    }

    /// An answer took another number than was counted.
    package mutating func correct(from tokens: Int, to actual: Int) { held.tokens += tokens - actual }

    /// What to give back when the sender stops or has nothing to send.
    package mutating func empty() -> (unused: Allotment, takenAt: Int64)? {
        let unused = Allotment(requests: max(0, held.requests), tokens: max(0, held.tokens))
        defer { held = Allotment(requests: min(0, held.requests), tokens: min(0, held.tokens)) }
        return unused == Allotment() ? nil : (unused, takenAt)
    }
}
