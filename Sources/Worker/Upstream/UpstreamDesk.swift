import JobQueue
import Scheduler

/// What an upstream worker holds: leased requests and the lanes they wait in. Pure: told the time, it decides; the worker
/// carries out.
struct UpstreamDesk {
    /// Requests of one lane share a budget.
    struct LaneName: Hashable { var text: String }

    /// A leased request.
    struct Pending {
        var leased: LeasedRequest
        var choice: UpstreamChoice
        var body: UpstreamBody
        var lane: LaneName
        /// The upstream's name for it.
        var model: String
        var leasedAt: Timestamp
        /// While it is under way.
        var ticket: RateBudget.Ticket?
        var transfer: TransferID?
        var sentAt: Timestamp?
        /// How often the upstream's limits turned it away.
        var turnedAway = 0

        func outcome(_ answer: UpstreamAnswer, _ reply: UpstreamReply) -> Outcome {
            let waitedMs = (sentAt.map { $0 - leasedAt } ?? 0) + reply.timings.sentMs
            return Outcome(
                result: .response(statusCode: 200, body: answer.body), usage: answer.usage,
                backend: choice.target.name,
                timings: answer.timings(waitedMs: waitedMs, transfer: reply.timings))
        }
    }

    private var held: [RequestKey: Pending] = [:]
    private var lanes: [LaneName: UpstreamLane] = [:]
    /// In which lane requests of a model were put; the queue is asked by model.
    private var laneOfModel: [String: LaneName] = [:]
    /// Lanes that nothing is taken for until then: what waited was handed back.
    private var closedUntil: [LaneName: Int64] = [:]

    /// Room for lanes that are not known yet.
    private static let unknownRoom = 32
    private static let maxLanes = 10_000

    var isEmpty: Bool { held.isEmpty }
    var count: Int { held.count }
    var leases: [Lease] { held.values.map(\.leased.lease) }
    var laneNames: [LaneName] { Array(lanes.keys) }

    func pending(_ lease: Lease) -> Pending? {
        guard let found = held[lease.key], found.leased.lease == lease else { return nil }
        return found
    }

    // MARK: Taking

    /// Requests that should be leased now.
    func room(at now: Int64) -> Int {
        if lanes.isEmpty { return Self.unknownRoom }
        let open = lanes.filter { !isClosed($0.key, at: now) }
        if open.isEmpty { return Self.unknownRoom }
        return open.values.reduce(0) { $0 + max(0, $1.ahead(at: now) - $1.waitingCount) }
    }

    /// Models that nothing should be leased of.
    func closedModels(at now: Int64) -> Set<String> {
        Set(laneOfModel.filter { isClosed($0.value, at: now) || isFull($0.value, at: now) }.keys)
    }

    private func isClosed(_ name: LaneName, at now: Int64) -> Bool {
        if let until = closedUntil[name], now < until { return true }
        return lanes[name]?.isParked(at: now) ?? false
    }

    private func isFull(_ name: LaneName, at now: Int64) -> Bool {
        guard let lane = lanes[name] else { return false }
        return lane.waitingCount >= lane.ahead(at: now)
    }

    /// - Returns: false when its lane is closed, and it must be handed back.
    mutating func take(
        _ leased: LeasedRequest, _ choice: UpstreamChoice, _ body: UpstreamBody, at now: Timestamp
    ) -> Bool {
        let model = choice.model ?? leased.request.model
        let name = LaneName(text: choice.limitGroup ?? "\(choice.target.name)/\(model)")
        if lanes[name] == nil {
            if lanes.count >= Self.maxLanes { lanes = lanes.filter { $0.value.waitingCount + $0.value.budget.inFlight > 0 } }
            lanes[name] = UpstreamLane(target: choice.target.name, limits: choice.target.limits)
        }
        if laneOfModel.count < Self.maxLanes { laneOfModel[leased.request.model] = name }
        guard !isClosed(name, at: now.milliseconds) else { return false }
        closedUntil[name] = nil
        held[leased.lease.key] = Pending(
            leased: leased, choice: choice, body: body, lane: name, model: model, leasedAt: now)
        lanes[name]?.append(leased.lease.key, cost: body.estimatedTokens)
        return true
    }

    // MARK: Sending

    mutating func next(_ name: LaneName, at now: Int64) -> UpstreamLane.Next { lanes[name]?.next(at: now) ?? .nothing }

    mutating func send(_ key: RequestKey, _ name: LaneName, at now: Timestamp) -> Pending? {
        guard let ticket = lanes[name]?.send(at: now.milliseconds) else { return nil }
        held[key]?.ticket = ticket
        held[key]?.sentAt = now
        return held[key]
    }

    mutating func note(_ transfer: TransferID, of key: RequestKey) { held[key]?.transfer = transfer }

    /// Gives back what waits in a lane, and takes nothing more for it until then.
    mutating func giveUpWaiting(_ name: LaneName, until: Int64?) -> [Lease] {
        if let until { closedUntil[name] = until }
        return (lanes[name]?.removeAll() ?? []).compactMap { held.removeValue(forKey: $0)?.leased.lease }
    }

    // MARK: What came back

    /// Tells the lane's budget what the upstream thinks.
    mutating func account(
        _ verdict: UpstreamVerdict, _ reply: UpstreamReply, of pending: Pending, at now: Timestamp, random: Double
    ) {
        guard let ticket = pending.ticket, var lane = lanes[pending.lane] else { return }
        let ms = now.milliseconds
        switch verdict {
        case .answered(let answer):
            let actual = answer.usage.totalTokens
            lane.budget.finished(ticket, actual: actual > 0 ? actual : nil, report: reply.limits, at: ms)
        case .later where reply.status == 429:
            lane.budget.refused(ticket, report: reply.limits, at: ms, random: random)
        case .later where reply.failure?.cause == .cancelled:
            lane.budget.ended(ticket, report: reply.limits, at: ms)
        case .later, .broken:
            lane.budget.overloaded(ticket, report: reply.limits, at: ms, random: random)
        case .refused, .parked:
            lane.budget.ended(ticket, report: reply.limits, at: ms)
        }
        if case .parked = verdict {} else { lane.endProbe() }
        lanes[pending.lane] = lane
        held[pending.leased.lease.key]?.ticket = nil
        held[pending.leased.lease.key]?.transfer = nil
    }

    /// One that is cancelled while under way.
    mutating func forgo(_ pending: Pending, at now: Timestamp) {
        guard let ticket = pending.ticket else { return }
        lanes[pending.lane]?.budget.ended(ticket, at: now.milliseconds)
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
    ) -> (isNew: Bool, waiting: [Lease]) {
        var isNew = false
        var waiting: [Lease] = []
        for name in laneNames where name == pending.lane || scope == .route {
            guard lanes[name]?.target == pending.choice.target.name else { continue }
            let isNews = lanes[name]?.parkIt(error, until: until) ?? false
            if name == pending.lane { isNew = isNews }
            waiting += giveUpWaiting(name, until: nil)
        }
        return (isNew, waiting)
    }

    /// Why lanes are parked.
    func parks(at now: Int64) -> [OutcomeError] {
        lanes.values.filter { $0.isParked(at: now) }.compactMap { $0.park?.error }
    }
}
