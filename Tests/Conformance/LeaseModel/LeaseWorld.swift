/// The store, two workers and a network that loses, delays and cuts: everything that decides what happens next.
///
/// A worker calls one thing at a time. What can go wrong with a call is its fate; what can go wrong with a worker is
/// that it forgets (kill -9) or does nothing for as long as others like (SIGSTOP, a slow engine), which needs no event.
struct LeaseWorld: Hashable {
    /// What becomes of a call.
    enum Fate: UInt8, CaseIterable {
        case answered
        /// Carried out, but the reply is lost: the worker does not know.
        case unanswered
        /// The worker gave up waiting; the call is still under way and arrives later, or never.
        case late
    }

    enum Event: Hashable {
        case call(worker: Int, LeaseStore.Call, Fate)
        /// A late call arrives; nobody hears the answer.
        case arrives(LeaseStore.Call)
        /// The late call never arrives.
        case vanishes
        case crash(worker: Int)
        /// Any worker that lives, or the one that was started instead.
        case recover
        /// A client; also stands for its late and repeated calls, since it may come at any time.
        case cancel
        /// A lease is past its time, or a retry's time has come.
        case timePasses(Int)
        case windowEnds
    }

    /// Who is there besides the store.
    enum Cast: CaseIterable {
        /// Two workers whose calls may go unanswered but are never late.
        case twoWorkers
        /// Two workers, and one late call at a time.
        case twoWorkersAndLateCall
        /// Any number of workers and of late and repeated calls: whatever could ever be asked, with any lease that was
        /// ever granted, may arrive at any time. What holds here holds for every way in which workers may behave.
        case anyone
    }

    /// A late call under way that nobody waits for any more, by what it carries. Which call it is shows when it
    /// arrives: that allows more than can happen, and keeps worlds few.
    enum Late: Hashable {
        case none, lease, with(LeaseStore.Grant)
    }

    /// A worker hands back attempts up to this one, so that attempts are bounded: each one ends in a hand-back or
    /// counts as a failure.
    static let maxHandBacks = 1
    static let maxAttempt = maxHandBacks + LeaseStore.maxAttempts

    var store = LeaseStore()
    /// Leases that each worker believes it has: bit `attempt - 1` of nibble `item`. More than one attempt of a
    /// request at a time is possible: it expired and came back to the same worker.
    var holds: (UInt8, UInt8) = (0, 0)
    var late = Late.none

    static func == (a: Self, b: Self) -> Bool { a.code == b.code }
    func hash(into hasher: inout Hasher) { hasher.combine(code) }

    subscript(worker w: Int) -> UInt8 {
        get { w == 0 ? holds.0 : holds.1 }
        set { if w == 0 { holds.0 = newValue } else { holds.1 = newValue } }
    }

    static func bit(_ grant: LeaseStore.Grant) -> UInt8 { 1 << UInt8(grant.item * 4 + grant.attempt - 1) }

    func held(by w: Int) -> [LeaseStore.Grant] {
        guard self[worker: w] != 0 else { return [] }
        return Self.allGrants.filter { self[worker: w] & Self.bit($0) != 0 }
    }

    private static let allGrants = (0..<LeaseStore.itemCount).flatMap { item in
        (1...maxAttempt).map { LeaseStore.Grant(item: item, attempt: $0) }
    }

    // MARK: Events

    /// Everything that can happen next.
    func events(_ cast: Cast) -> [Event] {
        var events: [Event] = [.recover, .cancel]
        for i in 0..<LeaseStore.itemCount {
            let item = store[i]
            if (item.state == .leased && !item.timed) || (item.state == .queued && item.timed) {
                events.append(.timePasses(i))
            }
        }
        if !store.windowEnded { events.append(.windowEnds) }
        switch cast {
        case .twoWorkers, .twoWorkersAndLateCall:
            // Workers are alike, so worker 1 needs no events of its own while it holds what worker 0 holds.
            for w in 0..<(holds.0 == holds.1 ? 1 : 2) {
                events += self.events(ofWorker: w, mayBeLate: cast == .twoWorkersAndLateCall && late == .none)
            }
            switch late {
            case .none: break
            case .lease: events += Self.leaseCalls.map(Event.arrives) + [.vanishes]
            case .with(let grant): events += Self.calls(with: grant).map(Event.arrives) + [.vanishes]
            }
        case .anyone:
            events += Self.leaseCalls.map(Event.arrives)
            for grant in Self.allGrants where grant.attempt <= store[grant.item].attempt {
                events += Self.calls(with: grant).map(Event.arrives)
            }
        }
        return events
    }

    private func events(ofWorker w: Int, mayBeLate: Bool) -> [Event] {
        var events: [Event] = []
        for call in Self.leaseCalls + held(by: w).flatMap(Self.calls) {
            events.append(.call(worker: w, call, .answered))
            events.append(.call(worker: w, call, .unanswered))
            if mayBeLate { events.append(.call(worker: w, call, .late)) }
        }
        if self[worker: w] != 0 { events.append(.crash(worker: w)) }
        return events
    }

    private static let leaseCalls: [LeaseStore.Call] = [.lease(max: 1), .lease(max: 2)]

    private static func calls(with grant: LeaseStore.Grant) -> [LeaseStore.Call] {
        let (i, attempt) = (grant.item, grant.attempt)
        let calls: [LeaseStore.Call] = [
            .renew(i, attempt: attempt), .settle(i, attempt: attempt), .fail(i, attempt: attempt, waits: false),
            .fail(i, attempt: attempt, waits: true),
        ]
        return attempt > maxHandBacks ? calls : calls + [.handBack(i, attempt: attempt)]
    }

    /// What the store was asked in an event, and what it answered.
    struct Exchange {
        var call: LeaseStore.Call
        var answer: LeaseStore.Answer
    }

    mutating func take(_ event: Event, _ flaw: LeaseStore.Flaw?) -> Exchange? {
        switch event {
        case .call(_, let call, .late):
            late = call.grant.map(Late.with) ?? .lease
        case .call(let w, let call, let fate):
            let answer = store.apply(call, flaw)
            if fate == .answered { learn(w, call, answer) }
            return Exchange(call: call, answer: answer)
        case .arrives(let call):
            late = .none
            return Exchange(call: call, answer: store.apply(call, flaw))
        case .vanishes: late = .none
        case .crash(let w): self[worker: w] = 0
        case .recover: return Exchange(call: .recover, answer: store.apply(.recover, flaw))
        case .cancel: return Exchange(call: .cancel, answer: store.apply(.cancel, flaw))
        case .timePasses(let i): store[i].timed.toggle()
        case .windowEnds: store.windowEnded = true
        }
        return nil
    }

    /// A worker hears an answer. One that hears nothing keeps what it has, and may ask again.
    private mutating func learn(_ w: Int, _ call: LeaseStore.Call, _ answer: LeaseStore.Answer) {
        switch (call, answer) {
        case (.lease, .granted(let grants)): for grant in grants { self[worker: w] |= Self.bit(grant) }
        case (.renew, .done): break
        default: if let grant = call.grant { self[worker: w] &= ~Self.bit(grant) }
        }
    }

    // MARK: Coding

    /// The same for worlds that differ only in which worker is which. 50 bits.
    var code: UInt64 {
        var code = store.code
        code = code << 8 | UInt64(min(holds.0, holds.1))
        code = code << 8 | UInt64(max(holds.0, holds.1))
        let late: UInt64 =
            switch late {
            case .none: 0
            case .lease: 1
            case .with(let grant): UInt64(grant.item << 3 | grant.attempt << 1)
            }
        return code << 6 | late
    }

    init() {}

    init(code: UInt64) {
        late =
            switch code & 63 {
            case 0: .none
            case 1: .lease
            case let late: .with(LeaseStore.Grant(item: Int(late >> 3 & 7), attempt: Int(late >> 1 & 3)))
            }
        holds = (UInt8(code >> 14 & 255), UInt8(code >> 6 & 255))
        store = LeaseStore(code: code >> 22)
    }
}

extension LeaseStore {
    /// 28 bits. Numbers that only a flawed store reaches are cut off at their limit.
    var code: UInt64 {
        var code = UInt64(phase.rawValue)
        code = code << 1 | (windowEnded ? 1 : 0)
        code = code << 3 | UInt64(min(counted, 7))
        for item in [first, second] {
            code = code << 3 | UInt64(item.state.rawValue)
            code = code << 3 | UInt64(min(item.attempt, 7))
            code = code << 2 | UInt64(min(item.failures, 3))
            code = code << 1 | (item.timed ? 1 : 0)
            code = code << 2 | UInt64(min(item.outcomes, 3))
        }
        return code
    }

    init(code: UInt64) {
        var code = code
        func bits(_ count: UInt64) -> UInt64 {
            defer { code >>= count }
            return code & (1 << count - 1)
        }
        for i in [1, 0] {
            self[i].outcomes = Int(bits(2))
            self[i].timed = bits(1) == 1
            self[i].failures = Int(bits(2))
            self[i].attempt = Int(bits(3))
            self[i].state = ItemState(rawValue: UInt8(bits(3))) ?? .queued
        }
        counted = Int(bits(3))
        windowEnded = bits(1) == 1
        phase = BatchPhase(rawValue: UInt8(bits(2))) ?? .inProgress
    }
}
