import JobQueue
import Logging
import Scheduler
import Synchronization

/// Leases requests, sends them to upstreams when their budgets let them, settles what comes back. What `NativeWorker`
/// is to the engine, this is to `Upstream`; everything happens in turns of one loop here, too.
package actor UpstreamWorker {
    package struct Settings: Sendable {
        package var name = "forwarder"
        package var leaseMs: Int64 = 60_000
        /// How long requests under way may go on after the first request to stop; then they are cancelled.
        package var drainMs: Int64 = 30_000
        /// How often time is noticed.
        package var tickMs: Int64 = 250
        /// Requests leased at once, waiting or under way.
        package var maxHeld = 8192
        /// Requests that must wait longer are handed back, so that others may have them.
        package var holdMs: Int64 = 30_000
        /// How often one lease's request may be turned away by limits before that counts as a failed attempt.
        package var maxTurnedAway = 20
        /// After this long one request tries whether a parked route works again; nil: never in this process.
        package var retryParkedMs: Int64? = 300_000
        /// Of a failed attempt, doubling.
        package var retryFirstMs: Int64 = 1000
        package var retryMostMs: Int64 = 60_000
        /// How often is looked whether local workers need help.
        package var spillMs: Int64 = 1000
        /// How often expired leases are taken back and this worker is reported; nil: never, somebody else does it.
        package var serviceMs: Int64?
        /// Go on when the store does not answer for a while.
        package var outlastsOutages = false

        package init() {}
    }

    enum Signal: Sendable {
        case reply(Lease, UpstreamReply)
        case stop
        case reloaded
        case tick
    }

    /// The worker's ears and its figures, made before it.
    package struct Inbox: Sendable {
        let signals = SignalInbox<Signal>()
        let shared = SharedFigures()

        package init() {}

        /// The first call drains; the second cancels what is under way.
        package func stop() { signals.post(.stop) }
        /// The routing decides otherwise from now on.
        package func reloaded() { signals.post(.reloaded) }
        package var figures: UpstreamWorkFigures { shared.value.withLock { $0 } }
    }

    let settings: Settings
    let queue: any JobQueue
    let upstream: Upstream
    let routing: any UpstreamRouting
    let spending: UpstreamSpending?
    let budgets: (any BudgetStore)?
    let clock: WorkClock
    let log: Logger
    let inbox: SignalInbox<Signal>
    private let shared: SharedFigures

    var desk: UpstreamDesk
    var figures = UpstreamWorkFigures()
    var outbox = UpstreamOutbox()
    var failures = FailureNotes()
    /// The last claim brought nothing that could be sent.
    var foundNothing = false
    var spillAt = Timestamp(milliseconds: 0)
    private var stopLevel = 0
    private var drainUntil: Timestamp?
    private var renewAt = Timestamp(milliseconds: 0)
    private var service: UpstreamService
    private var isStoreOut = false
    private var alarm: (at: Int64, task: Task<Void, any Error>)?

    var isStopping: Bool { stopLevel > 0 }

    package init(
        _ settings: Settings = Settings(), inbox: Inbox, queue: any JobQueue, upstream: Upstream,
        routing: any UpstreamRouting, spending: UpstreamSpending? = nil,
        budgets: (any BudgetStore)? = nil, clock: WorkClock = .system, log: Logger
    ) {
        self.settings = settings
        self.inbox = inbox.signals
        shared = inbox.shared
        self.queue = queue
        self.upstream = upstream
        self.routing = routing
        self.spending = spending
        self.budgets = budgets
        desk = UpstreamDesk(sharesLimits: budgets != nil)
        self.clock = clock
        self.log = log
        service = UpstreamService(
            name: settings.name, models: { routing.served }, everyMs: settings.serviceMs, at: clock.now())
    }

    /// Works until the goal is reached or `stop` has taken effect.
    /// - Throws: `JobQueueError` when the store fails; `UpstreamParked` when of a batch only requests are left whose
    ///   route is parked. They stay queued.
    package func run(_ goal: NativeWorker.Goal) async throws -> NativeWorker.End {
        let ticker = Task { [inbox, settings, clock] in
            while !Task.isCancelled {
                try await clock.sleep(settings.tickMs)
                inbox.post(.tick)
            }
        }
        defer {
            ticker.cancel()
            alarm?.task.cancel()
        }
        inbox.post(.tick)
        do {
            for await _ in inbox.bell {
                try await takeTurn(inbox.take())
                shared.value.withLock { $0 = figures }
                guard let end = try await end(goal) else { continue }
                await giveBackShares()
                // A report is forgotten anyway, later.
                try? await service.end(queue)
                return end
            }
        } catch {
            for pending in desk.removeAll() { cancel(pending) }
            throw error
        }
        return .stopped
    }

    private func takeTurn(_ signals: [Signal]) async throws {
        for signal in signals {
            switch signal {
            case .reply(let lease, let reply): take(reply, of: lease)
            case .stop: noteStop()
            case .reloaded: handBack(desk.reopen())
            case .tick: break
            }
        }
        figures.turns += 1
        cancelIfDue()
        do throws(JobQueueError) {
            try await deliver()
            try await renewIfDue()
            try await serve()
            if !isStopping {
                try await fetch()
                try await spillIfDue()
            }
            isStoreOut = false
        } catch {
            // Answers go on arriving, and wait in the outbox.
            guard settings.outlastsOutages, case .unavailable(let why) = error else { throw error }
            if !isStoreOut { log.warning("the queue does not answer; trying again: \(why)") }
            isStoreOut = true
        }
        try await dispatch()
        if !outbox.isEmpty, !isStoreOut { inbox.post(.tick) }
    }

    private func serve() async throws(JobQueueError) {
        var turn = service
        defer { service = turn }
        try await turn.runIfDue(queue, desk, figures, isDraining: isStopping, at: clock.now())
    }

    private func deliver() async throws(JobQueueError) {
        let log = log
        // An actor's state cannot be lent while it waits; nothing else runs here meanwhile.
        var parcel = outbox
        outbox = UpstreamOutbox()
        do throws(JobQueueError) {
            try await parcel.deliver(to: queue, book: spending?.book, budgets: budgets, at: clock.now()) { lease in
                log.info("lease lost before its outcome was settled", metadata: lease.metadata)
            }
        } catch {
            outbox = parcel
            throw error
        }
    }

    func spend(_ pending: UpstreamDesk.Pending, _ actual: Spending) {
        if let grant = pending.grant { outbox.spent.append((grant, actual)) }
    }

    /// Gives requests back that were not sent, or not taken on.
    func handBack(_ pendings: [UpstreamDesk.Pending]) {
        for pending in pendings { spend(pending, Spending()) }
        outbox.unsent += pendings.map(\.lease)
    }

    private func end(_ goal: NativeWorker.Goal) async throws -> NativeWorker.End? {
        // Told twice to stop, it does not wait for a store that is out: leases expire by themselves.
        if stopLevel > 1, isStoreOut { return .stopped }
        guard desk.isEmpty, outbox.isEmpty else { return nil }
        if stopLevel > 0 { return .stopped }
        guard case .batch(let id) = goal, foundNothing else { return nil }
        if try await queue.status(id).state.isTerminal { return .reachedGoal }
        let now = clock.now()
        guard settings.retryParkedMs == nil, let park = desk.parks(at: now.milliseconds).first else { return nil }
        let closed = desk.closedModels(at: now.milliseconds)
        let left = try await queue.overview(at: now).depths
        // What waits for another attempt may still have a way.
        guard left.allSatisfy({ $0.queued == 0 || closed.contains($0.model) }) else { return nil }
        throw UpstreamParked(error: park)
    }

    /// Other senders can use what was taken of limits and not sent; otherwise it is lost for a minute.
    private func giveBackShares() async {
        guard let budgets else { return }
        for share in desk.emptyShares() {
            try? await budgets.give(share.report, to: share.name.text, share.limits, at: clock.now())
        }
    }

    // MARK: Sending

    private func dispatch() async throws(JobQueueError) {
        let now = clock.now()
        var late: [UpstreamDesk.Pending] = []
        var wakeAt: Int64?
        for lane in desk.laneNames {
            sending: while true {
                switch desk.next(lane, at: now.milliseconds) {
                case .send(let key): send(key, lane, at: now)
                case .wait(let until):
                    if until - now.milliseconds > settings.holdMs || stopLevel > 0 {
                        late += desk.giveUpWaiting(lane, until: until)
                    } else {
                        wakeAt = min(wakeAt ?? until, until)
                    }
                    break sending
                case .ask(let exchange):
                    guard try await ask(exchange, lane, at: now) else {
                        wakeAt = min(wakeAt ?? .max, now.milliseconds + settings.tickMs)
                        break sending
                    }
                case .waitForAnswer, .nothing: break sending
                }
            }
        }
        if let wakeAt { wake(at: wakeAt, from: now) }
        handBack(late)
    }

    /// Takes a part of limits that senders share.
    /// - Returns: false when the store does not answer.
    private func ask(
        _ exchange: BudgetShare.Exchange, _ lane: UpstreamDesk.LaneName, at now: Timestamp
    ) async throws(JobQueueError) -> Bool {
        guard let budgets, let limits = desk.limits(lane) else { return false }
        do throws(JobQueueError) {
            let answer = try await budgets.exchange(exchange, of: lane.text, limits, at: now)
            desk.take(answer, for: exchange, lane, at: now.milliseconds)
            return true
        } catch {
            guard settings.outlastsOutages, case .unavailable = error else { throw error }
            return false
        }
    }

    private func send(_ key: RequestKey, _ lane: UpstreamDesk.LaneName, at now: Timestamp) {
        guard let pending = desk.send(key, lane, at: now) else { return }
        let target = pending.choice.target
        var request = UpstreamRequest(
            baseURL: target.baseURL, path: pending.body.path, body: pending.body.bytes, key: target.key)
        request.timeouts = target.timeouts
        request.maxReplyBytes = target.maxReplyBytes
        let lease = pending.lease
        figures.sent += 1
        desk.note(upstream.send(request) { [inbox] in inbox.post(.reply(lease, $0)) }, of: key)
        Failpoint.hit("upstream.sent")
    }

    private func wake(at time: Int64, from now: Timestamp) {
        if let alarm, alarm.at <= time, alarm.at > now.milliseconds { return }
        alarm?.task.cancel()
        let ms = max(1, time - now.milliseconds)
        alarm = (time, Task { [inbox, clock] in
            try await clock.sleep(ms)
            inbox.post(.tick)
        })
    }

    // MARK: Leases

    private func renewIfDue() async throws(JobQueueError) {
        let time = clock.now()
        guard time >= renewAt else { return }
        let pendings = desk.all
        let leases = pendings.map(\.lease)
        if leases.isEmpty { return renewAt = time + settings.leaseMs / 3 }
        let results = try await queue.renew(leases, durationMs: settings.leaseMs, at: time)
        for (lease, result) in zip(leases, results) where result == .lost {
            log.info("lease lost (cancelled or taken over)", metadata: lease.metadata)
            if let pending = desk.remove(lease.key) { cancel(pending) }
        }
        renewAt = time + settings.leaseMs / 3
        try await spending?.book.renew(pendings.compactMap(\.grant), durationMs: settings.leaseMs, at: time)
    }

    private func cancel(_ pending: UpstreamDesk.Pending) {
        guard let transfer = pending.transfer else { return spend(pending, Spending()) }
        // Who knows what it has cost.
        spend(pending, pending.grant?.claim.most ?? Spending())
        desk.forgo(pending, at: clock.now())
        figures.cutOff += 1
        upstream.cancel(transfer)
    }

    // MARK: Stopping

    private func noteStop() {
        stopLevel += 1
        guard stopLevel == 1 else { return }
        drainUntil = clock.now() + settings.drainMs
        handBack(desk.laneNames.flatMap { desk.giveUpWaiting($0, until: nil) })
    }

    private func cancelIfDue() {
        guard let drainUntil, !desk.isEmpty, stopLevel > 1 || clock.now() >= drainUntil else { return }
        let all = desk.removeAll()
        for pending in all { cancel(pending) }
        outbox.unsent += all.map(\.lease)
    }
}

final class SharedFigures: Sendable {
    let value = Mutex(UpstreamWorkFigures())
}

/// Of a batch only requests are left that have no way to go until somebody changes something.
package struct UpstreamParked: Error, CustomStringConvertible {
    package let error: OutcomeError
    package var description: String {
        "\(error.message) (\(error.code)); what is left stays queued: mend it and run again"
    }
}
