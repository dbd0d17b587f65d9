import Foundation
import JobQueue
import Logging
import Scheduler

/// Forwards requests through upstreams' batch APIs: many in one file, cheaper, and some time within a day or more.
///
/// Requests are leased for an hour at a time. A record beside the queue says which went into which batch; it is written
/// before the batch is created, whose metadata carry the record's token, so that whoever takes over finds it. Only one
/// that cannot be found is given up, and its requests go back.
package actor UpstreamBatchWorker {
    package struct Settings: Sendable {
        package var name = "forwarder"
        package var leaseMs: Int64 = 3_600_000
        /// How often batches under way are looked at.
        package var pollMs: Int64 = 30_000
        /// After this long without a sign of life another forwarder takes its batches on.
        package var keepMs: Int64 = 120_000
        /// Requests and bytes of one file.
        package var maxLines = 5000
        package var maxFileBytes = 50 << 20
        /// Batches under way at once.
        package var maxOpen = 50

        package init() {}
    }

    let settings: Settings
    let queue: any JobQueue
    let upstream: Upstream
    let routing: any UpstreamRouting
    let spending: UpstreamSpending?
    let book: UpstreamBatchBook
    let clock: WorkClock
    let log: Logger
    /// Of records that this process wrote: their grants.
    var grants: [String: [SpendBook.Grant?]] = [:]
    /// Nothing is created at a target before.
    private var waitUntil: [String: Int64] = [:]
    private static let refusedWaitMs: Int64 = 60_000

    package init(
        _ settings: Settings, queue: any JobQueue, records: any RecordStore, upstream: Upstream,
        routing: any UpstreamRouting, spending: UpstreamSpending? = nil, clock: WorkClock = .system, log: Logger
    ) {
        self.settings = settings
        self.queue = queue
        self.upstream = upstream
        self.routing = routing
        self.spending = spending
        self.clock = clock
        self.log = log
        book = UpstreamBatchBook(records: records, keeper: settings.name, keepMs: settings.keepMs)
    }

    /// Works until its task is cancelled; what is under way at upstreams then waits for the next forwarder.
    package func run() async throws(JobQueueError) {
        while !Task.isCancelled {
            do throws(JobQueueError) {
                try await takeTurn()
            } catch {
                if Task.isCancelled { break }
                guard case .unavailable(let why) = error else { throw error }
                log.warning("the queue does not answer; trying again: \(why)")
            }
            do { try await clock.sleep(settings.pollMs) } catch { break }
        }
        // Whoever comes next need not wait. A task of its own, since this one is cancelled.
        let book = book
        try? await Task { try await book.letGo() }.value
    }

    private func takeTurn() async throws(JobQueueError) {
        let kept = try await book.keep(at: clock.now())
        for record in kept { try await advance(record) }
        guard kept.count < settings.maxOpen else { return }
        try await begin()
    }

    // MARK: Beginning

    private struct Item {
        var leased: LeasedRequest
        var choice: UpstreamChoice
        var body: UpstreamBody
        var grant: SpendBook.Grant?

        var model: String { choice.model ?? leased.request.model }
        /// What one file can hold together.
        var group: String { "\(choice.target.id)\u{0}\(body.path)\u{0}\(model)" }
    }

    private func begin() async throws(JobQueueError) {
        let now = clock.now()
        let models = try await wantedModels(at: now)
        if models.isEmpty { return }
        let leased = try await queue.lease(
            LeaseClaim(
                worker: settings.name, maxRequests: settings.maxLines, models: models.sorted(),
                // Until they are on record; if this process dies before, they are soon others'.
                durationMs: settings.keepMs), at: now)
        if leased.isEmpty { return }
        var items: [Item] = []
        var unwanted: [Lease] = []
        var refused: [Settlement] = []
        for request in leased {
            switch try await routing.decide(request, parked: [:]) {
            case .wait: unwanted.append(request.lease)
            case .refuse(let error): refused.append(Settlement(lease: request.lease, outcome: .failure(error)))
            case .send(let choice):
                if waitUntil[choice.target.name] ?? .min > now.milliseconds {
                    unwanted.append(request.lease)
                    continue
                }
                do throws(OutcomeError) {
                    let body = try UpstreamBody(
                        request.request, dialect: choice.target.dialect, model: choice.model,
                        mapsCompletions: choice.target.mapsCompletions)
                    items.append(Item(leased: request, choice: choice, body: body))
                } catch {
                    let outcome = Outcome(result: .error(error), backend: choice.target.name)
                    refused.append(Settlement(lease: request.lease, outcome: outcome))
                }
            }
        }
        let unpaid = try await reserve(&items, at: now)
        if !refused.isEmpty { _ = try await queue.settle(refused, at: now) }
        if !(unwanted + unpaid).isEmpty {
            _ = try await queue.release(unwanted + unpaid, reason: .handedBack, at: now)
        }
        for group in Dictionary(grouping: items, by: \.group).values { try await create(group) }
    }

    private func wantedModels(at now: Timestamp) async throws(JobQueueError) -> Set<String> {
        let overview = try await queue.overview(at: now)
        if overview.depths.allSatisfy({ $0.queued == 0 }) { return [] }
        return routing.models(of: overview) ?? Set(overview.depths.map(\.model))
    }

    /// Sets aside what requests can cost; a batch that may spend no more is paused.
    private func reserve(_ items: inout [Item], at now: Timestamp) async throws(JobQueueError) -> [Lease] {
        guard let spending, !items.isEmpty else { return [] }
        let claims = items.map { item in
            SpendBook.Claim(
                batch: item.leased.lease.key.batch, tenant: item.leased.tenant,
                most: spending.most(item.body, item.choice, model: item.model))
        }
        let verdicts = try await spending.book.reserve(claims, durationMs: settings.leaseMs, at: now)
        var granted: [Item] = []
        var unpaid: [Lease] = []
        for (var item, verdict) in zip(items, verdicts) {
            switch verdict {
            case .granted(let grant):
                item.grant = grant
                granted.append(item)
            case .refused(let reached):
                unpaid.append(item.leased.lease)
                try await queue.pause(item.leased.lease.key.batch, reason: reached.description, at: now)
            }
        }
        items = granted
        return unpaid
    }

    private func create(_ items: [Item]) async throws(JobQueueError) {
        guard let first = items.first else { return }
        var lines: [UInt8] = []
        var taken: [Item] = []
        for item in items {
            let line = UpstreamBatchFile.line(taken.count, item.body)
            if !taken.isEmpty, lines.count + line.count > settings.maxFileBytes { break }
            lines += line
            taken.append(item)
        }
        let rest = items.dropFirst(taken.count)
        if !rest.isEmpty {
            try await settleSpending(rest.map(\.grant).map { ($0, Spending()) })
            _ = try await queue.release(rest.map(\.leased.lease), reason: .handedBack, at: clock.now())
        }
        let target = first.choice.target
        let record = UpstreamBatchRecord(
            token: UUID().uuidString.lowercased(), target: target.name, owner: target.owner, model: first.model,
            entries: taken.map { item in
                let key = item.leased.lease.key
                return .init(
                    batch: key.batch.value, ordinal: key.ordinal, attempt: item.leased.lease.attempt,
                    isMapped: item.body.isMapped)
            }, keeper: settings.name, keptUntil: (clock.now() + settings.keepMs).milliseconds)
        try await book.write(record)
        _ = try await queue.renew(record.entries.map(\.lease), durationMs: settings.leaseMs, at: clock.now())
        grants[record.token] = taken.map(\.grant)
        Failpoint.hit("batch.written")
        let client = UpstreamBatchClient(upstream: upstream, target: target)
        do {
            let file = try await client.upload(lines)
            Failpoint.hit("batch.uploaded")
            let id = try await client.create(
                file, endpoint: "/v1\(first.body.path)", window: target.batchWindow, token: record.token)
            Failpoint.hit("batch.created")
            var known = record
            known.id = id
            try await book.write(known)
            log.info("\(taken.count) requests go to \(target.name) as its batch \(id)")
        } catch let error as UpstreamBatchClient.Refusal {
            waitUntil[target.name] = (clock.now() + Self.refusedWaitMs).milliseconds
            log.warning("no batch was created: \(error)")
            guard error.isFinal else {
                // Whether it was is looked up in the next turn.
                return
            }
            let why = OutcomeError(code: "upstream_batch_refused", message: error.description, statusCode: 502)
            try await giveBack(record, .failed(why, retryAfterMs: Self.refusedWaitMs))
        } catch let error as JobQueueError {
            throw error
        } catch {
            throw .unusableStore("\(error)")
        }
    }
}
