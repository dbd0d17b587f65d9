import JobQueue
import Scheduler

/// Requests that share a budget, in the order in which they are sent. Pure: told the time.
struct UpstreamLane {
    /// What to do with the first of those that wait.
    enum Next: Equatable {
        case send(RequestKey)
        /// Not before this time, or the next answer.
        case wait(until: Int64)
        case waitForAnswer
        /// Take a part of the organisation's limits from the store, then ask again.
        case ask(BudgetShare.Exchange)
        case nothing
    }

    /// Nothing goes this way until somebody has changed something.
    struct Park: Equatable {
        var error: OutcomeError
        var scope: UpstreamVerdict.ParkScope
        /// Then one request tries whether it has been.
        var until: Int64
    }

    let target: UpstreamTarget.ID
    private(set) var limits: RateLimits
    var budget: RateBudget
    /// This sender's part of limits that it shares with others; nil: they are its own.
    private var share: BudgetShare?
    private let isShared: Bool
    /// The numbers that requests under way have in what is shared, by those they have here.
    private var shared: [UInt64: (sequence: UInt64, takenAt: Int64)] = [:]
    private var waiting: [(key: RequestKey, cost: Int)] = []
    private(set) var park: Park?
    private var isProbing = false
    /// Sendings in the second that began at `secondStart`, and in the one before.
    private var thisSecond = 0
    private var lastSecond = 0
    /// Halved, so that a distance to it is a number.
    private var secondStart = Int64.min / 2

    private static let leastAhead = 8
    private static let mostAhead = 2048
    private static let secondMs: Int64 = 1000
    /// How long answers are waited for before it is asked again.
    private static let answerMs: Int64 = 5000

    init(target: UpstreamTarget.ID, limits: RateLimits, isShared: Bool) {
        self.target = target
        self.limits = limits
        self.isShared = isShared
        share = isShared ? BudgetShare(limits) : nil
        budget = RateBudget(limits, learnsHidden: !isShared)
    }

    /// The operator wrote others down. The store's record of the old ones ends with them.
    mutating func change(_ next: RateLimits) {
        guard next != limits else { return }
        limits = next
        budget.change(next)
        share = isShared ? BudgetShare(next) : nil
        shared = [:]
    }

    /// What was taken of the organisation's limits and not used.
    mutating func emptyShare() -> SharedBudget.Report? { share?.empty() }

    /// Somebody may have mended it.
    mutating func unpark() { if let error = park { park = Park(error: error.error, scope: error.scope, until: .min) } }

    var waitingCount: Int { waiting.count }

    mutating func append(_ key: RequestKey, cost: Int) { waiting.append((key, cost)) }
    /// For one that was turned away: it waited already.
    mutating func putBack(_ key: RequestKey, cost: Int) { waiting.insert((key, cost), at: 0) }
    mutating func remove(_ key: RequestKey) { waiting.removeAll { $0.key == key } }

    mutating func removeAll() -> [RequestKey] {
        defer { waiting = [] }
        return waiting.map(\.key)
    }

    /// How many should wait here: what goes out in a second, so that a worker that dies has little it never sent.
    func ahead(at now: Int64) -> Int {
        if isParked(at: now) { return 0 }
        if isProbing { return 1 }
        let rate = now - secondStart < 2 * Self.secondMs ? max(thisSecond, lastSecond) : 0
        return min(Self.mostAhead, max(Self.leastAhead, rate))
    }

    mutating func next(at now: Int64) -> Next {
        guard let first = waiting.first else { return .nothing }
        if let park, now < park.until { return .wait(until: park.until) }
        if isProbing, budget.inFlight > 0 { return .waitForAnswer }
        switch budget.admit(cost: first.cost, at: now) {
        case .now: break
        case .notBefore(let time):
            // An answer that is on its way may tell of room long before.
            let isOpen = budget.inFlight > 0 && time > budget.blockedUntil
            return .wait(until: max(isOpen ? min(time, now + Self.answerMs) : time, now + 1))
        // Nothing is in flight whose answer could be waited for: the limits leave no room, which time mends.
        case .afterAnswer: return budget.inFlight > 0 ? .waitForAnswer : .wait(until: now + Self.secondMs)
        }
        switch share?.admit(tokens: budget.counted(first.cost), at: now) ?? .now {
        case .now: return .send(first.key)
        case .notBefore(let time): return .wait(until: max(time, now + 1))
        case .ask(let exchange): return .ask(exchange)
        }
    }

    /// Takes the first off and counts it.
    mutating func send(at now: Int64) -> RateBudget.Ticket? {
        guard !waiting.isEmpty else { return nil }
        if park != nil {
            park = nil
            isProbing = true
        }
        if now - secondStart >= Self.secondMs {
            lastSecond = now - secondStart < 2 * Self.secondMs ? thisSecond : 0
            thisSecond = 0
            secondStart = now
        }
        thisSecond += 1
        let ticket = budget.sent(cost: waiting.removeFirst().cost, at: now)
        if let number = share?.send(tokens: ticket.tokens) { shared[ticket.sequence] = number }
        return ticket
    }

    mutating func take(_ answer: SharedBudget.Answer, for exchange: BudgetShare.Exchange, at now: Int64) {
        share?.take(answer, for: exchange, at: now)
    }

    mutating func finished(_ ticket: RateBudget.Ticket, actual: Int?, report: RateReport, at now: Int64) {
        let countedAt = budget.finished(ticket, actual: actual, report: report, at: now)
        if let number = shared.removeValue(forKey: ticket.sequence) {
            share?.note(tokens: ticket.tokens, takenAt: number.takenAt, countedAt: countedAt)
        }
        if let actual { share?.correct(from: ticket.tokens, to: actual) }
    }

    /// - Returns: what the organisation's other senders should know.
    mutating func refused(
        _ ticket: RateBudget.Ticket, report: RateReport, at now: Int64, random: Double
    ) -> SharedBudget.Refusal? {
        let isExplained = budget.refused(ticket, report: report, at: now, random: random)
        guard let number = shared.removeValue(forKey: ticket.sequence) else { return nil }
        share?.refuse(tokens: ticket.tokens)
        return SharedBudget.Refusal(
            sequence: number.sequence, sentAt: number.takenAt, at: now, retryAfterMs: report.retryAfterMs,
            isExplained: isExplained)
    }

    /// Came back in another way.
    mutating func forget(_ ticket: RateBudget.Ticket) { shared[ticket.sequence] = nil }

    func isParked(at now: Int64) -> Bool { park.map { now < $0.until } ?? false }

    /// - Returns: whether it was not parked before.
    mutating func parkIt(_ error: OutcomeError, _ scope: UpstreamVerdict.ParkScope, until: Int64) -> Bool {
        let isNew = park == nil && !isProbing
        park = Park(error: error, scope: scope, until: until)
        isProbing = false
        return isNew
    }

    /// An answer of any kind but a parking one came.
    mutating func endProbe() { isProbing = false }
}
