/// Leasing, renewing, settling, releasing and recovering requests.
extension RedisQueue {
    /// What one script moves at most.
    private static let chunkLeases = 256
    private static let chunkEndings = 500
    /// Longer than the server counts is as good as forever, there as here.
    private static let forever: Int64 = 1 << 53

    package func lease(_ claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> [LeasedRequest] {
        var claim = claim
        if claim.suspects == .one { claim.maxRequests = min(claim.maxRequests, 1) }
        let leased = try await leaseQueued(claim, at: now)
        guard leased.isEmpty, claim.maxRequests > 0, claim.suspects != .one, try await admit(at: now) > 0
        else { return leased }
        return try await leaseQueued(claim, at: now)
    }

    package func hasWork(for claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> Bool {
        try claim.check()
        guard claim.maxRequests > 0 else { return false }
        let reply = try await run(.lease, at: now, arguments(claim, most: 1, tokens: 0, looks: true))
        guard let found = reply.int else { throw unexpected(reply, "whether something can be leased") }
        return found == 1
    }

    private func arguments(_ claim: LeaseClaim, most: Int, tokens: Int, looks: Bool) -> [RedisArgument] {
        let models = claim.models.map { [RedisArgument($0.count)] + $0.map { RedisArgument($0) } } ?? ["*"]
        let batches = claim.batches.map { [RedisArgument($0.count)] + $0.map { RedisArgument($0.value) } } ?? ["*"]
        return [
            RedisArgument(claim.worker), RedisArgument(most), claim.maxTokens.map { RedisArgument($0) } ?? "-",
            RedisArgument(min(claim.durationMs, Self.forever)), RedisArgument(Self.chunkBytes),
            RedisArgument(tokens), RedisArgument(claim.suspects.rawValue), looks ? "look" : "take",
        ] + models + batches
    }

    private func leaseQueued(
        _ claim: LeaseClaim, at now: Timestamp
    ) async throws(JobQueueError) -> [LeasedRequest] {
        try claim.check()
        var leased: [LeasedRequest] = []
        var tokens = 0
        while leased.count < claim.maxRequests {
            let most = min(claim.maxRequests - leased.count, Self.chunkLeases)
            let reply = try await run(.lease, at: now, arguments(claim, most: most, tokens: tokens, looks: false))
            let page = try leasedRequests(reply, claim, at: now)
            leased += page
            tokens += page.reduce(0) { $0 + $1.request.cost }
            let why = reply.array?.first?.text
            if page.isEmpty || why == "tokens" || (why == "out" && page.count < most) { break }
        }
        return leased
    }

    private func leasedRequests(
        _ reply: RedisReply, _ claim: LeaseClaim, at now: Timestamp
    ) throws(JobQueueError) -> [LeasedRequest] {
        guard let parts = reply.array, parts.count == 4, let batches = parts[1].array, let models = parts[2].array,
            let requests = parts[3].array
        else { throw unexpected(reply, "a lease") }
        // By this clock, which was read before the server's.
        let expiresAt = now + claim.durationMs
        var leased: [LeasedRequest] = []
        leased.reserveCapacity(requests.count)
        for request in requests {
            guard let fields = request.array, fields.count == 6, let batchPlace = fields[0].int,
                let ordinal = fields[1].int, let attempt = fields[2].int, let crashes = fields[3].int,
                let modelPlace = fields[4].int, let record = fields[5].bytes,
                batches.indices.contains(Int(batchPlace) - 1), models.indices.contains(Int(modelPlace) - 1),
                let batch = batches[Int(batchPlace) - 1].array, batch.count == 5, let id = batch[0].text,
                let tenant = batch[1].text, let priority = batch[2].int, let seed = batch[3].text.flatMap(UInt64.init),
                let model = models[Int(modelPlace) - 1].text,
                let stored = Request(stored: record, model: model)
            else { throw unexpected(request, "a leased request") }
            leased.append(
                LeasedRequest(
                    lease: Lease(key: RequestKey(batch: BatchID(id), ordinal: Int(ordinal)), attempt: Int(attempt)),
                    request: stored, tenant: tenant, priority: Int(priority), batchSeed: seed, expiresAt: expiresAt,
                    deadline: batch[4].int.map { Timestamp(milliseconds: $0) }, crashes: Int(crashes)))
        }
        return leased
    }

    package func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    {
        guard durationMs >= 1 else {
            throw .invalidArgument("a lease must last at least 1 ms, got \(durationMs)")
        }
        return try await fenced(
            .renew, leases, first: [RedisArgument(min(durationMs, Self.forever))], at: now, size: { _ in 0 },
            { self.arguments($0) })
    }

    package func settle(_ settlements: [Settlement], at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    {
        for settlement in settlements {
            try settlement.outcome.check(
                "ordinal \(settlement.lease.key.ordinal)", maxBodyBytes: Self.maxBodyBytes)
        }
        return try await fenced(
            .settle, settlements, first: [], at: now,
            size: { if case .response(_, let body) = $0.outcome.result { body.count } else { 0 } },
            { self.arguments($0.lease) + $0.outcome.stored })
    }

    package func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    {
        let first: [RedisArgument] =
            switch reason {
            case .handedBack: ["back", "0", "", "", "-", "0"]
            case .failed(let error, let retryAfterMs):
                [
                    "failed", RedisArgument(min(max(retryAfterMs, 0), Self.forever)), RedisArgument(error.code),
                    RedisArgument(error.message), RedisArgument(error.parameter.map { "+" + $0 } ?? "-"),
                    RedisArgument(error.statusCode),
                ]
            }
        return try await fenced(.release, leases, first: first, at: now, size: { _ in 0 }, { self.arguments($0) })
    }

    private func arguments(_ lease: Lease) -> [RedisArgument] {
        [argument(lease.key.batch), RedisArgument(lease.key.ordinal), RedisArgument(lease.attempt)]
    }

    /// A call on leases, cut into scripts.
    private func fenced<T>(
        _ script: RedisScript, _ items: [T], first: [RedisArgument], at now: Timestamp, size: (T) -> Int,
        _ arguments: (T) -> [RedisArgument]
    ) async throws(JobQueueError) -> [FencedResult] {
        var results: [FencedResult] = []
        while results.count < items.count {
            var (to, bytes, list) = (results.count, 0, first)
            while to < items.count, to - results.count < Self.chunkLeases, bytes < Self.chunkBytes {
                bytes += size(items[to])
                list += arguments(items[to])
                to += 1
            }
            let reply = try await run(script, at: now, list)
            guard let answers = reply.array, answers.count == to - results.count else {
                throw unexpected(reply, "the answer of \(script.name)")
            }
            results += answers.map { $0.int == 1 ? .done : .lost }
        }
        return results
    }

    package func recover(at now: Timestamp) async throws(JobQueueError) -> Int {
        _ = try await admit(at: now)
        var moved = try await goOnEnding("", at: now)
        while true {
            let reply = try await run(.reclaim, at: now, [RedisArgument(Self.chunkEndings)])
            guard let counts = reply.array, counts.count == 2, let looked = counts[0].int, let back = counts[1].int
            else { throw unexpected(reply, "the answer of reclaim") }
            moved += Int(back)
            if looked < Self.chunkEndings { break }
        }
        while try await run(.forget, at: now, ["10"]).int ?? 0 >= 10 {}
        return moved
    }

    /// Ends requests of batches that are being ended, step by step. Returns how many.
    private func goOnEnding(_ id: RedisArgument, at now: Timestamp) async throws(JobQueueError) -> Int {
        var moved = 0
        while true {
            let reply = try await run(.goOn, at: now, [RedisArgument(Self.chunkEndings), id])
            guard let counts = reply.array, counts.count == 2, let ended = counts[0].int else {
                throw unexpected(reply, "the answer of goOn")
            }
            moved += Int(ended)
            if counts[1].int == 0 { return moved }
        }
    }

    package func cancel(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        let reply = try await run(.cancel, at: now, [argument(batch)])
        switch (reply.text, reply.array?.last?.text) {
        case ("ended", _): return
        case ("unknown", _): throw .unknownBatch(batch)
        case ("ending", _): _ = try await goOnEnding(argument(batch), at: now)
        case (_, let state?):
            throw .wrongState(batch, BatchState(rawValue: state) ?? .completed, "nothing is left to cancel")
        default: throw unexpected(reply, "the answer of cancel")
        }
    }
}

extension Request {
    /// As scripts store it: `endpoint line cost n length-of-id\n`, custom_id, body. Nil for anything else.
    init?(stored: [UInt8], model: String) {
        guard let newline = stored.firstIndex(of: 10) else { return nil }
        let head = String(decoding: stored[..<newline], as: UTF8.self).split(separator: " ")
        guard head.count == 5, let endpoint = Endpoint(rawValue: String(head[0])), let line = Int(head[1]),
            let cost = Int(head[2]), (1...Self.maxCost).contains(cost), let length = Int(head[4]), length >= 0,
            length <= stored.count - newline - 1
        else { return nil }
        let body = newline + 1 + length
        self.init(
            customID: String(decoding: stored[(newline + 1)..<body], as: UTF8.self), endpoint: endpoint,
            body: Array(stored[body...]), line: line, model: model, cost: cost)
    }
}

extension Timings {
    var storedText: String { "\(queuedMs) \(prefillMs) \(decodeMs)" }

    init?(storedText text: String) {
        let parts = text.split(separator: " ").compactMap { Int64($0) }
        guard parts.count == 3 else { return nil }
        self.init(queuedMs: parts[0], prefillMs: parts[1], decodeMs: parts[2])
    }
}

extension Outcome {
    /// Ten arguments, as the script `settle` describes them.
    var stored: [RedisArgument] {
        let (state, status, error, response): (String, Int, String, [UInt8]) =
            switch result {
            case .response(let code, let body): ("completed", code, "", body)
            case .error(let error): ("failed", error.statusCode, error.storedText, [])
            }
        return [
            RedisArgument(state), RedisArgument(usage.promptTokens), RedisArgument(usage.completionTokens),
            RedisArgument(usage.cachedTokens), RedisArgument(usage.costNanodollars), RedisArgument(backend),
            RedisArgument(timings.storedText), RedisArgument(status), RedisArgument(error), RedisArgument(response),
        ]
    }
}
