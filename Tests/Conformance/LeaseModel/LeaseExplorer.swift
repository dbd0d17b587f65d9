/// Visits every world that can be reached, breadth first, and checks each step that leads to one and each world.
struct LeaseExplorer {
    struct Violation: CustomStringConvertible {
        /// Of docs/ARCHITECTURE.md.
        var invariant: String
        var what: String
        /// What happened, from the beginning.
        var trace: [LeaseWorld.Event]

        var description: String {
            "\(invariant): \(what)\n" + trace.map { "  \($0)" }.joined(separator: "\n")
        }
    }

    /// Situations that must have come up, or the exploration has shown nothing about them.
    enum Sight: String, CaseIterable {
        case twoWorkersHoldOneRequest, oneWorkerHoldsTwoAttempts, lateSettleIsLost, lateSettleCounts
        case settleAfterCancelIsLost, settleIsRepeated, renewRevivesOverdueLease, deadLetter, expiredWhileLeased
        case lateLeaseIsOrphaned
    }

    struct Report {
        var worlds = 0
        var steps = 0
        var sights: Set<Sight> = []
        var violation: Violation?
    }

    private let cast: LeaseWorld.Cast
    private let flaw: LeaseStore.Flaw?
    /// Where each world was first reached from.
    private var parents: [UInt64: UInt64] = [:]
    private var endings: [UInt64: String?] = [:]
    private var report = Report()

    static func explore(_ cast: LeaseWorld.Cast, _ flaw: LeaseStore.Flaw? = nil) -> Report {
        var explorer = LeaseExplorer(cast, flaw)
        explorer.run()
        return explorer.report
    }

    private init(_ cast: LeaseWorld.Cast, _ flaw: LeaseStore.Flaw?) { (self.cast, self.flaw) = (cast, flaw) }

    private mutating func run() {
        let start = LeaseWorld().code
        parents[start] = start
        var frontier = [start]
        while !frontier.isEmpty {
            var next: [UInt64] = []
            for code in frontier {
                let world = LeaseWorld(code: code)
                for event in world.events(cast) {
                    var after = world
                    let exchange = after.take(event, flaw)
                    report.steps += 1
                    let reached = after.code
                    let isNew = parents[reached] == nil
                    if isNew { parents[reached] = code }
                    if let problem = problem(world, event, exchange, after, isNew: isNew) {
                        let trace = trace(to: code) + [event]
                        report.violation = Violation(invariant: problem.0, what: problem.1, trace: trace)
                        return
                    }
                    if isNew { next.append(reached) }
                }
            }
            report.worlds += frontier.count
            frontier = next
        }
    }

    /// The shortest way to a world.
    private func trace(to code: UInt64) -> [LeaseWorld.Event] {
        guard let parent = parents[code], parent != code else { return [] }
        let world = LeaseWorld(code: parent)
        let event = world.events(cast).first { event in
            var after = world
            _ = after.take(event, flaw)
            return after.code == code
        }
        return trace(to: parent) + (event.map { [$0] } ?? [])
    }

    // MARK: What must hold

    private mutating func problem(
        _ before: LeaseWorld, _ event: LeaseWorld.Event, _ exchange: LeaseWorld.Exchange?, _ after: LeaseWorld,
        isNew: Bool
    ) -> (String, String)? {
        if let problem = terminalIsLeft(before.store, after.store) { return ("I5", problem) }
        if let exchange {
            if let problem = fenceFails(before.store, exchange, after.store) { return ("I3", problem) }
            if case .granted(let grants) = exchange.answer {
                for grant in grants {
                    if let problem = grantFails(grant, before) { return problem }
                }
            }
            note(before, event, exchange)
        }
        guard isNew else { return nil }
        look(after)
        return inconsistency(after.store) ?? unfinished(after.store)
    }

    /// I5: nothing that has ended changes.
    private func terminalIsLeft(_ before: LeaseStore, _ after: LeaseStore) -> String? {
        for i in 0..<LeaseStore.itemCount where before[i].state.isTerminal && before[i] != after[i] {
            return "request \(i) was \(before[i]) and became \(after[i])"
        }
        return before.phase != .inProgress && before.phase != after.phase
            ? "the batch was \(before.phase) and became \(after.phase)" : nil
    }

    /// I3: a call with a lost lease changes nothing and hears so; one with a good lease is carried out, on its
    /// request alone.
    private func fenceFails(
        _ before: LeaseStore, _ exchange: LeaseWorld.Exchange, _ after: LeaseStore
    ) -> String? {
        guard let lease = exchange.call.grant else { return nil }
        let (i, attempt) = (lease.item, lease.attempt)
        let holds = before[i].state == .leased && before[i].attempt == attempt
        if !holds, before != after { return "\(exchange.call) with a lost lease changed \(before) to \(after)" }
        if exchange.answer != (holds ? .done : .lost) { return "\(exchange.call) was answered \(exchange.answer)" }
        if before[1 - i] != after[1 - i] { return "\(exchange.call) changed the other request" }
        if holds, case .settle = exchange.call, after[i].state != .completed || after[i].attempt != attempt {
            return "\(exchange.call) left \(after[i])"
        }
        return nil
    }

    private func grantFails(_ grant: LeaseStore.Grant, _ before: LeaseWorld) -> (String, String)? {
        let item = before.store[grant.item]
        if item.state != .queued || item.timed || before.store.phase != .inProgress || before.store.windowEnded {
            return ("I6", "\(grant) was leased from \(before.store)")
        }
        // What makes the attempt a fence: nobody has ever had this one.
        let held = (before.holds.0 | before.holds.1) & LeaseWorld.bit(grant) != 0
        if grant.attempt <= item.attempt || held || before.late == .with(grant) {
            return ("I3", "\(grant) was granted before")
        }
        if grant.attempt > LeaseWorld.maxAttempt { return ("I9", "\(grant): attempts have no end") }
        return nil
    }

    /// I1 and I4, at every instant.
    private func inconsistency(_ store: LeaseStore) -> (String, String)? {
        let items = [store.first, store.second]
        for (i, item) in items.enumerated() where item.outcomes != (item.state.isTerminal ? 1 : 0) {
            return ("I1", "request \(i) is \(item.state) with \(item.outcomes) outcomes")
        }
        let ended = items.allSatisfy(\.state.isTerminal)
        if (store.phase != .inProgress) != ended { return ("I1", "the batch is \(store.phase) with \(items)") }
        let outcomes = items.map(\.outcomes).reduce(0, +)
        return store.counted == outcomes ? nil : ("I4", "\(store.counted) counted, \(outcomes) outcomes")
    }

    /// I1, that it ends: from every world, one worker that does not fail brings everything to an outcome.
    private mutating func unfinished(_ store: LeaseStore) -> (String, String)? {
        if let known = endings[store.code] { return known.map { ("I1", $0) } }
        var end = store
        for _ in 0...LeaseWorld.maxAttempt {
            for i in 0..<LeaseStore.itemCount { end[i].timed = end[i].state == .leased }
            _ = end.apply(.recover, flaw)
            guard case .granted(let grants) = end.apply(.lease(max: 2), flaw) else { break }
            for grant in grants { _ = end.apply(.settle(grant.item, attempt: grant.attempt), flaw) }
        }
        let problem = end.phase == .inProgress ? "work ends at \(end)" : inconsistency(end)?.1
        endings[store.code] = .some(problem)
        return problem.map { ("I1", $0) }
    }

    // MARK: What came up

    private mutating func look(_ world: LeaseWorld) {
        let (a, b) = world.holds
        for item in 0..<LeaseStore.itemCount {
            let (x, y) = (a >> UInt8(item * 4) & 15, b >> UInt8(item * 4) & 15)
            if x != 0, y != 0 { report.sights.insert(.twoWorkersHoldOneRequest) }
            if x.nonzeroBitCount > 1 || y.nonzeroBitCount > 1 { report.sights.insert(.oneWorkerHoldsTwoAttempts) }
            if world.store[item].state == .failed { report.sights.insert(.deadLetter) }
        }
    }

    private mutating func note(_ before: LeaseWorld, _ event: LeaseWorld.Event, _ exchange: LeaseWorld.Exchange) {
        let arrives = if case .arrives = event { true } else { false }
        switch (exchange.call, exchange.answer) {
        case (.settle(let i, let attempt), .lost):
            if arrives { report.sights.insert(.lateSettleIsLost) }
            if before.store.phase == .cancelled { report.sights.insert(.settleAfterCancelIsLost) }
            let item = before.store[i]
            if item.state == .completed, item.attempt == attempt { report.sights.insert(.settleIsRepeated) }
        case (.settle, .done): if arrives { report.sights.insert(.lateSettleCounts) }
        case (.renew(let i, _), .done): if before.store[i].timed { report.sights.insert(.renewRevivesOverdueLease) }
        case (.lease, .granted(let grants)):
            if arrives, !grants.isEmpty { report.sights.insert(.lateLeaseIsOrphaned) }
        case (.recover, _):
            if before.store.windowEnded, before.store.first.state == .leased {
                report.sights.insert(.expiredWhileLeased)
            }
        default: break
        }
    }
}
