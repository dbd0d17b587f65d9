import JobQueue
import Testing

/// Random calls, valid and not, on a store and on the model, with a clock that jumps: both must answer the
/// same, and the store must find nothing wrong with itself after each.
@Suite struct RandomOperationsTests {
    @Test(arguments: Store.all.filter { $0.testDescription != "model" }, [1, 2, 3, 4] as [UInt64])
    func storeAnswersAsTheModel(_ store: Store, seed: UInt64) async throws {
        try await store.with { queue in
            var comparison = Comparison(queue: queue, store: store, random: SplitMix(state: seed))
            for step in 0..<1000 {
                try await comparison.step()
                guard comparison.differences.isEmpty else {
                    Issue.record(
                        "seed \(seed), step \(step): \(comparison.differences.joined(separator: "\n"))")
                    return
                }
            }
            try await comparison.drain()
            #expect(comparison.differences == [])
            #expect(comparison.calls["settle", default: 0] > 50, "the walk should reach every call")
            #expect(comparison.calls["suspects", default: 0] > 0, "the walk should meet suspects")
            #expect(comparison.failures["conflict", default: 0] > 5)
        }
    }
}

/// Steele, Lea and Flood's SplitMix64 (https://doi.org/10.1145/2714064.2660195): reproducible test data.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// A store and the model side by side.
struct Comparison {
    let queue: any JobQueue
    let store: Store
    let model = ModelQueue()
    var random: SplitMix
    var now = Timestamp(milliseconds: 1_000_000)
    /// The same batch's names in the store and in the model.
    var batches: [(store: BatchID, model: BatchID)] = []
    var appended: [[AppendedRequest]] = []
    /// Every lease ever given, by number of its batch.
    var leases: [(batch: Int, ordinal: Int, attempt: Int)] = []
    var differences: [String] = []
    var calls: [String: Int] = [:]
    var failures: [String: Int] = [:]

    init(queue: any JobQueue, store: Store, random: SplitMix) {
        (self.queue, self.store, self.random) = (queue, store, random)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    /// Makes the call on both and compares what they answer.
    mutating func same<T: Equatable>(
        _ name: String, _ a: (any JobQueue) async throws -> T, _ b: (ModelQueue) async throws -> T
    ) async -> T? {
        calls[name, default: 0] += 1
        let answers = (await answer { try await a(queue) }, await answer { try await b(model) })
        if case .failure(let kind) = answers.0 { failures[kind, default: 0] += 1 }
        if answers.0 != answers.1 {
            differences.append("\(name) at \(now.milliseconds): store \(answers.0), model \(answers.1)")
        }
        if case .value(let value) = answers.0 { return value }
        return nil
    }

    private enum Answer<T: Equatable>: Equatable { case value(T), failure(String) }

    private func answer<T>(_ call: () async throws -> T) async -> Answer<T> {
        do {
            return .value(try await call())
        } catch let error as JobQueueError {
            return .failure(kind(error))
        } catch {
            return .failure("\(error)")
        }
    }

    mutating func step() async throws {
        switch number(0...99) {
        case 0..<80: now = now + Int64(number(0...400))
        case 80..<90: now = now + Int64(-number(0...3000))
        default: now = now + Int64(number(0...5000))
        }
        if batches.isEmpty || (batches.count < 12 && chance(3)) { await open() }
        let b = number(max(0, batches.count - 4)...batches.count - 1)
        switch number(0...99) {
        case 0..<14: await append(b)
        case 14..<24: await seal(b)
        case 24..<44: await lease()
        case 44..<66: await settle()
        case 66..<72: await renew()
        case 72..<82: await release()
        case 82..<90: await recover()
        case 90..<91: await cancel(b)
        case 91..<93: await pauseOrResume()
        case 93..<95: await report()
        default: await read(b)
        }
        try await compareAll(records: chance(10))
    }

    mutating func open() async {
        let tenant = ["a", "b", "c"][number(0...2)]
        let key = chance(40) ? "k\(number(0...3))" : nil
        let specification = BatchSpecification(
            tenant: tenant, priority: number(-1...1),
            completionWindowMs: chance(30) ? Int64(number(-1...9000)) : nil,
            idempotencyKey: key, seed: random.next(), maxAttempts: number(0...8),
            metadata: ["n": "\(number(0...9))"], retentionMs: chance(25) ? Int64(number(0...20_000)) : nil)
        let at = now
        let known = batches
        var opened: (BatchID, BatchID)?
        _ = await same("open") { queue in
            let id = try await queue.open(specification, at: at)
            opened = (id, BatchID(""))
            return known.firstIndex { $0.store == id } ?? -1
        } _: { model in
            let id = try await model.open(specification, at: at)
            opened?.1 = id
            return known.firstIndex { $0.model == id } ?? -1
        }
        if let opened, !known.contains(where: { $0.store == opened.0 }) {
            batches.append((store: opened.0, model: opened.1))
            appended.append([])
        }
    }

    mutating func append(_ b: Int) async {
        let there = appended[b].count
        var from = chance(80) ? there : number(0...there)
        if chance(3) { from += number(-2...2) }
        var requests = from >= 0 && from <= there ? Array(appended[b][from...].prefix(number(0...there))) : []
        if chance(5), !requests.isEmpty {
            requests[number(0...requests.count - 1)] = newRequest(line: number(1...50))
        }
        for i in 0..<number(0...12) {
            requests.append(newRequest(line: max(0, from) + requests.count + i % 2))
        }
        let (batch, at) = (batches[b], now)
        let done: Bool? = await same("append") { queue in
            try await queue.append(requests, to: batch.store, from: from, at: at)
            return true
        } _: { model in
            try await model.append(requests, to: batch.model, from: from, at: at)
            return true
        }
        if done == true { appended[b] += requests.dropFirst(max(0, there - from)) }
    }

    mutating func newRequest(line: Int) -> AppendedRequest {
        let names = ["caf\u{E9}", "cafe\u{301}", "", "line-3", "x\u{0}"]
        let name = chance(15) ? names[number(0...names.count - 1)] : "r\(number(0...400))"
        let code = ["invalid_json", "invalid_request"][number(0...1)]
        if chance(12) { return .refusal(chance(50) ? name : nil, line: line, code: code) }
        let model = ["", "m", "n", "caf\u{E9}"][number(0...3)]
        let cost = chance(1) ? number(-1...0) : number(1...9)
        return .request(name, line: line, text: "\(number(0...2))", model: model, cost: cost)
    }

    mutating func seal(_ b: Int) async {
        let total = chance(90) ? appended[b].count : number(0...20)
        let (batch, at) = (batches[b], now)
        _ = await same("seal") { queue in
            try await queue.seal(batch.store, total: total, at: at)
            return true
        } _: { model in
            try await model.seal(batch.model, total: total, at: at)
            return true
        }
    }

    private struct Leased: Equatable {
        var batch: Int
        var request: LeasedRequest
    }

    mutating func lease() async {
        let models = [nil, nil, nil, [], ["m"], ["m", "n"], ["caf\u{E9}", "x"]][number(0...6)] as [String]?
        let claim = LeaseClaim(
            worker: "w", maxRequests: number(-1...20), maxTokens: chance(30) ? number(0...40) : nil, models: models,
            durationMs: Int64(number(0...3000)), suspects: [.mixed, .none, .one][number(0...2)])
        if chance(30) { await look(claim) }
        await lease(claim)
    }

    mutating func look(_ claim: LeaseClaim) async {
        let at = now
        _ = await same("hasWork") {
            try await $0.hasWork(for: claim, at: at)
        } _: {
            try await $0.hasWork(for: claim, at: at)
        }
    }

    mutating func lease(_ claim: LeaseClaim) async {
        let (at, known) = (now, batches)
        let leased = await same("lease") { queue in
            try await queue.lease(claim, at: at).map { request in
                Leased(
                    batch: known.firstIndex { $0.store == request.lease.key.batch } ?? -1,
                    request: unnamed(request))
            }
        } _: { model in
            try await model.lease(claim, at: at).map { request in
                Leased(
                    batch: known.firstIndex { $0.model == request.lease.key.batch } ?? -1,
                    request: unnamed(request))
            }
        }
        calls["suspects", default: 0] += (leased ?? []).count { $0.request.crashes >= LeaseClaim.suspectCrashes }
        leases += (leased ?? []).map { ($0.batch, $0.request.lease.key.ordinal, $0.request.lease.attempt) }
    }

    /// Some leases, mostly recent, sometimes of the wrong attempt; for the store and for the model.
    mutating func someLeases() -> (store: [Lease], model: [Lease]) {
        var picked: (store: [Lease], model: [Lease]) = ([], [])
        for _ in 0..<number(0...10) where !leases.isEmpty {
            let recent = chance(85) ? max(0, leases.count - 30) : 0
            let lease = leases[number(recent...leases.count - 1)]
            let attempt = lease.attempt + (chance(5) ? number(-1...1) : 0)
            let ids = batches[lease.batch]
            picked.store.append(
                Lease(key: RequestKey(batch: ids.store, ordinal: lease.ordinal), attempt: attempt))
            picked.model.append(
                Lease(key: RequestKey(batch: ids.model, ordinal: lease.ordinal), attempt: attempt))
        }
        return picked
    }

    mutating func settle() async {
        let (picked, at) = (someLeases(), now)
        var outcomes: [Outcome] = []
        for _ in picked.store {
            var outcome = Outcome.text("\(number(0...9))", prompt: number(0...50), completion: number(0...50))
            outcome.usage.costNanodollars = outcome.usage.promptTokens * outcome.usage.completionTokens * 3_000_000_019
            if chance(20) {
                outcome.result = .error(OutcomeError(code: "internal_error", message: "m\(number(0...9))"))
            }
            if chance(1) { outcome.usage.cachedTokens = outcome.usage.promptTokens + 1 }
            outcomes.append(outcome)
        }
        let made = outcomes
        func settlements(_ leases: [Lease]) -> [Settlement] {
            zip(leases, made).map { Settlement(lease: $0, outcome: $1) }
        }
        _ = await same("settle") {
            try await $0.settle(settlements(picked.store), at: at)
        } _: {
            try await $0.settle(settlements(picked.model), at: at)
        }
    }

    mutating func renew() async {
        let (picked, durationMs, at) = (someLeases(), Int64(number(0...3000)), now)
        _ = await same("renew") {
            try await $0.renew(picked.store, durationMs: durationMs, at: at)
        } _: {
            try await $0.renew(picked.model, durationMs: durationMs, at: at)
        }
    }

    mutating func release() async {
        let (picked, at) = (someLeases(), now)
        let error = OutcomeError(code: "overloaded", message: "m", statusCode: 503)
        let reason: ReleaseReason =
            chance(40) ? .handedBack : .failed(error, retryAfterMs: Int64(number(-100...3000)))
        _ = await same("release") {
            try await $0.release(picked.store, reason: reason, at: at)
        } _: {
            try await $0.release(picked.model, reason: reason, at: at)
        }
    }

    mutating func recover() async {
        // Often enough for requests to be in two crashes.
        if chance(60) { now = now + 3000 }
        let at = now
        _ = await same("recover") {
            try await $0.recover(at: at)
        } _: {
            try await $0.recover(at: at)
        }
    }

    mutating func cancel(_ b: Int) async {
        let (batch, at) = (batches[b], now)
        _ = await same("cancel") { queue in
            try await queue.cancel(batch.store, at: at)
            return true
        } _: { model in
            try await model.cancel(batch.model, at: at)
            return true
        }
    }

    mutating func read(_ b: Int) async {
        let (batch, limit) = (batches[b], number(-1...30))
        _ = await same("backlog") { try await $0.backlog(batch.store) } _: { try await $0.backlog(batch.model) }
        let cursor = chance(70) ? ResultCursor(Int64(number(-1...40))) : nil
        for order in ResultOrder.allCases {
            _ = await same("results") {
                try await $0.results(batch.store, after: cursor, limit: limit, order: order).map(plain)
            } _: {
                try await $0.results(batch.model, after: cursor, limit: limit, order: order).map(plain)
            }
        }
    }

    mutating func pauseOrResume() async {
        let at = now
        // Mostly open, so that the walk gets somewhere.
        let pauses = chance(30)
        _ = await same("pause") {
            pauses ? try await $0.pause(at: at) : try await $0.resume(at: at)
            return true
        } _: {
            pauses ? await $0.pause(at: at) : await $0.resume(at: at)
            return true
        }
    }

    mutating func report() async {
        let report = WorkerReport(
            name: "w\(number(0...4))", host: "h", processID: number(1...9), models: ["m"], backend: "cpu",
            phase: .running, startedAt: now, reportedAt: now, lifetimeMs: Int64(number(0...9000)))
        let (at, forgets) = (now, chance(20))
        _ = await same("heartbeat") {
            forgets ? try await $0.forget(worker: report.name) : try await $0.heartbeat(report, at: at)
            return true
        } _: {
            forgets ? await $0.forget(worker: report.name) : try await $0.heartbeat(report, at: at)
            return true
        }
    }
}

private func unnamed(_ request: LeasedRequest) -> LeasedRequest {
    var request = request
    request.lease.key.batch = BatchID("")
    return request
}
