/// One batch of two requests as a store keeps it, reduced to what decides who may do what, with each transition as a
/// pure function. Small enough to be explored whole (`LeaseExplorer`); `LeaseReplayTests` holds the real stores to it.
///
/// Time is reduced to what it changes: a lease is overdue or not, a retry waits or not, the window has ended or not.
struct LeaseStore: Hashable {
    enum ItemState: UInt8, CaseIterable {
        case queued, leased, completed, failed, cancelled, expired

        var isTerminal: Bool { rawValue > Self.leased.rawValue }
    }

    enum BatchPhase: UInt8, CaseIterable { case inProgress, completed, cancelled, expired }

    struct Item: Hashable {
        var state = ItemState.queued
        var attempt = 0
        var failures = 0
        /// Leased: past its time. Queued: waits for a retry's time.
        var timed = false
        /// Outcomes that were ever written for it.
        var outcomes = 0
    }

    enum Call: Hashable {
        case lease(max: Int)
        case renew(Int, attempt: Int)
        case settle(Int, attempt: Int)
        /// `ReleaseReason.handedBack`
        case handBack(Int, attempt: Int)
        /// `ReleaseReason.failed`
        case fail(Int, attempt: Int, waits: Bool)
        case recover
        case cancel

        /// The lease that it carries.
        var grant: Grant? {
            switch self {
            case .renew(let i, let attempt), .settle(let i, let attempt), .handBack(let i, let attempt),
                .fail(let i, let attempt, _):
                Grant(item: i, attempt: attempt)
            case .lease, .recover, .cancel: nil
            }
        }
    }

    enum Answer: Hashable {
        case granted([Grant])
        case done
        case lost
        case moved(Int)
        /// The batch had ended otherwise.
        case wrongState
    }

    struct Grant: Hashable {
        var item: Int
        var attempt: Int
    }

    /// Ways in which a store may be wrong, each of which the explorer has to find.
    enum Flaw: String, CaseIterable {
        case settleIgnoresAttempt, settleIgnoresState, renewIgnoresAttempt, handBackIgnoresAttempt
        case failIgnoresState, recoverKeepsAttemptNumber, recoverForgetsFailure, recoverWritesNoOutcome
        case recoverSkipsRequest, settleCountsTwice, settleLeavesBatchOpen, cancelSparesLeased, cancelReopens
        case leaseAfterCancel, leaseAfterWindow, expiryOverwrites
    }

    /// Failed attempts after which a request is dead-lettered.
    static let maxAttempts = 2
    static let itemCount = 2

    var first = Item()
    var second = Item()
    var phase = BatchPhase.inProgress
    var windowEnded = false
    /// Outcomes in the batch's sums.
    var counted = 0

    subscript(i: Int) -> Item {
        get { i == 0 ? first : second }
        set { if i == 0 { first = newValue } else { second = newValue } }
    }

    mutating func apply(_ call: Call, _ flaw: Flaw?) -> Answer {
        switch call {
        case .lease(let max): .granted(lease(max, flaw))
        case .renew(let i, let attempt):
            fenced(i, attempt, ignoresAttempt: flaw == .renewIgnoresAttempt) { $0[i].timed = false }
        case .settle(let i, let attempt):
            fenced(
                i, attempt, ignoresAttempt: flaw == .settleIgnoresAttempt,
                ignoresState: flaw == .settleIgnoresState
            ) { store in
                store.end(i, .completed)
                if flaw == .settleCountsTwice { store.counted += 1 }
                if flaw != .settleLeavesBatchOpen { store.endIfDone() }
            }
        case .handBack(let i, let attempt):
            fenced(i, attempt, ignoresAttempt: flaw == .handBackIgnoresAttempt) { $0.requeue(i, waits: false) }
        case .fail(let i, let attempt, let waits):
            fenced(i, attempt, ignoresState: flaw == .failIgnoresState) { store in
                store.failAttempt(i, waits: waits)
                store.endIfDone()
            }
        case .recover: .moved(recover(flaw))
        case .cancel: cancel(flaw)
        }
    }

    private mutating func lease(_ max: Int, _ flaw: Flaw?) -> [Grant] {
        guard phase == .inProgress || (flaw == .leaseAfterCancel && phase == .cancelled),
            !windowEnded || flaw == .leaseAfterWindow
        else { return [] }
        var grants: [Grant] = []
        for i in 0..<Self.itemCount where grants.count < max && !self[i].timed {
            guard self[i].state == .queued || (flaw == .leaseAfterCancel && self[i].state == .cancelled) else {
                continue
            }
            self[i].state = .leased
            if flaw != .recoverKeepsAttemptNumber || self[i].failures == 0 { self[i].attempt += 1 }
            grants.append(Grant(item: i, attempt: self[i].attempt))
        }
        return grants
    }

    private mutating func fenced(
        _ i: Int, _ attempt: Int, ignoresAttempt: Bool = false, ignoresState: Bool = false,
        _ change: (inout LeaseStore) -> Void
    ) -> Answer {
        guard self[i].state == .leased || ignoresState, self[i].attempt == attempt || ignoresAttempt else {
            return .lost
        }
        change(&self)
        return .done
    }

    private mutating func end(_ i: Int, _ state: ItemState) {
        self[i].state = state
        self[i].timed = false
        self[i].outcomes += 1
        counted += 1
    }

    private mutating func requeue(_ i: Int, waits: Bool) {
        self[i].state = .queued
        self[i].timed = waits
    }

    private mutating func failAttempt(_ i: Int, waits: Bool) {
        self[i].failures += 1
        if self[i].failures >= Self.maxAttempts { end(i, .failed) } else { requeue(i, waits: waits) }
    }

    private mutating func endIfDone() {
        if phase == .inProgress, first.state.isTerminal, second.state.isTerminal { phase = .completed }
    }

    private mutating func endAll(_ state: ItemState, _ phase: BatchPhase, sparing: ItemState? = nil) -> Int {
        let open = (0..<Self.itemCount).filter { !self[$0].state.isTerminal && self[$0].state != sparing }
        for i in open { end(i, state) }
        self.phase = phase
        return open.count
    }

    private mutating func recover(_ flaw: Flaw?) -> Int {
        if windowEnded, phase == .inProgress {
            if flaw == .expiryOverwrites, first.state == .completed { first.state = .expired }
            return endAll(.expired, .expired)
        }
        let late = (0..<Self.itemCount).filter { self[$0].state == .leased && self[$0].timed }
        for i in late {
            switch flaw {
            case .recoverForgetsFailure: requeue(i, waits: false)
            case .recoverWritesNoOutcome where self[i].failures + 1 >= Self.maxAttempts:
                self[i].state = .failed
                counted += 1
            case .recoverSkipsRequest where i == 1: continue
            default: failAttempt(i, waits: false)
            }
        }
        endIfDone()
        return late.count
    }

    private mutating func cancel(_ flaw: Flaw?) -> Answer {
        switch phase {
        case .cancelled: break
        case .completed, .expired:
            guard flaw == .cancelReopens else { return .wrongState }
            phase = .cancelled
        case .inProgress: _ = endAll(.cancelled, .cancelled, sparing: flaw == .cancelSparesLeased ? .leased : nil)
        }
        return .done
    }
}
