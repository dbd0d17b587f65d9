import Foundation
import Scheduler

/// `routes.toml`: backends, routes, prices and caps. Read once, checked whole; docs/routes.md describes it.
package struct RouteConfiguration: Sendable, Equatable {
    package struct Cap: Sendable, Equatable {
        package var tenants: [NamePattern]
        package var per: SpendScope.Kind
        package var cap: SpendCap
    }

    /// By name.
    package var backends: [String: BackendConfiguration]
    package var router: Router
    package var prices: PriceTable
    package var caps: [Cap]
    /// For tenants' keys; nil: tenants cannot bring any.
    package var masterKey: SecretSource?

    package static func read(_ path: String) throws(ConfigurationError) -> RouteConfiguration {
        try RouteConfiguration(TOMLNode.read(path))
    }

    package init(_ document: TOMLNode) throws(ConfigurationError) {
        try document.allow(["backend", "route", "price", "cap", "master_key"])
        backends = [:]
        for member in document["backend"]?.members ?? [] {
            backends[member.name] = try BackendConfiguration(member.node, name: member.name)
        }
        let known = backends
        var routes: [Route] = []
        for node in try document["route"]?.items() ?? [] { routes.append(try Self.route(node, known)) }
        guard !routes.isEmpty else {
            throw document.error("no [[route]]: at least one says where requests go")
        }
        router = Router(routes: routes)
        prices = PriceTable(
            try (document["price"]?.items() ?? []).map { node throws(ConfigurationError) in
                try Self.price(node, known)
            })
        caps = try (document["cap"]?.items() ?? []).map { node throws(ConfigurationError) in try Self.cap(node) }
        masterKey = try document["master_key"].map { node throws(ConfigurationError) in
            do { return try SecretSource(try node.text()) } catch let error as SecretError {
                throw node.error(error.description)
            } catch { throw node.error("\(error)") }
        }
    }

    /// The caps for a batch of a tenant, the tightest of each scope.
    package func caps(tenant: String) -> [SpendScope.Kind: SpendCap] {
        var found: [SpendScope.Kind: SpendCap] = [:]
        for entry in caps where entry.tenants.contains(where: { $0.matches(tenant) }) {
            // As with routes, the first that suits counts.
            if found[entry.per] == nil { found[entry.per] = entry.cap }
        }
        return found
    }

    // MARK: Parts

    private static func route(
        _ node: TOMLNode, _ backends: [String: BackendConfiguration]
    ) throws(ConfigurationError) -> Route {
        try node.allow(["models", "tenants", "to", "fallback", "spill"])
        guard let models = node["models"] else { throw node.error("models is missing: patterns, as [\"llama-*\"]") }
        guard let to = node["to"] else {
            throw node.error("to is missing: backends, as [{ backend = \"groq\", weight = 1 }]")
        }
        let targets = try targets(to, backends)
        let fallbacks = try node["fallback"].map { node throws(ConfigurationError) in
            try Self.targets(node, backends)
        }
        let spill = try node["spill"].map { node throws(ConfigurationError) in try Self.spill(node, backends) }
        if let spill, backends[spill.to.backend]?.kind == .local || !targets.contains(where: {
            backends[$0.backend]?.kind == .local
        }) {
            throw (node["spill"] ?? node).error("spilling goes from a local backend of the route to an upstream")
        }
        let modes = Set((targets + (fallbacks ?? [])).compactMap { backends[$0.backend] }.filter { $0.kind != .local }
            .map(\.mode))
        guard modes.count < 2 else {
            throw to.error("backends with and without mode = \"batch\" cannot take turns: give each a route of its own")
        }
        if let spill, backends[spill.to.backend]?.mode == .batch {
            throw (node["spill"] ?? node).error("a backend with mode = \"batch\" is too slow to spill to")
        }
        return Route(
            name: "\(node.key) (line \(node.line))", models: try models.texts().map(NamePattern.init),
            tenants: try (node["tenants"]?.texts() ?? ["*"]).map(NamePattern.init), targets: targets,
            fallbacks: fallbacks ?? [], spill: spill)
    }

    private static func targets(
        _ node: TOMLNode, _ backends: [String: BackendConfiguration]
    ) throws(ConfigurationError) -> [Route.Target] {
        if case .string = node.value { return [try target(node, backends)] }
        let found = try node.items().map { item throws(ConfigurationError) in try target(item, backends) }
        guard !found.isEmpty else { throw node.error("must not be empty") }
        return found
    }

    /// A backend's name, or a table of name, weight and model.
    private static func target(
        _ node: TOMLNode, _ backends: [String: BackendConfiguration]
    ) throws(ConfigurationError) -> Route.Target {
        if case .string = node.value { return Route.Target(backend: try backend(node, backends)) }
        try node.allow(["backend", "weight", "model"])
        guard let name = node["backend"] else { throw node.error("backend is missing") }
        return Route.Target(
            backend: try backend(name, backends), weight: try node["weight"]?.int(1...1_000_000) ?? 1,
            model: try node["model"]?.text())
    }

    private static func backend(
        _ node: TOMLNode, _ backends: [String: BackendConfiguration]
    ) throws(ConfigurationError) -> String {
        let name = try node.text()
        guard backends[name] != nil else {
            let known = backends.keys.sorted().joined(separator: ", ")
            throw node.error("there is no [backend.\(name)]; there are: \(known.isEmpty ? "none" : known)")
        }
        return name
    }

    private static func spill(
        _ node: TOMLNode, _ backends: [String: BackendConfiguration]
    ) throws(ConfigurationError) -> SpillRule {
        try node.allow(["to", "deadline", "backlog_tokens", "budget_left", "safety"])
        guard let to = node["to"] else { throw node.error("to is missing: an upstream") }
        let rule = SpillRule(
            to: try target(to, backends), whenDeadlineAtRisk: try node["deadline"]?.bool() ?? true,
            whenBacklogTokens: try node["backlog_tokens"]?.int(0...1 << 50),
            budgetLeft: try node["budget_left"]?.double(0...1) ?? 0, safety: try node["safety"]?.double(1...10) ?? 1.2)
        guard rule.whenDeadlineAtRisk || rule.whenBacklogTokens != nil else {
            throw node.error("nothing would ever spill: set deadline = true, or backlog_tokens")
        }
        return rule
    }

    private static func price(
        _ node: TOMLNode, _ backends: [String: BackendConfiguration]
    ) throws(ConfigurationError) -> PriceTable.Entry {
        try node.allow(["backend", "models", "input", "cached_input", "output"])
        func dollars(_ name: String) throws(ConfigurationError) -> Money? {
            guard let value = node[name] else { return nil }
            guard let money = Money(dollars: try value.double(0...1_000_000)) else { throw value.error("is no price") }
            return money
        }
        guard let name = node["backend"] else { throw node.error("backend is missing") }
        if backends[try backend(name, backends)]?.kind == .local {
            throw name.error("is local, and what our own workers compute costs nothing: prices are for upstreams")
        }
        guard let models = node["models"] else {
            throw node.error("models is missing: patterns of the backend's names")
        }
        guard let input = try dollars("input"), let output = try dollars("output") else {
            throw node.error("input and output are needed: dollars for a million tokens")
        }
        return PriceTable.Entry(
            backend: try backend(name, backends), models: try models.texts().map(NamePattern.init),
            price: Price(input: input, cachedInput: try dollars("cached_input"), output: output))
    }

    private static func cap(_ node: TOMLNode) throws(ConfigurationError) -> Cap {
        try node.allow(["tenants", "per", "usd", "tokens"])
        guard let perNode = node["per"] else { throw node.error("per is missing: \(SpendScope.Kind.names)") }
        guard let per = SpendScope.Kind(rawValue: try perNode.text()) else {
            throw perNode.error("must be \(SpendScope.Kind.names)")
        }
        var cap = SpendCap(tokens: try node["tokens"]?.int(0...1 << 60))
        if let usd = node["usd"] { cap.money = Money(dollars: try usd.double(0...1_000_000_000)) }
        guard !cap.isOpen else { throw node.error("usd or tokens is missing: the most that may be spent") }
        return Cap(tenants: try (node["tenants"]?.texts() ?? ["*"]).map(NamePattern.init), per: per, cap: cap)
    }
}
