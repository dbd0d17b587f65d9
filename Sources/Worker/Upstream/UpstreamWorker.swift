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

        package init() {}
    }

    fileprivate enum Signal: Sendable {
        case reply(Lease, UpstreamReply)
        case stop
        case tick
    }

    /// The worker's ears and its figures, made before it.
    package struct Inbox: Sendable {
        fileprivate let signals = SignalInbox<Signal>()
        fileprivate let shared = SharedFigures()

        package init() {}

        /// The first call drains; the second cancels what is under way.
        package func stop() { signals.post(.stop) }
        package var figures: UpstreamWorkFigures { shared.value.withLock { $0 } }
    }

    private let settings: Settings
    private let queue: any JobQueue
    private let upstream: Upstream
    private let choose: UpstreamRouting
    private let clock: WorkClock
    private let log: Logger
    private let inbox: SignalInbox<Signal>
    private let shared: SharedFigures

    private var desk = UpstreamDesk()
    private var figures = UpstreamWorkFigures()
    private var stopLevel = 0
    private var drainUntil: Timestamp?
    private var renewAt = Timestamp(milliseconds: 0)
    private var fetchAt = Timestamp(milliseconds: 0)
    private var alarm: (at: Int64, task: Task<Void, any Error>)?
    private var foundNothing = false

    private static let pageRequests = 512

    package init(
        _ settings: Settings = Settings(), inbox: Inbox, queue: any JobQueue, upstream: Upstream,
        choose: @escaping UpstreamRouting, clock: WorkClock = .system, log: Logger
    ) {
        self.settings = settings
        self.inbox = inbox.signals
        shared = inbox.shared
        self.queue = queue
        self.upstream = upstream
        self.choose = choose
        self.clock = clock
        self.log = log
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
                if let end = try await end(goal) { return end }
            }
        } catch {
            for pending in desk.removeAll() { cancel(pending) }
            throw error
        }
        return .stopped
    }

    private func takeTurn(_ signals: [Signal]) async throws {
        var settlements: [Settlement] = []
        for signal in signals {
            switch signal {
            case .reply(let lease, let reply): try await take(reply, of: lease, &settlements)
            case .stop: try await noteStop()
            case .tick: break
            }
        }
        try await settle(settlements)
        try await renewIfDue()
        try await cancelIfDue()
        if stopLevel == 0 { try await fetch() }
        try await dispatch()
    }

    private func end(_ goal: NativeWorker.Goal) async throws -> NativeWorker.End? {
        guard desk.isEmpty else { return nil }
        if stopLevel > 0 { return .stopped }
        guard case .batch(let id) = goal, foundNothing else { return nil }
        if try await queue.status(id).state.isTerminal { return .reachedGoal }
        guard settings.retryParkedMs == nil, let park = desk.parks(at: clock.now().milliseconds).first else { return nil }
        let open = try await openModels()
        let left = try await queue.overview(at: clock.now()).depths
        guard left.allSatisfy({ $0.queued == 0 || !(open?.contains($0.model) ?? true) }) else { return nil }
        throw UpstreamParked(error: park)
    }

    // MARK: Taking work

    private func fetch() async throws {
        let now = clock.now()
        guard now >= fetchAt else { return }
        let room = min(settings.maxHeld - desk.count, desk.room(at: now.milliseconds), Self.pageRequests)
        foundNothing = false
        guard room > 0 else { return foundNothing = desk.isEmpty }
        let models = try await openModels()
        if let models, models.isEmpty { return foundNothing = true }
        let leased = try await queue.lease(
            LeaseClaim(worker: settings.name, maxRequests: room, models: models, durationMs: settings.leaseMs), at: now)
        Failpoint.pass("upstream.leased")
        var refused: [Settlement] = []
        var unwanted: [Lease] = []
        for request in leased {
            if request.crashes > 0 { figures.inherited += 1 }
            do throws(OutcomeError) {
                let choice = try choose(request).get()
                let body = try UpstreamBody(
                    request.request, dialect: choice.target.dialect, model: choice.model,
                    serviceTier: choice.target.serviceTier, mapsCompletions: choice.target.mapsCompletions)
                let isTaken = desk.take(request, choice, body, at: now)
                if !isTaken { unwanted.append(request.lease) }
            } catch {
                figures.refused += 1
                refused.append(Settlement(lease: request.lease, outcome: .failure(error)))
            }
        }
        try await settle(refused)
        foundNothing = leased.count == unwanted.count
        // There may be more, and room for it.
        if !foundNothing { inbox.post(.tick) }
        guard !unwanted.isEmpty else { return }
        // Its route is parked or full, which was not known by its model's name.
        _ = try await queue.release(unwanted, reason: .handedBack, at: clock.now())
        if unwanted.count == leased.count { fetchAt = now + settings.tickMs * 8 }
    }

    /// Models whose requests have a way to go; nil: all, as far as is known.
    private func openModels() async throws -> [String]? {
        let now = clock.now()
        let closed = desk.closedModels(at: now.milliseconds)
        guard !closed.isEmpty else { return nil }
        let known = try await queue.overview(at: now).depths.map(\.model)
        return Array(Set(known).subtracting(closed))
    }

    // MARK: Sending

    private func dispatch() async throws {
        let now = clock.now()
        var late: [Lease] = []
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
                case .waitForAnswer, .nothing: break sending
                }
            }
        }
        if let wakeAt { wake(at: wakeAt, from: now) }
        guard !late.isEmpty else { return }
        _ = try await queue.release(late, reason: .handedBack, at: now)
    }

    private func send(_ key: RequestKey, _ lane: UpstreamDesk.LaneName, at now: Timestamp) {
        guard let pending = desk.send(key, lane, at: now) else { return }
        let target = pending.choice.target
        var request = UpstreamRequest(
            baseURL: target.baseURL, path: pending.body.path, body: pending.body.bytes, key: target.key)
        request.timeouts = target.timeouts
        request.maxReplyBytes = target.maxReplyBytes
        let lease = pending.leased.lease
        figures.sent += 1
        desk.note(upstream.send(request) { [inbox] in inbox.post(.reply(lease, $0)) }, of: key)
        Failpoint.pass("upstream.sent")
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

    // MARK: What comes back

    private func take(_ reply: UpstreamReply, of lease: Lease, _ settlements: inout [Settlement]) async throws {
        Failpoint.pass("upstream.replied")
        // An answer of a lease that was lost and is ours again is the old one's.
        guard let pending = desk.pending(lease), pending.ticket != nil else { return }
        figures.cutOff += max(0, reply.sends - 1) + (reply.failure != nil && reply.mayHaveRun ? 1 : 0)
        let now = clock.now()
        let verdict = UpstreamVerdict(
            reply, backend: pending.choice.target.name, model: pending.model, isMapped: pending.body.isMapped)
        desk.account(verdict, reply, of: pending, at: now, random: .random(in: 0..<1))
        switch verdict {
        case .answered(let answer):
            desk.remove(lease.key)
            figures.answered += 1
            figures.usage += answer.usage
            settlements.append(Settlement(lease: lease, outcome: pending.outcome(answer, reply)))
        case .refused(let error):
            desk.remove(lease.key)
            figures.refused += 1
            settlements.append(
                Settlement(lease: lease, outcome: Outcome(result: .error(error), backend: pending.choice.target.name)))
        case .later(let error, let afterMs):
            figures.limited += 1
            if stopLevel == 0, pending.turnedAway < settings.maxTurnedAway { return desk.putBack(lease.key) }
            desk.remove(lease.key)
            let reason: ReleaseReason =
                stopLevel > 0 ? .handedBack : .failed(error, retryAfterMs: afterMs ?? retryMs(lease))
            _ = try await queue.release([lease], reason: reason, at: now)
        case .broken(let error, let afterMs):
            desk.remove(lease.key)
            figures.broken += 1
            log.debug("an attempt failed: \(error.message)", metadata: lease.metadata)
            _ = try await queue.release(
                [lease], reason: .failed(error, retryAfterMs: afterMs ?? retryMs(lease)), at: now)
            Failpoint.pass("upstream.released")
        case .parked(let error, let scope):
            try await park(pending, error, scope, at: now)
        }
    }

    /// Doubling with every attempt, and scattered, so that what failed together does not come back together.
    private func retryMs(_ lease: Lease) -> Int64 {
        let step = Double(settings.retryFirstMs) * Double(UInt64(1) << UInt64(min(lease.attempt - 1, 30)))
        return max(1, Int64(min(step, Double(settings.retryMostMs)) * .random(in: 0.5...1)))
    }

    private func park(
        _ pending: UpstreamDesk.Pending, _ error: OutcomeError, _ scope: UpstreamVerdict.ParkScope, at now: Timestamp
    ) async throws {
        let until = settings.retryParkedMs.map { (now + $0).milliseconds } ?? .max
        let (isNew, waiting) = desk.park(pending, error, scope, until: until)
        if isNew {
            let what = scope == .route ? pending.choice.target.name : "\(pending.choice.target.name)/\(pending.model)"
            log.error("\(what) is parked, its requests stay queued: \(error.code): \(error.message)")
        }
        desk.remove(pending.leased.lease.key)
        _ = try await queue.release(waiting + [pending.leased.lease], reason: .handedBack, at: now)
    }

    private func settle(_ settlements: [Settlement]) async throws {
        guard !settlements.isEmpty else { return }
        Failpoint.pass("upstream.settling")
        let results = try await queue.settle(settlements, at: clock.now())
        Failpoint.pass("upstream.settled")
        for (settlement, result) in zip(settlements, results) where result == .lost {
            log.info("lease lost before its outcome was settled", metadata: settlement.lease.metadata)
        }
    }

    private func renewIfDue() async throws {
        let time = clock.now()
        guard time >= renewAt else { return }
        renewAt = time + settings.leaseMs / 3
        let leases = desk.leases
        guard !leases.isEmpty else { return }
        let results = try await queue.renew(leases, durationMs: settings.leaseMs, at: time)
        for (lease, result) in zip(leases, results) where result == .lost {
            log.info("lease lost (cancelled or taken over)", metadata: lease.metadata)
            if let pending = desk.remove(lease.key) { cancel(pending) }
        }
    }

    private func cancel(_ pending: UpstreamDesk.Pending) {
        guard let transfer = pending.transfer else { return }
        desk.forgo(pending, at: clock.now())
        figures.cutOff += 1
        upstream.cancel(transfer)
    }

    // MARK: Stopping

    private func noteStop() async throws {
        stopLevel += 1
        guard stopLevel == 1 else { return }
        drainUntil = clock.now() + settings.drainMs
        let waiting = desk.laneNames.flatMap { desk.giveUpWaiting($0, until: nil) }
        guard !waiting.isEmpty else { return }
        _ = try await queue.release(waiting, reason: .handedBack, at: clock.now())
    }

    private func cancelIfDue() async throws {
        guard let drainUntil, !desk.isEmpty, stopLevel > 1 || clock.now() >= drainUntil else { return }
        let all = desk.removeAll()
        for pending in all { cancel(pending) }
        _ = try await queue.release(all.map(\.leased.lease), reason: .handedBack, at: clock.now())
    }
}

fileprivate final class SharedFigures: Sendable {
    let value = Mutex(UpstreamWorkFigures())
}

/// Of a batch only requests are left that have no way to go until somebody changes something.
package struct UpstreamParked: Error, CustomStringConvertible {
    package let error: OutcomeError
    package var description: String {
        "\(error.message) (\(error.code)); what is left stays queued: mend it and run again"
    }
}
