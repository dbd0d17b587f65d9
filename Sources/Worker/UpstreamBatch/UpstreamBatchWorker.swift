import Foundation
import JobQueue
import Logging
import Scheduler

/// Forwards requests through upstreams' batch APIs: many in one file, cheaper, and some time within a day or more.
///
/// Requests are leased for an hour at a time. A record beside the queue says which went into which batch, and what is
/// set aside for them; it is written before the batch is created, whose metadata carry the record's token, so that
/// whoever takes over finds it. Only one that cannot be found is given up, and its requests go back.
package actor UpstreamBatchWorker {
    package struct Settings: Sendable {
        package var name = "forwarder"
        package var leaseMs: Int64 = 3_600_000
        /// How often batches under way are looked at.
        package var pollMs: Int64 = 30_000
        /// After this long without a sign of life another forwarder takes its batches on.
        package var keepMs: Int64 = 120_000
        /// After this long a batch, or results, that an upstream says it has not are taken to be gone.
        package var absentMs: Int64 = 600_000
        /// Requests and bytes of one file.
        package var maxLines = 5000
        package var maxFileBytes = 50 << 20
        /// Our batches that one file holds requests of; each has an account.
        package var maxBatches = 250
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
        book = UpstreamBatchBook(
            records: records, spending: spending?.book, keeper: settings.name, keepMs: settings.keepMs)
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
        guard kept.count(where: { $0.leftFiles == nil }) < settings.maxOpen else { return }
        try await begin()
    }

    // MARK: Beginning

    private struct Item {
        var leased: LeasedRequest
        var choice: UpstreamChoice
        var body: UpstreamBody

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
        Failpoint.hit("batch.leased")
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
        if !refused.isEmpty { _ = try await queue.settle(refused, at: now) }
        if !unwanted.isEmpty { _ = try await queue.release(unwanted, reason: .handedBack, at: now) }
        for group in Dictionary(grouping: items, by: \.group).values { try await create(group) }
    }

    private func wantedModels(at now: Timestamp) async throws(JobQueueError) -> Set<String> {
        let overview = try await queue.overview(at: now)
        if overview.depths.allSatisfy({ $0.queued == 0 }) { return [] }
        return routing.models(of: overview) ?? Set(overview.depths.map(\.model))
    }

    private func create(_ items: [Item]) async throws(JobQueueError) {
        var (bytes, taken, batches) = (0, 0, Set<BatchID>())
        for item in items {
            bytes += UpstreamBatchFile.line(taken, item.body).count
            batches.insert(item.leased.lease.key.batch)
            if taken > 0, bytes > settings.maxFileBytes || batches.count > settings.maxBatches { break }
            taken += 1
        }
        let rest = items.dropFirst(taken).map(\.leased.lease)
        if !rest.isEmpty { _ = try await queue.release(rest, reason: .handedBack, at: clock.now()) }
        guard let (record, lines) = try await putOnRecord(Array(items.prefix(taken))),
            let target = items.first?.choice.target, let path = items.first?.body.path
        else { return }
        Failpoint.hit("batch.written")
        // Of a process that was stopped for minutes some may be others' by now.
        let renewed = try await queue.renew(
            record.entries.map(\.lease), durationMs: settings.leaseMs, at: clock.now())
        guard !renewed.contains(.lost) else {
            log.info("no batch is created: leases were lost before")
            return try await giveBack(record, .handedBack)
        }
        let client = UpstreamBatchClient(upstream: upstream, target: target)
        let alive = keep(record)
        defer { alive.cancel() }
        do {
            let file = try await client.upload(lines)
            guard try await book.update(record, { $0.inputFile = file }) else {
                log.warning("no batch is created: another forwarder took its requests while their file was sent")
                return try await client.delete(file)
            }
            Failpoint.hit("batch.uploaded")
            let id = try await client.create(
                file, endpoint: "/v1\(path)", window: target.batchWindow, token: record.token)
            Failpoint.hit("batch.created")
            guard try await book.update(record, { $0.id = id }) else {
                // Whoever has the record finds the batch; where it is gone, nobody does.
                guard try await book.isGone(record) else { return }
                log.warning("batch \(id) is cancelled: another forwarder took its requests while it was created")
                return try await client.cancel(id)
            }
            log.info("\(record.entries.count) requests go to \(target.name) as its batch \(id)")
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

    /// Shows that a record's keeper lives while a file is sent, which may take minutes.
    private func keep(_ record: UpstreamBatchRecord) -> Task<Void, Never> {
        Task { [book, settings, clock] in
            while (try? await Task.sleep(for: .milliseconds(settings.keepMs / 3))) != nil {
                let until = (clock.now() + settings.keepMs).milliseconds
                // A store that is away may be back in time.
                _ = try? await book.update(record) { $0.keptUntil = until }
            }
        }
    }

    /// Puts requests on record and sets aside what they can cost; a batch that may spend no more is paused.
    /// - Returns: the record, and the file's lines in the order of its entries; nil: no request is left.
    private func putOnRecord(_ items: [Item]) async throws(JobQueueError) -> (UpstreamBatchRecord, [UInt8])? {
        guard let first = items.first else { return nil }
        let now = clock.now()
        let draft = UpstreamBatchRecord(
            token: UUID().uuidString.lowercased(), target: first.choice.target.name, owner: first.choice.target.owner,
            model: first.model, keeper: settings.name, keptUntil: (now + settings.keepMs).milliseconds)
        let candidates = items.map { item in
            let (lease, most) = (item.leased.lease, spending?.most(item.body, item.choice, model: item.model))
            return UpstreamBatchBook.Candidate(
                entry: .init(
                    batch: lease.key.batch.value, ordinal: lease.key.ordinal, attempt: lease.attempt,
                    isMapped: item.body.isMapped),
                claim: SpendBook.Claim(
                    batch: lease.key.batch, tenant: item.leased.tenant, most: most ?? Spending()))
        }
        let beginning = try await book.begin(draft, candidates, durationMs: settings.leaseMs, at: now)
        var lines: [UInt8] = []
        var (number, unpaid, paused) = (0, [Lease](), Set<BatchID>())
        for (place, item) in items.enumerated() {
            guard let reached = beginning.refused[place] else {
                lines += UpstreamBatchFile.line(number, item.body)
                number += 1
                continue
            }
            let lease = item.leased.lease
            unpaid.append(lease)
            // What is on its way may be far cheaper than what is set aside for it, for hours: that is waited for.
            if reached.mayFitLater { continue }
            guard paused.insert(lease.key.batch).inserted else { continue }
            if try await queue.pauseIfOpen(lease.key.batch, reason: reached.description, at: now) {
                log.warning("batch \(lease.key.batch) is paused: \(reached)")
            }
        }
        if !unpaid.isEmpty { _ = try await queue.release(unpaid, reason: .handedBack, at: now) }
        return beginning.record.map { ($0, lines) }
    }
}
