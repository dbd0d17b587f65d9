/// Sequences that wait, and which of them is admitted next.
///
/// 1. **Class.** Each priority is a class; one more, above all, is for seniors (sequences that were
///    preempted often). The class with the highest score is served: its level times
///    `agingAdmissions`, plus the admissions that other classes saw since this one was last served
///    or began to wait. So classes go by priority, but a class that waits gets one admission at
///    least in about `agingAdmissions` for each level that busier classes are above it.
/// 2. **Preempted sequences** of the class first, in the order of their first admission.
/// 3. **Tenant.** The one served least within the class, in tokens (`FairShare`).
/// 4. **Arrival** among sequences of one class and tenant.
///
/// Who is chosen is admitted before anyone else, even if others would fit sooner: so large
/// sequences are not starved by small ones. All operations cost O(log tenants) or less, however
/// many wait, but for preempted sequences (few).
struct WaitingQueue: Sendable {
    private struct Ends {
        var first: Int
        var last: Int
    }

    private struct PriorityClass {
        /// Slots in the order of first admission.
        var preempted: [Int] = []
        var tenants = FairShare<TenantID>()
        /// Each tenant's sequences, linked through their states.
        var queues: [TenantID: Ends] = [:]
        var count = 0
        /// Admissions there had been when it was last served or began to wait.
        var servedAt = 0
    }

    static let seniorLevel = SchedulerLimits.priorities.count

    static func level(ofPriority priority: Int) -> Int {
        priority - SchedulerLimits.priorities.lowerBound
    }

    private var classes: [PriorityClass]
    private let agingAdmissions: Int
    /// Admissions so far.
    private(set) var admissions = 0
    private(set) var count = 0
    private(set) var preemptedCount = 0
    /// Tokens of all that wait: what admitting them would have to compute, prefix hits aside.
    private(set) var tokenCount = 0

    init(agingAdmissions: Int) {
        self.agingAdmissions = agingAdmissions
        classes = Array(repeating: PriorityClass(), count: Self.seniorLevel + 1)
    }

    /// A new sequence joins the end of its tenant's queue.
    mutating func append(_ slot: Int, _ store: inout SequenceStore) {
        let level = store.states[slot].level
        let tenant = store.states[slot].tenant
        store.states[slot].phase = .waiting
        if let last = classes[level].queues[tenant]?.last {
            store.states[last].next = slot
            store.states[slot].previous = last
            classes[level].queues[tenant]?.last = slot
        } else {
            classes[level].queues[tenant] = Ends(first: slot, last: slot)
            classes[level].tenants.enter(tenant)
        }
        joined(level, store.states[slot])
    }

    /// A sequence that lost its blocks waits again, before those of its class that never ran.
    mutating func insertPreempted(_ slot: Int, _ store: inout SequenceStore) {
        let level = store.states[slot].level
        store.states[slot].phase = .preempted
        let place = preemptedPlace(level, store.states[slot].admission, store)
        classes[level].preempted.insert(slot, at: place)
        preemptedCount += 1
        joined(level, store.states[slot])
    }

    /// The slot to admit next; nil when none waits.
    mutating func next() -> Int? {
        guard let level = nextLevel() else { return nil }
        if let preempted = classes[level].preempted.first { return preempted }
        guard let tenant = classes[level].tenants.next() else { return nil }
        return classes[level].queues[tenant]?.first
    }

    /// Takes out the slot that `next` named, which is admitted.
    mutating func admit(_ slot: Int, _ store: inout SequenceStore) {
        let level = store.states[slot].level
        remove(slot, &store)
        admissions += 1
        classes[level].servedAt = admissions
    }

    /// Takes out a slot, wherever it waits.
    mutating func remove(_ slot: Int, _ store: inout SequenceStore) {
        let level = store.states[slot].level
        if store.states[slot].phase == .preempted {
            let place = preemptedPlace(level, store.states[slot].admission, store)
            precondition(classes[level].preempted[place] == slot)
            classes[level].preempted.remove(at: place)
            preemptedCount -= 1
        } else {
            unlink(slot, level, &store)
        }
        classes[level].count -= 1
        count -= 1
        tokenCount -= store.states[slot].tokens.count
    }

    /// Charges a tenant what it was served in the class of this level.
    mutating func charge(_ tenant: TenantID, level: Int, _ tokens: Double) {
        classes[level].tenants.charge(tenant, tokens)
    }

    mutating func setWeight(_ weight: Double, of tenant: TenantID) {
        for level in classes.indices { classes[level].tenants.setWeight(weight, of: tenant) }
    }

    private func nextLevel() -> Int? {
        guard count > 0 else { return nil }
        var best: Int?
        var bestScore = Int.min
        for level in stride(from: classes.count - 1, through: 0, by: -1)
        where classes[level].count > 0 {
            let score = level * agingAdmissions + admissions - classes[level].servedAt
            if score > bestScore { (best, bestScore) = (level, score) }
        }
        return best
    }

    private mutating func joined(_ level: Int, _ state: SequenceState) {
        if classes[level].count == 0 { classes[level].servedAt = admissions }
        classes[level].count += 1
        count += 1
        tokenCount += state.tokens.count
    }

    private mutating func unlink(_ slot: Int, _ level: Int, _ store: inout SequenceStore) {
        let tenant = store.states[slot].tenant
        let previous = store.states[slot].previous
        let next = store.states[slot].next
        store.states[slot].previous = -1
        store.states[slot].next = -1
        if previous >= 0 { store.states[previous].next = next }
        if next >= 0 { store.states[next].previous = previous }
        if previous < 0 && next < 0 {
            classes[level].queues[tenant] = nil
            classes[level].tenants.leave(tenant)
        } else if previous < 0 {
            classes[level].queues[tenant]?.first = next
        } else if next < 0 {
            classes[level].queues[tenant]?.last = previous
        }
    }

    /// Where a sequence of this first admission stands, or would, among the preempted of a level.
    private func preemptedPlace(_ level: Int, _ admission: Int, _ store: SequenceStore) -> Int {
        var low = 0
        var high = classes[level].preempted.count
        while low < high {
            let middle = (low + high) / 2
            if store.states[classes[level].preempted[middle]].admission < admission {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}

// MARK: - Integrity

extension WaitingQueue {
    func violations(_ store: SequenceStore) -> [String] {
        var found: [String] = []
        var seen: [Int] = []
        var tokens = 0
        for (level, group) in classes.enumerated() where group.count > 0 || !group.queues.isEmpty {
            let before = seen.count
            for slot in group.preempted where store.states[slot].phase != .preempted {
                found.append("slot \(slot) is not preempted but queued so")
            }
            seen += group.preempted
            for (tenant, ends) in group.queues {
                walk(ends, tenant, store, &seen, &found)
            }
            if seen.count - before != group.count {
                found.append("level \(level) miscounts its sequences")
            }
            if group.tenants.waitingCount != group.queues.count {
                found.append("level \(level) shares among other tenants than those that wait")
            }
            for slot in seen[before...] where store.states[slot].level != level {
                found.append("slot \(slot) waits in level \(level), not its own")
            }
            let most = (Self.seniorLevel - level) * agingAdmissions + classes.count
            if group.count > 0 && admissions - group.servedAt > most {
                found.append("level \(level) was passed over \(admissions - group.servedAt) times")
            }
        }
        for slot in seen { tokens += store.states[slot].tokens.count }
        if Set(seen).count != seen.count { found.append("a sequence waits twice") }
        if seen.count != count { found.append("\(seen.count) sequences wait, \(count) counted") }
        if tokens != tokenCount { found.append("\(tokens) tokens wait, \(tokenCount) counted") }
        if classes.reduce(0, { $0 + $1.preempted.count }) != preemptedCount {
            found.append("preempted sequences are miscounted")
        }
        return found
    }

    private func walk(
        _ ends: Ends, _ tenant: TenantID, _ store: SequenceStore, _ seen: inout [Int],
        _ found: inout [String]
    ) {
        var previous = -1
        var slot = ends.first
        while slot >= 0 && seen.count <= store.count {
            seen.append(slot)
            let state = store.states[slot]
            if state.phase != .waiting || state.tenant != tenant || state.previous != previous {
                found.append("slot \(slot) is misplaced in its tenant's queue")
            }
            previous = slot
            slot = state.next
        }
        if previous != ends.last { found.append("a tenant's queue does not end where it should") }
    }
}
