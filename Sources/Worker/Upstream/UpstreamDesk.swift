import JobQueue
import Scheduler

/// What an upstream worker holds: leased requests and the lanes they wait in. Pure: told the time, it decides; the
/// worker carries out.
struct UpstreamDesk {
    /// Requests of one lane share a budget.
    struct LaneName: Hashable { var text: String }

    /// A leased request.
    struct Pending {
        var leased: LeasedRequest
        var choice: UpstreamChoice
        var body: UpstreamBody
        /// What is set aside for it.
        var grant: SpendBook.Grant?
        var leasedAt: Timestamp
        /// While it is under way.
        var ticket: RateBudget.Ticket?
        var transfer: TransferID?
        var sentAt: Timestamp?
        /// How often the upstream's limits turned it away.
        var turnedAway = 0

        init(
            _ leased: LeasedRequest, _ choice: UpstreamChoice, _ body: UpstreamBody, grant: SpendBook.Grant? = nil,
            at now: Timestamp
        ) {
            self.leased = leased
            self.choice = choice
            self.body = body
            self.grant = grant
            leasedAt = now
        }

        var lease: Lease { leased.lease }
        /// The upstream's name for it.
        var model: String { choice.model ?? leased.request.model }
        var lane: LaneName { LaneName(text: choice.limitGroup ?? "\(choice.target.name)/\(model)") }

        func outcome(_ answer: UpstreamAnswer, _ reply: UpstreamReply) -> Outcome {
            let waitedMs = (sentAt.map { $0 - leasedAt } ?? 0) + reply.timings.sentMs
            return Outcome(
                result: .response(statusCode: 200, body: answer.body), usage: answer.usage,
                backend: choice.target.name,
                timings: answer.timings(waitedMs: waitedMs, transfer: reply.timings))
        }
    }

    /// Whether there is a store where senders take their parts of limits from.
    let sharesLimits: Bool
    private var held: [RequestKey: Pending] = [:]
    private var lanes: [LaneName: UpstreamLane] = [:]
    /// Lanes that requests of a model were put in; the queue is asked by model.
    private var lanesOfModel: [String: Set<LaneName>] = [:]
    /// Models that nothing is leased of until then: what was leased had to be handed back.
    private var closedUntil: [String: Int64] = [:]

    /// Room for lanes that are not known yet.
    private static let unknownRoom = 32
    private static let maxNames = 10_000

    init(sharesLimits: Bool = false) { self.sharesLimits = sharesLimits }

    var isEmpty: Bool { held.isEmpty }
    var count: Int { held.count }
    var all: [Pending] { Array(held.values) }
    var underWay: Int { held.values.count { $0.ticket != nil } }
    var models: [String] { lanesOfModel.keys.sorted() }
    var targets: Set<UpstreamTarget.ID> { Set(lanes.values.map(\.target)) }
    var laneNames: [LaneName] { Array(lanes.keys) }

    func pending(_ lease: Lease) -> Pending? {
        guard let found = held[lease.key], found.lease == lease else { return nil }
        return found
    }

    // MARK: Taking

    /// Requests that should be leased now.
    func room(at now: Int64) -> Int {
        let open = lanes.values.filter { !$0.isParked(at: now) }
        let room = open.reduce(0) { $0 + max(0, $1.ahead(at: now) - $1.waitingCount) }
        // Without any lane, or only parked ones, other models may have a way.
        return open.isEmpty ? Self.unknownRoom : room
    }

    /// Models that nothing should be leased of.
    func closedModels(at now: Int64) -> Set<String> {
        let full = lanesOfModel.filter { _, names in
            names.allSatisfy { name in
                guard let lane = lanes[name] else { return false }
                return !lane.isParked(at: now) && lane.waitingCount >= lane.ahead(at: now)
            }
        }
        return Set(full.keys).union(closedUntil.filter { now < $0.value }.keys)
    }

    mutating func close(_ model: String, until: Int64) {
        if closedUntil.count >= Self.maxNames { closedUntil = [:] }
        closedUntil[model] = max(until, closedUntil[model] ?? .min)
    }

    mutating func take(_ pending: Pending) {
        let name = pending.lane
        if lanes[name] != nil {
            lanes[name]?.change(pending.choice.target.limits)
        } else {
            if lanes.count >= Self.maxNames {
                lanes = lanes.filter { $0.value.waitingCount + $0.value.budget.inFlight > 0 }
            }
            let target = pending.choice.target
            lanes[name] = UpstreamLane(target: target.id, limits: target.limits, isShared: sharesLimits)
        }
        if lanesOfModel.count >= Self.maxNames { lanesOfModel = [:] }
        lanesOfModel[pending.leased.request.model, default: []].insert(name)
        held[pending.lease.key] = pending
        lanes[name]?.append(pending.lease.key, cost: pending.body.estimatedTokens)
    }

    /// Routes, limits or keys are others now: what waits is taken out, to be decided anew, and nothing is parked.
    mutating func reopen() -> [Pending] {
        closedUntil = [:]
        return laneNames.flatMap { name in
            lanes[name]?.unpark()
            return giveUpWaiting(name, until: nil)
        }
    }

    /// Parts of shared limits that were taken and not used.
    mutating func emptyShares() -> [(name: LaneName, limits: RateLimits, report: SharedBudget.Report)] {
        laneNames.compactMap { name in
            guard let limits = lanes[name]?.limits, let report = lanes[name]?.emptyShare() else { return nil }
            return (name, limits, report)
        }
    }

    /// Targets that take nothing of a model now, and why.
    func parked(model: String, at now: Int64) -> [UpstreamTarget.ID: String] {
        var found: [UpstreamTarget.ID: String] = [:]
        for (name, lane) in lanes {
            guard lane.isParked(at: now), let park = lane.park else { continue }
            guard park.scope == .route || lanesOfModel[model]?.contains(name) ?? false else { continue }
            found[lane.target] = park.error.message
        }
        return found
    }

    // MARK: Sending

    func limits(_ name: LaneName) -> RateLimits? { lanes[name]?.limits }

    mutating func take(
        _ answer: SharedBudget.Answer, for exchange: BudgetShare.Exchange, _ name: LaneName, at now: Int64
    ) { lanes[name]?.take(answer, for: exchange, at: now) }

    mutating func next(_ name: LaneName, at now: Int64) -> UpstreamLane.Next { lanes[name]?.next(at: now) ?? .nothing }

    mutating func send(_ key: RequestKey, _ name: LaneName, at now: Timestamp) -> Pending? {
        guard let ticket = lanes[name]?.send(at: now.milliseconds) else { return nil }
        held[key]?.ticket = ticket
        held[key]?.sentAt = now
        return held[key]
    }

    mutating func note(_ transfer: TransferID, of key: RequestKey) { held[key]?.transfer = transfer }

    /// Takes out what waits in a lane; for a while nothing more of its models is leased.
    mutating func giveUpWaiting(_ name: LaneName, until: Int64?) -> [Pending] {
        if let until {
            for (model, names) in lanesOfModel where names.contains(name) { close(model, until: until) }
        }
        return (lanes[name]?.removeAll() ?? []).compactMap { held.removeValue(forKey: $0) }
    }

    // MARK: What came back

    /// Tells the lane's budget what the upstream thinks.
    /// - Returns: what the organisation's other senders should know.
    mutating func account(
        _ verdict: UpstreamVerdict, _ reply: UpstreamReply, of pending: Pending, at now: Timestamp, random: Double
    ) -> SharedBudget.Refusal? {
        guard let ticket = pending.ticket, var lane = lanes[pending.lane] else { return nil }
        let ms = now.milliseconds
        var refusal: SharedBudget.Refusal?
        switch verdict {
        case .answered(let answer):
            let actual = answer.usage.totalTokens
            lane.finished(ticket, actual: actual > 0 ? actual : nil, report: reply.limits, at: ms)
        case .later where reply.status == 429:
            refusal = lane.refused(ticket, report: reply.limits, at: ms, random: random)
        case .later where reply.failure?.cause == .cancelled:
            lane.budget.ended(ticket, report: reply.limits, at: ms)
        case .later, .broken:
            lane.budget.overloaded(ticket, report: reply.limits, at: ms, random: random)
        case .refused, .parked:
            lane.budget.ended(ticket, report: reply.limits, at: ms)
        }
        lane.forget(ticket)
        if case .parked = verdict {} else { lane.endProbe() }
        lanes[pending.lane] = lane
        held[pending.lease.key]?.ticket = nil
        held[pending.lease.key]?.transfer = nil
        return refusal
    }

    /// One that is cancelled while under way.
    mutating func forgo(_ pending: Pending, at now: Timestamp) {
        guard let ticket = pending.ticket else { return }
        lanes[pending.lane]?.budget.ended(ticket, at: now.milliseconds)
        lanes[pending.lane]?.forget(ticket)
    }

    /// Turned away: it waits again, before those that never went.
    mutating func putBack(_ key: RequestKey) {
        guard var pending = held[key] else { return }
        pending.turnedAway += 1
        held[key] = pending
        lanes[pending.lane]?.putBack(key, cost: pending.body.estimatedTokens)
    }

    @discardableResult
    mutating func remove(_ key: RequestKey) -> Pending? {
        guard let pending = held.removeValue(forKey: key) else { return nil }
        if pending.ticket == nil { lanes[pending.lane]?.remove(key) }
        return pending
    }

    mutating func removeAll() -> [Pending] {
        for name in lanes.keys { _ = lanes[name]?.removeAll() }
        defer { held = [:] }
        return Array(held.values)
    }

    // MARK: Parking

    /// - Returns: whether that is news, and what waited there.
    mutating func park(
        _ pending: Pending, _ error: OutcomeError, _ scope: UpstreamVerdict.ParkScope, until: Int64
    ) -> (isNew: Bool, waiting: [Pending]) {
        var isNew = false
        var waiting: [Pending] = []
        for name in laneNames where name == pending.lane || scope == .route {
            guard lanes[name]?.target == pending.choice.target.id else { continue }
            let isNews = lanes[name]?.parkIt(error, scope, until: until) ?? false
            if name == pending.lane { isNew = isNews }
            waiting += giveUpWaiting(name, until: nil)
        }
        return (isNew, waiting)
    }

    /// Part of the day's limits that is left, by the target's name; 0 where one is parked.
    mutating func budgetLeft(at now: Int64) -> [String: Double] {
        var found: [String: Double] = [:]
        for name in laneNames {
            guard let target = lanes[name]?.target.name else { continue }
            let isParked = lanes[name]?.isParked(at: now) ?? false
            guard let left = isParked ? 0 : lanes[name]?.budget.dayLeft(at: now) else { continue }
            found[target] = min(left, found[target] ?? 1)
        }
        return found
    }

    /// Requests of each batch.
    var countsOfBatches: [BatchID: Int] {
        held.keys.reduce(into: [:]) { $0[$1.batch, default: 0] += 1 }
    }

    /// Why lanes are parked.
    func parks(at now: Int64) -> [OutcomeError] {
        lanes.values.filter { $0.isParked(at: now) }.compactMap { $0.park?.error }
    }
}
