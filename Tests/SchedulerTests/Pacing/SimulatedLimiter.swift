import Scheduler

/// A server's limits as servers count them, to pace against: a second opinion, written without the budget's code.
struct SimulatedLimiter {
    enum Kind: Sendable {
        /// What was taken in the span before now.
        case rolling
        /// Spans that begin at `phaseMs` and every span after.
        case fixed(phaseMs: Int64)
        /// A bucket that holds a span's limit and refills steadily.
        case bucket
        /// The same, and another that holds only a sixtieth, of which the headers say nothing.
        case bySecond
    }

    enum Headers: Sendable {
        case none
        /// With resets that many milliseconds off.
        case all(skewMs: Int64)
        /// As Groq's: tokens of a minute, requests of a day that never binds, nothing of requests a minute.
        case groq
    }

    struct Answer {
        var isAccepted: Bool
        var report: RateReport
    }

    let kind: Kind
    let headers: Headers
    let limits: [Int]
    /// What it calls a minute.
    let spanMs: Double
    private var levels: [Double]
    private var secondLevels: [Double]
    private var updatedAt = 0.0
    private var span: Int64 = .min
    private var taken: [(at: Int64, amounts: [Int])] = []
    private var firstTaken = 0
    private(set) var refusals: [Int64] = []
    private var accepted = 0

    init(_ kind: Kind, headers: Headers, requests: Int, tokens: Int, spanMs: Double = 60_000) {
        self.spanMs = spanMs
        self.kind = kind
        self.headers = headers
        limits = [requests, tokens]
        levels = limits.map(Double.init)
        secondLevels = limits.map { Double($0) / 60 }
        if case .bySecond = kind {} else { secondLevels = [.infinity, .infinity] }
    }

    private func capacity(_ at: Int) -> Double { Double(limits[at]) }

    private func free(_ at: Int) -> Double { min(levels[at], secondLevels[at]) }

    /// Larger than a bucket: passes when it is full.
    private func needed(_ tokens: Int) -> [Double] {
        if case .bySecond = kind { return [1, min(Double(tokens), Double(limits[1]) / 60)] }
        return [1, min(Double(tokens), capacity(1))]
    }

    private mutating func advance(to now: Int64) {
        switch kind {
        case .rolling:
            while firstTaken < taken.count, Double(now - taken[firstTaken].at) >= spanMs {
                for i in 0...1 { levels[i] += Double(taken[firstTaken].amounts[i]) }
                firstTaken += 1
            }
        case .fixed(let phaseMs):
            let current = (now - phaseMs + 10 * Int64(spanMs)) / Int64(spanMs)
            if current != span {
                span = current
                levels = limits.map(Double.init)
            }
        case .bucket, .bySecond:
            for i in 0...1 {
                let refill = Double(limits[i]) * (Double(now) - updatedAt) / spanMs
                levels[i] = min(capacity(i), levels[i] + refill)
                secondLevels[i] = min(max(secondLevels[i], Double(limits[i]) / 60), secondLevels[i] + refill)
            }
        }
        updatedAt = Double(now)
    }

    /// Milliseconds until `amounts` would be accepted.
    private func waitMs(_ amounts: [Double], at now: Int64) -> Double {
        switch kind {
        case .fixed(let phaseMs):
            let since = (now - phaseMs + 10 * Int64(spanMs)) % Int64(spanMs)
            return spanMs - Double(since)
        case .rolling:
            var free = levels
            for entry in taken[firstTaken...] {
                if free[0] >= amounts[0] && free[1] >= amounts[1] { return 0 }
                for i in 0...1 { free[i] += Double(entry.amounts[i]) }
                if free[0] >= amounts[0] && free[1] >= amounts[1] {
                    return Double(entry.at) + spanMs - Double(now)
                }
            }
            return 0
        case .bucket, .bySecond:
            return (0...1).map { max(0, amounts[$0] - free($0)) / Double(limits[$0]) * spanMs }.max() ?? 0
        }
    }

    private func resetMs(_ at: Int, now: Int64) -> Int64 {
        switch kind {
        case .rolling:
            guard firstTaken < taken.count else { return 0 }
            return taken[firstTaken].at + Int64(spanMs) - now
        case .fixed: return Int64(waitMs([0, 0], at: now))
        case .bucket, .bySecond:
            return Int64(((capacity(at) - levels[at]) / Double(limits[at]) * spanMs).rounded(.up))
        }
    }

    /// When a client that knows everything could send this at the earliest.
    mutating func earliest(tokens: Int, at now: Int64) -> Int64 {
        advance(to: now)
        let amounts = needed(tokens)
        guard free(0) < amounts[0] || free(1) < amounts[1] else { return now }
        return now + Int64(waitMs(amounts, at: now).rounded(.up))
    }

    mutating func receive(tokens: Int, at now: Int64) -> Answer {
        advance(to: now)
        let needed = needed(tokens)
        let isAccepted = free(0) >= needed[0] - 1e-6 && free(1) >= needed[1] - 1e-6
        if isAccepted {
            accepted += 1
            levels[0] -= 1
            levels[1] -= Double(tokens)
            secondLevels[0] -= 1
            secondLevels[1] -= Double(tokens)
            if case .rolling = kind { taken.append((now, [1, tokens])) }
        } else {
            refusals.append(now)
        }
        var report = RateReport()
        if !isAccepted { report.retryAfterMs = Int64((waitMs(needed, at: now) / 1000).rounded(.up)) * 1000 }
        switch headers {
        case .none: break
        case .all(let skewMs):
            report.requests = amount(0, now, skewMs)
            report.tokens = amount(1, now, skewMs)
        case .groq:
            report.requests = .init(limit: 1_000_000, remaining: 1_000_000 - accepted, resetMs: 86_400_000)
            report.tokens = amount(1, now, 0)
        }
        return Answer(isAccepted: isAccepted, report: report)
    }

    /// A request took less than was counted.
    mutating func giveBack(tokens: Int, at now: Int64) {
        advance(to: now)
        levels[1] = min(levels[1] + Double(tokens), Double(limits[1]))
    }

    private func amount(_ at: Int, _ now: Int64, _ skewMs: Int64) -> RateReport.Amount {
        RateReport.Amount(
            limit: limits[at], remaining: max(0, Int(levels[at])), resetMs: max(0, resetMs(at, now: now) + skewMs))
    }
}
