/// A sender's part of a shared budget: what it took and has not sent yet. Pure; whoever holds it does the asking.
package struct BudgetShare: Sendable, Equatable {
    /// What to ask the store: says what became of what it took last, and takes what is needed.
    package struct Exchange: Sendable, Equatable {
        package var report: SharedBudget.Report
        package var wanted: Allotment
        package var least: Allotment

        package init(report: SharedBudget.Report, wanted: Allotment, least: Allotment) {
            self.report = report
            self.wanted = wanted
            self.least = least
        }
    }

    private var held = Allotment()
    /// Of what is held: its first request's number.
    private var next: UInt64 = 1
    private var takenAt = Int64.min
    /// What is held was taken before the server refused something.
    private var isStale = false
    /// What answers told of the time that requests were counted at, not reported yet; where it is not about the time
    /// that they were taken at.
    private var moves: [SharedBudget.Move] = []
    private var notBefore = Int64.min
    private var portion: Allotment
    /// Where no limit of requests is known portions grow while they do not last.
    private let grows: Bool
    private let lastsMs: Int64
    private static let firstPortion = 8
    private static let mostPortion = 512
    /// Times that are nearer to each other are one.
    private static let grainMs: Int64 = 250

    /// - Parameters:
    ///   - portions: how many make the minute's limit: many are shared out finely, few ask the store seldom.
    ///   - lastsMs: what is held longer may be a later minute's by the server's clock; it is given back.
    package init(_ limits: RateLimits, portions: Int = 60, lastsMs: Int64 = 2000) {
        grows = limits.requestsPerMinute == nil
        portion = Allotment(
            requests: limits.requestsPerMinute.map { max(1, $0 / portions) } ?? Self.firstPortion,
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
    package mutating func admit(tokens: Int, at now: Int64) -> Verdict {
        let isFresh = !isStale && now < takenAt.advanced(byMs: lastsMs)
        if isFresh, held.requests >= 1, held.tokens >= tokens { return .now }
        if now < notBefore { return .notBefore(notBefore) }
        if grows, isFresh, held.requests < 1 { portion.requests = min(Self.mostPortion, 2 * portion.requests) }
        if grows, !isFresh { portion.requests = max(Self.firstPortion, portion.requests / 2) }
        // A debt (answers that took more than was counted) is taken along.
        let least = Allotment(requests: 1, tokens: max(1, tokens - min(0, held.tokens)))
        return .ask(
            Exchange(
                report: report,
                wanted: Allotment(
                    requests: max(portion.requests, least.requests), tokens: max(portion.tokens, least.tokens)),
                least: least))
    }

    private var report: SharedBudget.Report {
        SharedBudget.Report(
            unused: Allotment(requests: max(0, held.requests), tokens: max(0, held.tokens)), takenAt: takenAt,
            moves: moves)
    }

    /// The store's answer; what the exchange gave back is gone either way.
    package mutating func take(_ answer: SharedBudget.Answer, for exchange: Exchange, at now: Int64) {
        held.requests -= exchange.report.unused.requests
        held.tokens -= exchange.report.unused.tokens
        moves.removeFirst(min(moves.count, exchange.report.moves.count))
        switch answer {
        case .granted(let grant):
            held.requests += grant.amount.requests
            held.tokens += grant.amount.tokens
            next = grant.last + 1 - UInt64(max(0, min(held.requests, grant.amount.requests)))
            takenAt = now
            isStale = false
            notBefore = .min
        case .notBefore(let time): notBefore = time
        }
    }

    /// - Returns: the request's number, and when it was taken.
    package mutating func send(tokens: Int) -> (sequence: UInt64, takenAt: Int64) {
        held.requests -= 1
        held.tokens -= tokens
        defer { next += 1 }
        return (next, takenAt)
    }

    /// The server counted a request then.
    package mutating func note(tokens: Int, takenAt: Int64, countedAt: Int64) {
        guard takenAt > .min, countedAt - takenAt >= Self.grainMs else { return }
        let sent = Allotment(requests: 1, tokens: tokens)
        for at in moves.indices.suffix(8)
        where moves[at].takenAt == takenAt && abs(moves[at].countedAt - countedAt) < Self.grainMs {
            moves[at].sent.requests += 1
            moves[at].sent.tokens += tokens
            moves[at].countedAt = max(moves[at].countedAt, countedAt)
            return
        }
        moves.append(SharedBudget.Move(sent, takenAt: takenAt, countedAt: countedAt))
    }

    /// The server turned one away: what is held is not to be sent any more.
    package mutating func refuse(tokens: Int) {
        held.tokens += tokens
        isStale = true
    }

    /// An answer took another number than was counted.
    package mutating func correct(from tokens: Int, to actual: Int) { held.tokens += tokens - actual }

    /// What to say when the sender stops or has nothing to send.
    package mutating func empty() -> SharedBudget.Report? {
        let report = report
        held = Allotment(requests: min(0, held.requests), tokens: min(0, held.tokens))
        moves = []
        return report.isEmpty ? nil : report
    }
}
