import JobQueue
import Scheduler

/// What a forwarder takes from the local workers of its queue: which batches, how much of each, and where to.
package struct SpillPlanner: Sendable {
    package struct Claim: Sendable, Equatable {
        package var batch: BatchID
        /// As the requests name them.
        package var models: [String]
        package var tokens: Int
        package var to: Route.Target
        /// For logs.
        package var reason: String
    }

    private let router: Router
    private let backends: [String: BackendConfiguration]
    /// Open batches that are looked at, newest first.
    private static let maxBatches = 1000

    package init(_ configuration: RouteConfiguration) {
        router = configuration.router
        backends = configuration.backends
    }

    package var isNeeded: Bool { router.routes.contains { $0.spill != nil } }

    /// - Parameters:
    ///   - held: requests of each batch that the forwarder has leased already.
    ///   - budgetLeft: part of an upstream's day budget that is left; absent: not limited.
    package func plan(
        _ queue: any JobQueue, held: [BatchID: Int], budgetLeft: [String: Double] = [:], at now: Timestamp
    ) async throws(JobQueueError) -> [Claim] {
        guard isNeeded else { return [] }
        let overview = try await queue.overview(at: now)
        let depths = overview.depths.filter { $0.queued > 0 && spill($0)?.isOpen(budgetLeft) ?? false }
        if depths.isEmpty || overview.isPaused { return [] }
        let workers = try await queue.workers(at: now)
        let batches = try await queue.list(tenant: nil, limit: Self.maxBatches).reversed()
            .filter { $0.state == .inProgress && $0.pausedFor == nil && $0.counts.queued > 0 }
        var claims: [Claim] = []
        var taken: [String: Int] = [:]
        for batch in batches {
            let own = depths.filter {
                $0.tenant == batch.specification.tenant && $0.priority == batch.specification.priority
            }
            guard let first = own.first, let rule = spill(first) else { continue }
            let each = Double(own.reduce(0) { $0 + $1.queuedTokens }) / Double(own.reduce(0) { $0 + $1.queued })
            func tokens(_ requests: Int) -> Int { Int((Double(requests) * each).rounded(.up)) }
            let mine = min(held[batch.id] ?? 0, batch.counts.leased)
            let models = own.map(\.model)
            let facts = SpillFacts(
                windowLeftMs: deadline(of: batch).map { $0 - now },
                remainingTokens: tokens(batch.counts.queued + batch.counts.leased),
                localRunningTokens: tokens(batch.counts.leased - mine), upstreamRunningTokens: tokens(mine),
                aheadTokens: ahead(of: batch, overview.depths, models, own: tokens(batch.counts.queued)),
                localTokensPerSecond: pace(workers, models),
                upstreamTokensPerSecond: Double(backends[rule.to.backend]?.limits.tokensPerMinute ?? 0) / 60)
            var take = SpillPolicy.tokensToTake(facts, rule)
            if let perMinute = backends[rule.to.backend]?.limits.tokensPerMinute {
                // Batches share what keeps the upstream busy.
                let busy = Int(Double(perMinute) / 60 * SpillPolicy.horizonSeconds)
                take = min(take, max(0, busy - (taken[rule.to.backend] ?? 0)))
            }
            guard take > 0 else { continue }
            taken[rule.to.backend, default: 0] += take
            let why =
                SpillPolicy.isAtRisk(facts, rule) ? "it would miss its deadline" : "too much waits for local workers"
            claims.append(Claim(batch: batch.id, models: models, tokens: take, to: rule.to, reason: why))
        }
        return claims
    }

    private func spill(_ depth: QueueOverview.Depth) -> SpillRule? {
        router.route(model: depth.model, tenant: depth.tenant)?.spill
    }

    private func deadline(of batch: BatchStatus) -> Timestamp? {
        guard let accepted = batch.acceptedAt, let window = batch.specification.completionWindowMs else { return nil }
        return accepted + window
    }

    /// What local workers lease before: higher priorities; of others of the same priority as much as of its own, since
    /// they take turns. Older batches of the tenant itself are part of its own, and looked at first.
    private func ahead(
        of batch: BatchStatus, _ depths: [QueueOverview.Depth], _ models: [String], own: Int
    ) -> Int {
        depths.reduce(0) { sum, depth in
            guard models.contains(depth.model) else { return sum }
            let specification = batch.specification
            if depth.priority > specification.priority { return sum + depth.queuedTokens }
            guard depth.priority == specification.priority else { return sum }
            if depth.tenant == specification.tenant { return sum + max(0, depth.queuedTokens - own) }
            return sum + min(depth.queuedTokens, own)
        }
    }

    /// Tokens a second of those that compute one of the models here.
    private func pace(_ workers: [WorkerReport], _ models: [String]) -> Double {
        workers.reduce(0) { sum, worker in
            let isUpstream = worker.backend.split(separator: ",").contains { name in
                let known = backends[String(name.prefix { $0 != " " })]
                return known.map { $0.kind != .local } ?? false
            }
            guard !isUpstream, worker.phase != .draining, worker.models.contains(where: models.contains) else { return sum }
            return sum + worker.promptTokensPerSecond + worker.generatedTokensPerSecond
        }
    }
}

extension SpillRule {
    fileprivate func isOpen(_ budgetLeft: [String: Double]) -> Bool { budgetLeft[to.backend] ?? 1 >= self.budgetLeft }
}
