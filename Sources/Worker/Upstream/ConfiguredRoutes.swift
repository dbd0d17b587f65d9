import Foundation
import JobQueue
import Scheduler
import Synchronization

/// The upstreams of a routes file. Operators' keys are read at the start, tenants' own from the queue's records when a
/// request needs one. Only upstreams are chosen: what a route gives to local workers they lease themselves.
package final class ConfiguredRoutes: UpstreamRouting {
    let configuration: RouteConfiguration
    private let router: Router
    private let planner: SpillPlanner
    private let targets: [String: UpstreamTarget]
    private let tenantKeys: (store: ProviderKeyStore, master: MasterKey)?
    private let cached = Mutex<[String: (key: ProviderKey?, readAt: ContinuousClock.Instant)]>([:])

    private static let keyLifetime = Duration.seconds(60)
    private static let maxCachedKeys = 10_000

    /// - Parameters:
    ///   - records: where tenants' keys are; nil: there are none.
    ///   - mode: only backends of this mode are chosen.
    /// - Throws: `SecretError` for a key that cannot be read, and when the file names no upstream.
    package init(
        _ configuration: RouteConfiguration, records: (any RecordStore)?,
        mode: BackendConfiguration.Mode = .requests,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(SecretError) {
        self.configuration = configuration
        var targets: [String: UpstreamTarget] = [:]
        for backend in configuration.backends.values {
            guard backend.mode == mode, var target = UpstreamTarget(backend) else { continue }
            if let source = backend.key { target.key = try source.key(environment: environment) }
            targets[backend.name] = target
        }
        guard configuration.backends.values.contains(where: { $0.kind != .local }) else {
            throw SecretError("the routes file has no upstream: a [backend.NAME] of kind groq, openai or generic")
        }
        self.targets = targets
        router = configuration.router.upstreamOnly(targets)
        planner = SpillPlanner(configuration)
        spills = mode == .requests && planner.isNeeded
        let isNeeded = configuration.backends.values.contains { $0.tenantKey != nil }
        if isNeeded, let records, let source = configuration.masterKey {
            let master = try MasterKey(source.read(environment: environment), origin: source.description)
            tenantKeys = (ProviderKeyStore(records), master)
        } else {
            tenantKeys = nil
        }
    }

    package var served: [String] { Set(router.routes.flatMap(\.models).map(\.text)).sorted() }

    package func models(of overview: QueueOverview) -> Set<String>? {
        Set(overview.depths.filter { depth in
            router.decide(RequestFacts(model: depth.model, tenant: depth.tenant)).target != nil
        }.map(\.model))
    }

    package func decide(
        _ leased: LeasedRequest, parked: [UpstreamTarget.ID: String]
    ) async throws(JobQueueError) -> UpstreamDecision {
        let request = leased.request
        let identity = Array("\(leased.lease.key.batch)/\(request.customID)".utf8)
        let facts = RequestFacts(model: request.model, tenant: leased.tenant, identity: identity)
        var state = RouterState()
        // A backend may be parked with the operator's key and open with a tenant's own, which only the key tells.
        while true {
            let decision = router.decide(facts, state)
            switch decision.place {
            case .none:
                // A route to local workers alone is theirs.
                if configuration.router.route(model: request.model, tenant: leased.tenant) != nil {
                    return .wait("local workers compute it")
                }
                return .refuse(
                    OutcomeError(
                        code: "model_not_found", message: "model: \(decision.reason)", parameter: "model",
                        statusCode: 404))
            case .wait: return .wait(decision.reason)
            case .backend(let chosen):
                guard let choice = try await choice(chosen, leased) else {
                    return .wait("\(chosen.backend) is no upstream")
                }
                guard let why = parked[choice.target.id] else { return .send(choice) }
                state.parked[chosen.backend] = why
            }
        }
    }

    package let spills: Bool

    package func target(named name: String, owner: String?) async throws(JobQueueError) -> UpstreamTarget? {
        guard var target = targets[name] else { return nil }
        guard let owner else { return target }
        guard let name = configuration.backends[name]?.tenantKey, let key = try await tenantKey(owner, name) else {
            return nil
        }
        target.key = key
        target.owner = owner
        return target
    }

    package func spilled(
        from queue: any JobQueue, held: [BatchID: Int], budgetLeft: [String: Double], at now: Timestamp
    ) async throws(JobQueueError) -> [SpillPlanner.Claim] {
        try await planner.plan(queue, held: held, budgetLeft: budgetLeft, at: now)
    }

    package func decide(
        _ leased: LeasedRequest, spilledTo target: Route.Target
    ) async throws(JobQueueError) -> UpstreamDecision {
        try await choice(target, leased).map { .send($0) } ?? .wait("\(target.backend) is no upstream")
    }

    private func choice(
        _ chosen: Route.Target, _ leased: LeasedRequest
    ) async throws(JobQueueError) -> UpstreamChoice? {
        guard var target = targets[chosen.backend], let backend = configuration.backends[chosen.backend] else {
            return nil
        }
        let model = chosen.model ?? leased.request.model
        var group = "\(backend.organisation)/\(model)"
        if let name = backend.tenantKey, let own = try await tenantKey(leased.tenant, name) {
            target.key = own
            target.owner = leased.tenant
            // Another key is another organisation, with limits of its own.
            group = "\(leased.tenant) \(own.fingerprint)/\(model)"
        }
        return UpstreamChoice(target: target, model: chosen.model, limitGroup: group)
    }

    private func tenantKey(_ tenant: String, _ name: String) async throws(JobQueueError) -> ProviderKey? {
        guard let tenantKeys else { return nil }
        let entry = "\(tenant)\u{0}\(name)"
        if let known = cached.withLock({ $0[entry] }), known.readAt.duration(to: .now) < Self.keyLifetime {
            return known.key
        }
        let key: ProviderKey?
        do {
            key = try await tenantKeys.store.key(tenant: tenant, name: name, openedWith: tenantKeys.master)
        } catch let error as JobQueueError {
            throw error
        } catch {
            throw .unusableStore("\(error)")
        }
        cached.withLock { cached in
            if cached.count >= Self.maxCachedKeys { cached = [:] }
            cached[entry] = (key, .now)
        }
        return key
    }
}

extension Router {
    /// The same without what is no upstream.
    fileprivate func upstreamOnly(_ targets: [String: UpstreamTarget]) -> Router {
        Router(routes: routes.compactMap { route in
            var route = route
            route.targets = route.targets.filter { targets[$0.backend] != nil }
            route.fallbacks = route.fallbacks.filter { targets[$0.backend] != nil }
            route.spill = nil
            return route.targets.isEmpty ? nil : route
        })
    }
}

extension UpstreamTarget {
    /// Without its key; nil for a local backend.
    package init?(_ backend: BackendConfiguration) {
        guard let dialect = UpstreamDialect(rawValue: backend.kind.rawValue), let url = backend.baseURL else {
            return nil
        }
        self.init(name: backend.name, dialect: dialect, baseURL: url.absoluteString, limits: backend.limits)
        serviceTier = backend.serviceTier
        timeouts.totalMs = backend.timeoutMs
        timeouts.firstByteMs = backend.timeoutMs
        timeouts.connectMs = backend.connectTimeoutMs
        maxReplyBytes = backend.maxAnswerBytes
        batchWindow = backend.batchWindow
        keepsFiles = backend.keepsFiles
    }
}
