import HeapModule

/// Who is served next among tenants with work waiting: the one that has been served least, by a
/// virtual token counter for each (Sheng et al., "Fairness in Serving Large Language Models", OSDI
/// 2024, https://arxiv.org/abs/2401.00588).
///
/// - `charge` adds what a tenant was served to its counter, divided by its weight.
/// - `next` is the waiting tenant with the lowest counter; among equals, who began to wait first.
/// - A tenant that begins to wait is lifted to the lowest counter among those who wait (or, when
///   nobody does, to where the last one left), so that time without work earns no credit.
///
/// Between two tenants that both wait, what they were served, each divided by its weight, differs
/// by no more than the largest charges in flight. All operations cost O(log tenants), amortised. Of
/// tenants without work only `idleLimit` are remembered beyond those whose counter says nothing, so
/// memory follows the number that wait.
package struct FairShare<Tenant: Hashable & Sendable>: Sendable {
    private struct Account {
        var counter: Double
        /// Which of its waits this is; nil while it has no work waiting.
        var wait: UInt64?
    }

    private struct Place: Comparable {
        var counter: Double
        var wait: UInt64
        var tenant: Tenant

        static func == (a: Place, b: Place) -> Bool { a.wait == b.wait }
        static func < (a: Place, b: Place) -> Bool { (a.counter, a.wait) < (b.counter, b.wait) }
    }

    private var accounts: [Tenant: Account] = [:]
    private var weights: [Tenant: Double] = [:]
    /// Waiting tenants by counter. A place may be out of date (its tenant left, or was charged
    /// since): that shows when it comes up, and counters never fall, so the lowest that is up to
    /// date is the lowest.
    private var places = Heap<Place>()
    private var waits: UInt64 = 0
    /// Tenants with work waiting.
    package private(set) var waitingCount = 0
    /// The least that a tenant begins to wait with; it never falls.
    private var floor = 0.0
    /// Tenants without work that are remembered beyond those that wait.
    private let idleLimit: Int

    package init(idleLimit: Int = 4096) { self.idleLimit = idleLimit }

    /// A tenant of weight 2 gets twice the tokens of one of weight 1, which is what every tenant
    /// has at first.
    package mutating func setWeight(_ weight: Double, of tenant: Tenant) {
        precondition(weight > 0 && weight.isFinite, "a weight is a positive number")
        weights[tenant] = weight == 1 ? nil : weight
    }

    /// What the tenant was served so far, in weighted tokens, lifts included.
    package func counter(of tenant: Tenant) -> Double { accounts[tenant]?.counter ?? floor }

    /// Tenants that are remembered, waiting or not.
    package var accountCount: Int { accounts.count }

    /// The tenant has work waiting from now on. Nothing changes if it had already.
    package mutating func enter(_ tenant: Tenant) {
        guard accounts[tenant]?.wait == nil else { return }
        if waitingCount > 0, let least = nextPlace() { floor = max(floor, least.counter) }
        let counter = max(accounts[tenant]?.counter ?? floor, floor)
        waits += 1
        accounts[tenant] = Account(counter: counter, wait: waits)
        places.insert(Place(counter: counter, wait: waits, tenant: tenant))
        waitingCount += 1
        forgetIdle()
    }

    /// The tenant has no work waiting any more. It may still be charged.
    package mutating func leave(_ tenant: Tenant) {
        guard var account = accounts[tenant], account.wait != nil else { return }
        account.wait = nil
        accounts[tenant] = account
        waitingCount -= 1
        if waitingCount == 0 {
            floor = max(floor, account.counter)
            places = Heap()
        } else if places.count > 2 * waitingCount + 16 {
            let current = places.unordered.filter { accounts[$0.tenant]?.wait == $0.wait }
            places = Heap(current)
        }
    }

    /// Adds `tokens` to what the tenant was served.
    package mutating func charge(_ tenant: Tenant, _ tokens: Double) {
        precondition(tokens >= 0, "a charge is not negative")
        let cost = weights.isEmpty ? tokens : tokens / (weights[tenant] ?? 1)
        accounts[tenant, default: Account(counter: floor, wait: nil)].counter += cost
    }

    /// The waiting tenant to serve next; nil when none waits. Serving it is up to the caller:
    /// `charge`, and `leave` when that was its last work.
    package mutating func next() -> Tenant? {
        guard let place = nextPlace() else { return nil }
        floor = max(floor, place.counter)
        return place.tenant
    }

    private mutating func nextPlace() -> Place? {
        while var place = places.min {
            guard let account = accounts[place.tenant], account.wait == place.wait else {
                places.removeMin()
                continue
            }
            if account.counter == place.counter { return place }
            place.counter = account.counter
            places.replaceMin(with: place)
        }
        return nil
    }

    /// A tenant without work whose counter is at or below the floor would be lifted there on its
    /// return: forgetting it loses nothing. Should too many be above, the floor rises to the lowest
    /// of them. So even a stream of tenants that are new each time cannot keep one waiting for
    /// ever.
    private mutating func forgetIdle() {
        guard accounts.count > 2 * (waitingCount + idleLimit) else { return }
        let idle = accounts.values.filter { $0.wait == nil && $0.counter > floor }.map(\.counter)
            .sorted()
        if idle.count > idleLimit { floor = idle[idle.count - idleLimit - 1] }
        accounts = accounts.filter { $0.value.wait != nil || $0.value.counter > floor }
    }
}
