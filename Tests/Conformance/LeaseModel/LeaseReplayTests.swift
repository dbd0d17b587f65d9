import JobQueue
import Testing

/// Every step of the model of the lease protocol is taken on every store, which has to answer as the model does. So
/// what the explorer shows of the model holds for them.
@Suite struct LeaseReplayTests {
    /// The file takes the steps of the store in memory, only slower.
    @Test(arguments: Store.all.filter { $0.testDescription != "SQLite file" })
    func storeTakesEachStepAsTheModel(_ store: Store) async throws {
        try await store.test { queue in
            var start: Timestamp = 0
            for path in LeasePaths.all {
                var replay = Replay(queue: queue, path: path, start: start)
                if let difference = try await replay.run() {
                    let steps = path.prefix(replay.step + 1).map { "\($0)" }.joined(separator: "\n")
                    Issue.record("\(difference), after\n\(steps)")
                    return
                }
                start = replay.now + 1
            }
        }
    }

    @Test func pathsTakeEachStep() {
        var taken: Set<[UInt64]> = []
        for path in LeasePaths.all {
            var world = LeaseWorld()
            for event in path {
                let before = world.code
                _ = world.take(event, nil)
                taken.insert([before, UInt64(bitPattern: Int64(event.hashValue))])
            }
        }
        #expect(taken.count == LeaseExplorer.explore(.anyone).steps)
    }
}

/// One path on one batch of a real store. The clock counts steps; how long a lease lasts or a retry waits is what the
/// rest of the path makes of it.
private struct Replay {
    static let longMs: Int64 = 1 << 40

    let queue: any JobQueue
    let path: LeasePaths.Path
    let start: Timestamp
    var step = 0
    var world = LeaseWorld()

    init(queue: any JobQueue, path: LeasePaths.Path, start: Timestamp) {
        self.queue = queue
        self.path = path
        self.start = start
    }

    var now: Timestamp { time(of: step) }

    private func time(of step: Int) -> Timestamp { start + Int64(step + 1) }

    /// - Returns: how the store differs from the model; nil: it does not.
    mutating func run() async throws -> String? {
        let window = path.firstIndex(of: .windowEnds).map { time(of: $0) - start }
        let specification = BatchSpecification(
            completionWindowMs: window, maxAttempts: LeaseStore.maxAttempts)
        let batch = try await queue.submit(LeaseStore.itemCount, specification, at: start)
        while step < path.count {
            let before = world.store
            let exchange = world.take(path[step], nil)
            if let exchange {
                let answer = try await ask(exchange, batch)
                if answer != exchange.answer { return "\(answer), not \(exchange.answer), from \(before)" }
            }
            let status = try await queue.status(batch)
            if let difference = compare(status) { return difference }
            step += 1
        }
        let records = try await queue.all(batch, .completion)
        for (i, state) in [world.store.first, world.store.second].enumerated() where state.state.isTerminal {
            let mine = records.filter { $0.ordinal == i }
            guard mine.count == 1, "\(mine[0].state)" == "\(state.state)", mine[0].attempt == state.attempt else {
                return "results of request \(i) are \(mine.map { "\($0.state) \($0.attempt)" })"
            }
        }
        if world.store.phase == .inProgress { try await queue.cancel(batch, at: now) }
        return nil
    }

    private func compare(_ status: BatchStatus) -> String? {
        let items = [world.store.first, world.store.second]
        func count(_ state: LeaseStore.ItemState) -> Int { items.count { $0.state == state } }
        let counts = BatchCounts(
            total: items.count, queued: count(.queued), leased: count(.leased), completed: count(.completed),
            failed: count(.failed), cancelled: count(.cancelled), expired: count(.expired))
        guard status.counts == counts, "\(status.state)" == "\(world.store.phase)" else {
            return "\(status.state) \(status.counts), not \(world.store)"
        }
        return nil
    }

    /// Until the step at which time catches up with request `i`, if nothing else happens to it before.
    private func durationMs(_ i: Int) -> Int64 {
        var world = world
        for later in path.indices where later > step {
            if path[later] == .timePasses(i) { return time(of: later) - now }
            let before = world.store[i]
            let exchange = world.take(path[later], nil)
            if case .renew(i, _)? = exchange?.call, exchange?.answer == .done { break }
            if world.store[i] != before { break }
        }
        return Self.longMs
    }

    private func ask(_ exchange: LeaseWorld.Exchange, _ batch: BatchID) async throws -> LeaseStore.Answer {
        func lease(_ i: Int, _ attempt: Int) -> [Lease] {
            [Lease(key: RequestKey(batch: batch, ordinal: i), attempt: attempt)]
        }
        let error = OutcomeError(code: "internal_error", message: "worth another attempt", statusCode: 500)
        let results: [FencedResult]
        switch exchange.call {
        case .lease(let max):
            let leased = try await queue.lease(max, at: now, forMs: Self.longMs)
            for one in leased {
                // A claim gives all its leases the same time; here each has its own.
                let durationMs = durationMs(one.lease.key.ordinal)
                if durationMs != Self.longMs {
                    _ = try await queue.renew([one.lease], durationMs: durationMs, at: now)
                }
            }
            return .granted(
                leased.map { LeaseStore.Grant(item: $0.lease.key.ordinal, attempt: $0.lease.attempt) })
        case .renew(let i, let attempt):
            results = try await queue.renew(lease(i, attempt), durationMs: durationMs(i), at: now)
        case .settle(let i, let attempt):
            let settlements = lease(i, attempt).map { Settlement(lease: $0, outcome: .text("\(i) \(attempt)")) }
            results = try await queue.settle(settlements, at: now)
        case .handBack(let i, let attempt):
            results = try await queue.release(lease(i, attempt), reason: .handedBack, at: now)
        case .fail(let i, let attempt, let waits):
            let reason = ReleaseReason.failed(error, retryAfterMs: waits ? durationMs(i) : 0)
            results = try await queue.release(lease(i, attempt), reason: reason, at: now)
        case .recover: return .moved(try await queue.recover(at: now))
        case .cancel:
            do throws(JobQueueError) {
                try await queue.cancel(batch, at: now)
                return .done
            } catch {
                guard kind(error) == "wrongState" else { throw error }
                return .wrongState
            }
        }
        return results == [.done] ? .done : .lost
    }
}
