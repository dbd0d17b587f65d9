import JobQueue
import Scheduler

/// The requests that a worker has leased and given to its engine, and what their sequences have come to. A value:
/// it is told what happened.
struct HeldWork {
    struct Item {
        var leased: LeasedRequest
        var plan: RequestPlan
        var sequences: [SequenceID]
        var finished: [FinishedGeneration?]
        var leasedAt: ContinuousClock.Instant

        var lease: Lease { leased.lease }
    }

    private var items: [RequestKey: Item] = [:]
    private var owners: [SequenceID: (key: RequestKey, index: Int)] = [:]
    private var tenants: [String: TenantID] = [:]
    private var nextSequence: UInt64 = 1

    var isEmpty: Bool { items.isEmpty }
    var count: Int { items.count }
    var leases: [Lease] { items.values.map(\.lease) }
    /// Batches that something is held of.
    var batches: Set<BatchID> { Set(items.keys.map(\.batch)) }

    func leases(of batch: BatchID) -> [Lease] { items.filter { $0.key.batch == batch }.map(\.value.lease) }

    /// - Returns: what the engine is to run for it.
    mutating func admit(_ leased: LeasedRequest, _ plan: RequestPlan) -> [EngineJob] {
        let first = nextSequence
        nextSequence += UInt64(plan.specs.count)
        let ids = (first..<nextSequence).map(SequenceID.init)
        let tenant = tenants[leased.tenant] ?? TenantID(tenants.count)
        tenants[leased.tenant] = tenant
        for (index, id) in ids.enumerated() { owners[id] = (leased.lease.key, index) }
        items[leased.lease.key] = Item(
            leased: leased, plan: plan, sequences: ids, finished: Array(repeating: nil, count: ids.count),
            leasedAt: .now)
        return zip(ids, plan.specs).map { id, spec in EngineJob(id: id, tenant: tenant, spec: spec) }
    }

    /// - Returns: the request that the sequence was the last of, which is not held any more.
    mutating func finish(_ id: SequenceID, _ generation: FinishedGeneration) -> Item? {
        guard let owner = owners.removeValue(forKey: id) else { return nil }
        items[owner.key]?.finished[owner.index] = generation
        guard let item = items[owner.key], item.finished.allSatisfy({ $0 != nil }) else { return nil }
        items[owner.key] = nil
        return item
    }

    func key(of id: SequenceID) -> RequestKey? { owners[id]?.key }

    /// Forgets a request.
    /// - Returns: its lease, and the sequences of it that the engine still has.
    mutating func drop(_ key: RequestKey) -> (lease: Lease, running: [SequenceID])? {
        guard let item = items.removeValue(forKey: key) else { return nil }
        let running = item.sequences.filter { owners[$0] != nil }
        for id in running { owners[id] = nil }
        return (item.lease, running)
    }

    /// Forgets everything; like `drop` for each.
    mutating func dropAll() -> (leases: [Lease], running: [SequenceID]) {
        defer {
            items.removeAll()
            owners.removeAll()
        }
        return (leases, Array(owners.keys))
    }
}
