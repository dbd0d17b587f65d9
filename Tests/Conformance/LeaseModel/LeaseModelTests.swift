import Testing

/// The lease protocol, explored whole for two requests: docs/lease-protocol.md.
@Suite struct LeaseModelTests {
    @Test func twoWorkersKeepTheInvariants() {
        let report = LeaseExplorer.explore(.twoWorkers)
        #expect(report.violation == nil)
        #expect(report.worlds > 50_000)
        let unseen = LeaseExplorer.Sight.allCases.filter { !report.sights.contains($0) }
        #expect(unseen == [.lateSettleIsLost, .lateSettleCounts, .lateLeaseIsOrphaned])
    }

    #if !DEBUG
        /// Two minutes in a debug build, seconds in a release build.
        @Test func lateCallsDoNoHarm() {
            let report = LeaseExplorer.explore(.twoWorkersAndLateCall)
            #expect(report.violation == nil)
            #expect(report.worlds > 400_000)
            #expect(LeaseExplorer.Sight.allCases.filter { !report.sights.contains($0) } == [])
        }
    #endif

    /// Nothing that is not granted can do harm, whoever asks for it and however often.
    @Test func anyoneMayAskAtAnyTime() {
        let report = LeaseExplorer.explore(.anyone)
        #expect(report.violation == nil)
        #expect(report.worlds > 1000)
    }

    /// The explorer finds each way in which the store may be wrong.
    @Test(arguments: LeaseStore.Flaw.allCases, [LeaseWorld.Cast.twoWorkers, .anyone])
    func flawIsFound(_ flaw: LeaseStore.Flaw, cast: LeaseWorld.Cast) throws {
        let violation = try #require(LeaseExplorer.explore(cast, flaw).violation)
        #expect(expected(flaw).contains(violation.invariant), "\(violation)")
        #expect(!violation.trace.isEmpty)
    }

    private func expected(_ flaw: LeaseStore.Flaw) -> Set<String> {
        switch flaw {
        case .settleIgnoresAttempt, .renewIgnoresAttempt, .handBackIgnoresAttempt, .recoverKeepsAttemptNumber: ["I3"]
        case .settleIgnoresState, .failIgnoresState: ["I3", "I5"]
        case .cancelReopens, .expiryOverwrites: ["I5"]
        case .recoverWritesNoOutcome, .recoverSkipsRequest, .settleLeavesBatchOpen, .cancelSparesLeased: ["I1"]
        // The extra count is seen by both checks.
        case .settleCountsTwice: ["I1", "I4"]
        case .leaseAfterCancel: ["I1", "I5", "I6"]
        case .leaseAfterWindow: ["I6"]
        case .recoverForgetsFailure: ["I9"]
        }
    }

    @Test func worldsComeBackFromTheirCode() {
        var world = LeaseWorld()
        var random = SplitMix(state: 1)
        for _ in 0..<2000 {
            let events = world.events(.twoWorkersAndLateCall)
            _ = world.take(events[Int.random(in: events.indices, using: &random)], nil)
            let again = LeaseWorld(code: world.code)
            #expect(again.code == world.code)
            #expect(again.store == world.store)
            #expect(again.late == world.late)
            #expect(Set([again.holds.0, again.holds.1]) == Set([world.holds.0, world.holds.1]))
            if world.store.phase != .inProgress, Int.random(in: 0..<9, using: &random) == 0 { world = LeaseWorld() }
        }
    }
}
