import GRDB

/// Leasing: which requests a worker gets.
extension QueueTransaction {
    func lease(_ claim: LeaseClaim, at now: Timestamp) throws -> [LeasedRequest] {
        guard var round = try round(claim, looks: false, at: now) else { return [] }
        return try round.finish()
    }

    func hasWork(for claim: LeaseClaim, at now: Timestamp) throws -> Bool {
        try round(claim, looks: true, at: now)?.hasFound == true
    }

    /// - Returns: what was chosen; nil: nothing may be.
    private func round(_ claim: LeaseClaim, looks: Bool, at now: Timestamp) throws -> LeaseRound? {
        try claim.check()
        let worker = try text(claim.worker, named: "the worker's name")
        if try flag("paused") != 0 || claim.maxRequests <= 0 { return nil }
        // Once due, a request that waited is like any other; each is moved once.
        try run("UPDATE pending SET not_before = NULL WHERE not_before <= ?", [now.milliseconds])
        var round = try LeaseRound(transaction: self, claim: claim, worker: worker, looks: looks, now: now)
        var priority: Int64?
        while !round.isOver, let next = try leasablePriority(below: priority) {
            try round.take(priority: next)
            priority = next
        }
        return round
    }

    private func leasablePriority(below priority: Int64?) throws -> Int64? {
        try first(
            """
            SELECT priority FROM batch INDEXED BY batch_leasable
            WHERE state = 'in_progress' AND queued > 0 AND priority < ? ORDER BY priority DESC LIMIT 1
            """, [priority ?? .max]
        ) { try $0.int64(0) }
    }
}

/// One call's claims. Requests are chosen one by one: of the tenant that was served least.
private struct LeaseRound {
    let transaction: QueueTransaction
    let claim: LeaseClaim
    let worker: String
    let now: Timestamp
    /// Numbers of the models that suit; nil: all.
    private let models: Set<Int64>?
    /// Numbers of the batches asked for; nil: all.
    private let suitable: Set<Int64>?
    private let expiresAt: Timestamp
    private var batches = TouchedBatches()
    private var leased: [LeasedRequest] = []
    private var tokens = 0
    private(set) var isOver: Bool
    /// Nothing is leased, only found.
    private let looks: Bool
    private(set) var hasFound = false

    /// Requests read ahead of one batch.
    private static let pageRequests = 64

    /// A tenant's queued requests of one priority, oldest first.
    private struct Lane {
        var tenant: String
        var served: Int
        var wasServed = false
        var seq: Int64 = 0
        var page: ArraySlice<Found> = []
        var isOut = false
    }

    private struct Found {
        var key: Int64
        var model: Int64
        var attempt: Int
        var crashes: Int
        var request: Request
    }

    init(transaction: QueueTransaction, claim: LeaseClaim, worker: String, looks: Bool, now: Timestamp) throws {
        var claim = claim
        if claim.suspects == .one { claim.maxRequests = min(claim.maxRequests, 1) }
        self.transaction = transaction
        self.claim = claim
        self.worker = worker
        self.looks = looks
        self.now = now
        expiresAt = now + claim.durationMs
        let asked = try claim.batches.map { ids in Set(try ids.compactMap { try transaction.batchNumber($0) }) }
        if claim.suspects == .one {
            // So that batches without suspects are not looked into.
            let suspected = Set(
                try transaction.rows(
                    """
                    SELECT DISTINCT key >> 32 FROM pending INDEXED BY pending_suspect
                    WHERE \(Self.isReady) AND \(Self.isSuspect)
                    """, []
                ) { try $0.int64(0) })
            suitable = asked.map { suspected.intersection($0) } ?? suspected
        } else {
            suitable = asked
        }
        isOver = claim.maxRequests <= 0 || (claim.suspects == .one && suitable?.isEmpty == true)
        models = try claim.models.map { names in
            Set(try (names + [""]).compactMap { try transaction.knownModelNumber($0) })
        }
    }

    mutating func take(priority: Int64) throws {
        var lanes = try lanes(of: priority)
        while !isOver, let at = Self.next(lanes) {
            guard let found = try head(of: &lanes[at], priority: priority) else {
                lanes[at].isOut = true
                continue
            }
            if looks {
                (hasFound, isOver) = (true, true)
                break
            }
            if let maxTokens = claim.maxTokens, !leased.isEmpty, found.request.cost > maxTokens - tokens {
                isOver = true
                break
            }
            lanes[at].page.removeFirst()
            lanes[at].served += found.request.cost
            lanes[at].wasServed = true
            try lease(found)
        }
        for lane in lanes where lane.wasServed {
            try transaction.run(
                "UPDATE share SET served = ? WHERE priority = ? AND tenant = ?",
                [lane.served, priority, lane.tenant])
        }
    }

    /// The tenant with the fewest tokens; of several the first by name's bytes, as the lanes are ordered.
    private static func next(_ lanes: [Lane]) -> Int? {
        var best: Int?
        for (at, lane) in lanes.enumerated() where !lane.isOut {
            if let known = best, lanes[known].served <= lane.served { continue }
            best = at
        }
        return best
    }

    private func lanes(of priority: Int64) throws -> [Lane] {
        var lanes: [Lane] = []
        var tenant: String? = try transaction.first(
            """
            SELECT tenant FROM batch INDEXED BY batch_leasable
            WHERE state = 'in_progress' AND queued > 0 AND priority = ? ORDER BY tenant LIMIT 1
            """, [priority]
        ) { try $0.text(0) }
        while let name = tenant {
            let served = try transaction.first(
                "SELECT served FROM share WHERE priority = ? AND tenant = ?", [priority, name]
            ) { try $0.int(0) }
            guard let served, (0...Int.max / 2).contains(served) else {
                throw transaction.damaged("a tenant's share is missing")
            }
            lanes.append(Lane(tenant: name, served: served))
            tenant = try transaction.first(
                """
                SELECT tenant FROM batch INDEXED BY batch_leasable
                WHERE state = 'in_progress' AND queued > 0 AND priority = ? AND tenant > ? ORDER BY tenant LIMIT 1
                """, [priority, name]
            ) { try $0.text(0) }
        }
        return lanes
    }

    /// The lane's next request; nil when it has none that suits.
    private func head(of lane: inout Lane, priority: Int64) throws -> Found? {
        while lane.page.isEmpty {
            if lane.seq > 0, suitable?.contains(lane.seq) ?? true { lane.page = try page(of: lane.seq)[...] }
            if !lane.page.isEmpty { break }
            let next = try transaction.first(
                """
                SELECT seq FROM batch INDEXED BY batch_leasable
                WHERE state = 'in_progress' AND queued > 0 AND priority = ? AND tenant = ? AND seq > ?
                  AND (deadline IS NULL OR deadline > ?) AND paused_for IS NULL ORDER BY seq LIMIT 1
                """, [priority, lane.tenant, lane.seq, now.milliseconds]
            ) { try $0.int64(0) }
            guard let next else { return nil }
            lane.seq = next
            if let suitable, !suitable.contains(next) { continue }
        }
        return lane.page.first
    }

    private func page(of seq: Int64) throws -> [Found] {
        let limit = min(claim.maxRequests - leased.count, Self.pageRequests)
        let present = try transaction.rows("SELECT model FROM backlog WHERE batch = ? AND queued > 0", [seq]) {
            try $0.int64(0)
        }
        var kinds: [(index: String, isOfKind: String)] = []
        if claim.suspects != .one { kinds.append(("pending_ready", Self.isNoSuspect)) }
        if claim.suspects != .none { kinds.append(("pending_suspect", Self.isSuspect)) }
        var found: [Found] = []
        for model in present where models?.contains(model) ?? true {
            for kind in kinds {
                found += try transaction.rows(
                    """
                    SELECT p.key, p.attempt, r.custom_id, r.line, r.endpoint, r.body, m.name, p.cost, p.crashes
                    FROM pending AS p INDEXED BY \(kind.index) CROSS JOIN request AS r ON r.key = p.key
                      CROSS JOIN model AS m ON m.id = p.model
                    WHERE \(Self.isReady) AND \(kind.isOfKind) AND p.model = ? AND p.key BETWEEN ? AND ?
                    ORDER BY p.key LIMIT ?
                    """, [model, seq << 32, seq << 32 | 0xFFFF_FFFF, limit]
                ) { try self.found($0, model) }
            }
        }
        if present.count * kinds.count > 1 { found.sort { $0.key < $1.key } }
        return Array(found.prefix(limit))
    }

    /// As the indexes have them.
    private static let isReady = "state = 'queued' AND not_before IS NULL"
    private static let isSuspect = "crashes >= \(LeaseClaim.suspectCrashes)"
    private static let isNoSuspect = "crashes < \(LeaseClaim.suspectCrashes)"

    private func found(_ row: StoredRow, _ model: Int64) throws -> Found {
        guard let endpoint = Endpoint(rawValue: try row.text(4)) else {
            throw transaction.damaged("a request has no known route")
        }
        let (attempt, cost, crashes) = (try row.int(1), try row.int(7), try row.int(8))
        guard (0..<Int.max).contains(attempt), (0...attempt).contains(crashes), (1...Request.maxCost).contains(cost)
        else { throw transaction.damaged("a request's attempts or cost are out of range") }
        return Found(
            key: try row.int64(0), model: model, attempt: attempt, crashes: crashes,
            request: Request(
                customID: String(decoding: try row.bytes(2), as: UTF8.self), endpoint: endpoint,
                body: try row.bytes(5), line: try row.int(3),
                model: String(decoding: try row.bytes(6), as: UTF8.self), cost: cost))
    }

    private mutating func lease(_ found: Found) throws {
        try transaction.run(
            "UPDATE pending SET state = 'leased', attempt = ?, lease_expires = ?, worker = ? WHERE key = ?",
            [found.attempt + 1, expiresAt.milliseconds, worker, found.key])
        let seq = found.key >> 32
        let batch = try batches.batch(seq, transaction)
        try batches.change(seq, transaction) { batch in
            batch.queue(-1, model: found.model, cost: found.request.cost)
            batch.status.counts.leased += 1
        }
        let specification = batch.status.specification
        leased.append(
            LeasedRequest(
                lease: Lease(
                    key: RequestKey(batch: batch.status.id, ordinal: StoredBatch.ordinal(found.key)),
                    attempt: found.attempt + 1),
                request: found.request, tenant: specification.tenant, priority: specification.priority,
                batchSeed: specification.seed, expiresAt: expiresAt, deadline: batch.deadline,
                crashes: found.crashes))
        tokens += found.request.cost
        if leased.count >= claim.maxRequests { isOver = true }
    }

    mutating func finish() throws -> [LeasedRequest] {
        try batches.save(transaction, at: now)
        return leased
    }
}
