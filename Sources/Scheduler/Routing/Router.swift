/// What is known of a request when it is sent somewhere.
package struct RequestFacts: Sendable, Equatable {
    package var model: String
    package var tenant: String
    /// Names the request for good: its batch and its custom_id. Retries are decided alike.
    package var identity: [UInt8]

    package init(model: String, tenant: String, identity: [UInt8] = []) {
        self.model = model
        self.tenant = tenant
        self.identity = identity
    }
}

/// How things are when a request is sent somewhere.
package struct RouterState: Sendable, Equatable {
    /// Backends that take nothing now, and why.
    package var parked: [String: String]
    /// Part of an upstream's day budget that is left, 0 to 1; absent: not limited.
    package var budgetLeft: [String: Double]
    /// Tokens that wait for local workers of the request's model.
    package var localBacklogTokens: Int
    /// Whether the request's batch is late unless it gets help.
    package var isDeadlineAtRisk: Bool

    package init(
        parked: [String: String] = [:], budgetLeft: [String: Double] = [:], localBacklogTokens: Int = 0,
        isDeadlineAtRisk: Bool = false
    ) {
        self.parked = parked
        self.budgetLeft = budgetLeft
        self.localBacklogTokens = localBacklogTokens
        self.isDeadlineAtRisk = isDeadlineAtRisk
    }
}

/// Where a request goes, and why.
package struct RouteDecision: Sendable, Equatable {
    package enum Place: Sendable, Equatable {
        case backend(Route.Target)
        /// Every backend of the route is parked: keep it until one is not.
        case wait
        /// No route is for it: it fails with `model_not_found`.
        case none
    }

    package var place: Place
    /// The route's name; empty where none suits.
    package var route: String
    /// A sentence for people.
    package var reason: String

    package init(place: Place, route: String, reason: String) {
        self.place = place
        self.route = route
        self.reason = reason
    }

    package var target: Route.Target? { if case .backend(let target) = place { target } else { nil } }
}

/// Decides where requests go. Pure, and the same for a request each time it is asked, as long as nothing is parked and
/// no rule to spill begins or ends to hold.
package struct Router: Sendable, Equatable {
    package var routes: [Route]

    package init(routes: [Route]) { self.routes = routes }

    /// The first route for the model and tenant.
    package func route(model: String, tenant: String) -> Route? {
        routes.first { $0.suits(model: model, tenant: tenant) }
    }

    package func decide(_ facts: RequestFacts, _ state: RouterState = RouterState()) -> RouteDecision {
        guard let route = route(model: facts.model, tenant: facts.tenant) else {
            return RouteDecision(
                place: .none, route: "",
                reason: "no route is for model \"\(facts.model)\" of tenant \"\(facts.tenant)\"")
        }
        func decision(_ place: RouteDecision.Place, _ reason: String) -> RouteDecision {
            RouteDecision(place: place, route: route.name, reason: reason)
        }
        if let (target, why) = spill(route, state) { return decision(.backend(target), why) }
        let point = Self.point(facts.identity)
        if let first = Self.pick(route.targets, point) {
            if state.parked[first.backend] == nil {
                return decision(.backend(first), Self.share(of: first, in: route.targets))
            }
            let why = "\(first.backend) is parked: \(state.parked[first.backend] ?? "")"
            let open = route.targets.filter { state.parked[$0.backend] == nil }
            if let other = Self.pick(open, point) {
                return decision(.backend(other), "\(why); \(Self.share(of: other, in: open)) among the others")
            }
            if let next = route.fallbacks.first(where: { state.parked[$0.backend] == nil }) {
                return decision(.backend(next), "\(why); fallback")
            }
            return decision(.wait, why + "; so is everything else of the route")
        }
        return decision(.wait, "the route has no backends")
    }

    private func spill(_ route: Route, _ state: RouterState) -> (Route.Target, String)? {
        guard let rule = route.spill, state.parked[rule.to.backend] == nil else { return nil }
        let left = state.budgetLeft[rule.to.backend] ?? 1
        guard left >= rule.budgetLeft else { return nil }
        if rule.whenDeadlineAtRisk, state.isDeadlineAtRisk {
            return (rule.to, "spilled: the batch would miss its deadline")
        }
        if let most = rule.whenBacklogTokens, state.localBacklogTokens > most {
            return (rule.to, "spilled: \(state.localBacklogTokens) tokens wait locally, more than \(most)")
        }
        return nil
    }

    private static func share(of target: Route.Target, in targets: [Route.Target]) -> String {
        if targets.count == 1 { return "the route's only backend" }
        return "its share of the route (weight \(target.weight) of \(targets.reduce(0) { $0 + $1.weight }))"
    }

    private static func pick(_ targets: [Route.Target], _ point: Double) -> Route.Target? {
        let total = targets.reduce(0) { $0 + $1.weight }
        var rest = point * Double(total)
        for target in targets {
            rest -= Double(target.weight)
            if rest < 0 { return target }
        }
        return targets.last
    }

    /// In 0..<1, evenly spread: FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) with SplitMix64's finish, since
    /// FNV's high bits are poor for short names.
    static func point(_ identity: [UInt8]) -> Double {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in identity { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        hash ^= hash >> 31
        return Double(hash >> 11) / Double(1 << 53)
    }
}
