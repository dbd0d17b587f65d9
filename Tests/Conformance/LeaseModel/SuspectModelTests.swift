import Testing

/// I7 for requests that take workers down: every world of two workers, two requests that kill and one that does not, in
/// which workers die at any point once they hold one that kills, also between the store's answer and hearing it.
@Suite struct SuspectModelTests {
    /// What is done wrongly.
    enum Flaw: CaseIterable {
        /// The store leases suspects along with others.
        case suspectsInCompany
        /// A worker asks for a suspect while it holds something.
        case busyWorkerAsks
        /// Something is taken along with the suspect.
        case suspectGetsCompany
        /// Two crashes are too many already.
        case noAttemptLeft
    }

    struct World: Hashable {
        /// 0, 1: kill. 2: does not.
        static let innocent = 2
        static let maxAttempts = 3
        static let suspectCrashes = 2

        enum State: Hashable { case queued, leased(Int), done, dead }

        var states = [State](repeating: .queued, count: 3)
        var crashes = [0, 0, 0]
        /// Workers that hold a suspect.
        var alone = [false, false]

        func held(_ worker: Int) -> [Int] { states.indices.filter { states[$0] == .leased(worker) } }

        func isSuspect(_ i: Int) -> Bool { crashes[i] >= Self.suspectCrashes }

        /// What can happen next.
        func next(_ flaw: Flaw?) -> [World] {
            var worlds: [World] = []
            for worker in 0..<2 {
                let held = held(worker)
                let queued = states.indices.filter { states[$0] == .queued }
                if !alone[worker] || flaw == .suspectGetsCompany {
                    // Any others, in any number.
                    let others = queued.filter { flaw == .suspectsInCompany || !isSuspect($0) }
                    for choice in 1..<(1 << others.count) {
                        var world = self
                        for (bit, i) in others.enumerated() where choice >> bit & 1 == 1 {
                            world.states[i] = .leased(worker)
                        }
                        worlds.append(world)
                    }
                }
                if held.isEmpty || flaw == .busyWorkerAsks {
                    for i in queued where isSuspect(i) {
                        var world = self
                        world.states[i] = .leased(worker)
                        world.alone[worker] = true
                        worlds.append(world)
                    }
                }
                if held.contains(where: { $0 != Self.innocent }) {
                    // It dies; everything that it holds was in the crash. Others take it back later, and meanwhile
                    // nobody else has it, so that is one step here.
                    var world = self
                    for i in held { world.crash(i, flaw) }
                    world.alone[worker] = false
                    worlds.append(world)
                }
                if held.contains(Self.innocent) {
                    var world = self
                    world.states[Self.innocent] = .done
                    if held.count == 1 { world.alone[worker] = false }
                    worlds.append(world)
                }
                for i in held where !alone[worker] {
                    var world = self
                    world.states[i] = .queued
                    worlds.append(world)
                }
            }
            return worlds
        }

        private mutating func crash(_ i: Int, _ flaw: Flaw?) {
            crashes[i] += 1
            let limit = flaw == .noAttemptLeft ? Self.suspectCrashes : Self.maxAttempts
            states[i] = crashes[i] >= limit ? .dead : .queued
        }
    }

    private func explore(_ flaw: Flaw?) -> Set<World> {
        var seen: Set<World> = [World()]
        var left = [World()]
        while let world = left.popLast() {
            for next in world.next(flaw) where seen.insert(next).inserted { left.append(next) }
        }
        return seen
    }

    @Test func neighboursAreNeverDeadLettered() {
        let worlds = explore(nil)
        #expect(worlds.count > 500)
        #expect(worlds.allSatisfy { $0.states[World.innocent] != .dead })
        // What it is about comes up: the innocent is suspected, and tried alone; both killers are found.
        #expect(worlds.contains { $0.isSuspect(World.innocent) && $0.states[World.innocent] == .done })
        #expect(worlds.contains { $0.states == [.dead, .dead, .done] })
        // From everywhere it can be brought to its end.
        #expect(worlds.allSatisfy { $0.states == [.dead, .dead, .done] || !$0.next(nil).isEmpty })
    }

    @Test(arguments: Flaw.allCases)
    func eachFlawIsFound(_ flaw: Flaw) {
        #expect(explore(flaw).contains { $0.states[World.innocent] == .dead })
    }
}
