import Scheduler
import Testing

@Suite struct FairShareTests {
    /// Serves `rounds` times whoever is next, at the tenant's cost; returns what each got.
    private func serve(_ share: inout FairShare<String>, rounds: Int, costs: [String: Double])
        -> [String: Double]
    {
        var served: [String: Double] = [:]
        for _ in 0..<rounds {
            guard let tenant = share.next() else { break }
            share.charge(tenant, costs[tenant] ?? 1)
            served[tenant, default: 0] += costs[tenant] ?? 1
        }
        return served
    }

    @Test func tenantsThatWaitGetEqualTokensNotEqualTurns() {
        var share = FairShare<String>()
        for tenant in ["a", "b"] { share.enter(tenant) }
        let served = serve(&share, rounds: 1100, costs: ["a": 100, "b": 10])
        #expect(served == ["a": 10_000, "b": 10_000])
    }

    @Test func weightsScaleShares() {
        var share = FairShare<String>()
        share.setWeight(3, of: "a")
        for tenant in ["a", "b"] { share.enter(tenant) }
        #expect(serve(&share, rounds: 400, costs: [:]) == ["a": 300, "b": 100])
    }

    @Test func whoBeganToWaitFirstGoesFirstAmongEquals() {
        var share = FairShare<String>()
        for tenant in ["b", "a", "c"] { share.enter(tenant) }
        #expect(share.next() == "b")
        share.leave("b")
        #expect(share.next() == "a")
    }

    @Test func timeWithoutWorkEarnsNoCredit() {
        var share = FairShare<String>()
        share.enter("a")
        _ = serve(&share, rounds: 1000, costs: [:])
        share.enter("b")
        #expect(serve(&share, rounds: 100, costs: [:]) == ["a": 50, "b": 50])
    }

    @Test func leavingAndComingBackEarnsNothingEither() {
        var share = FairShare<String>()
        for tenant in ["a", "b"] { share.enter(tenant) }
        var served: [String: Int] = [:]
        for _ in 0..<1000 {
            guard let tenant = share.next() else { break }
            share.charge(tenant, 1)
            served[tenant, default: 0] += 1
            share.leave(tenant)
            share.enter(tenant)
        }
        #expect(served == ["a": 500, "b": 500])
    }

    @Test func aTenantIsChargedAlsoWhenNoWorkOfItsWaits() {
        var share = FairShare<String>()
        for tenant in ["a", "b"] { share.enter(tenant) }
        share.leave("a")
        share.charge("a", 10)
        share.enter("a")
        #expect(serve(&share, rounds: 10, costs: [:]) == ["b": 10])
    }

    @Test func nobodyWaitsNobodyIsNext() {
        var share = FairShare<String>()
        #expect(share.next() == nil)
        share.enter("a")
        share.leave("a")
        share.leave("a")
        #expect(share.next() == nil && share.waitingCount == 0)
    }

    @Test func memoryFollowsThoseThatWait() {
        var share = FairShare<Int>(idleLimit: 10)
        for tenant in 0..<10_000 {
            share.enter(tenant)
            share.charge(tenant, Double(tenant % 7))
            share.leave(tenant)
        }
        #expect(share.accountCount <= 25)
    }

    /// Each newcomer begins with the lowest counter, and the next is there before it is served.
    @Test func tenantsThatAreNewEachTimeStarveNobody() {
        var share = FairShare<Int>(idleLimit: 10)
        share.enter(0)
        share.charge(0, 5)
        share.enter(1)
        for newcomer in 2..<1000 {
            share.enter(newcomer)
            guard let tenant = share.next(), tenant != 0 else { return }
            share.charge(tenant, 2)
            share.leave(tenant)
        }
        Issue.record("tenant 0 starves")
    }

    /// The counter rules, done the slow way.
    @Test func agreesWithItsDefinition() {
        var random = SeededGenerator(seed: 3)
        var share = FairShare<Int>()
        var counters: [Int: Double] = [:]
        var waiting: [Int] = []
        var floor = 0.0
        for _ in 0..<20_000 {
            let tenant = random.int(0...5)
            switch random.int(0...3) {
            case 0:
                share.enter(tenant)
                guard !waiting.contains(tenant) else { break }
                floor = max(floor, waiting.map { counters[$0, default: 0] }.min() ?? 0)
                counters[tenant] = max(counters[tenant, default: 0], floor)
                waiting.append(tenant)
            case 1:
                share.leave(tenant)
                guard waiting.contains(tenant) else { break }
                waiting.removeAll { $0 == tenant }
                if waiting.isEmpty { floor = max(floor, counters[tenant, default: 0]) }
            default:
                let cost = Double(random.int(0...9))
                share.charge(tenant, cost)
                counters[tenant] = max(counters[tenant] ?? floor, 0) + cost
            }
            var expected: Int?
            for candidate in waiting {
                guard let best = expected else {
                    expected = candidate
                    continue
                }
                if counters[candidate, default: 0] < counters[best, default: 0] {
                    expected = candidate
                }
            }
            if let expected { floor = max(floor, counters[expected, default: 0]) }
            #expect(share.next() == expected)
        }
    }
}
