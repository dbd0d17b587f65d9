import JobQueue
import Scheduler
import Synchronization

/// Routes that can be exchanged for others while a worker uses them: a file that was read again.
package final class ReloadableRoutes: UpstreamRouting {
    private let routes: Mutex<ConfiguredRoutes>
    /// Routes of the same process whose models are reported with these, for instance those of the other mode.
    private let others: ReloadableRoutes?

    package init(_ routes: ConfiguredRoutes, reportedWith others: ReloadableRoutes? = nil) {
        self.routes = Mutex(routes)
        self.others = others
    }

    private var current: ConfiguredRoutes { routes.withLock { $0 } }
    package var configuration: RouteConfiguration { current.configuration }

    /// For what is decided from now on; tell the worker by its inbox, so that what waits is decided anew.
    package func replace(by next: ConfiguredRoutes) { routes.withLock { $0 = next } }

    package var spills: Bool { current.spills }
    package var served: [String] { Set(current.served + (others?.served ?? [])).sorted() }

    package func models(of overview: QueueOverview) -> Set<String>? { current.models(of: overview) }

    package func decide(
        _ leased: LeasedRequest, parked: [UpstreamTarget.ID: String]
    ) async throws(JobQueueError) -> UpstreamDecision {
        try await current.decide(leased, parked: parked)
    }

    package func target(named name: String, owner: String?) async throws(JobQueueError) -> UpstreamTarget? {
        try await current.target(named: name, owner: owner)
    }

    package func spilled(
        from queue: any JobQueue, held: [BatchID: Int], budgetLeft: [String: Double], at now: Timestamp
    ) async throws(JobQueueError) -> [SpillPlanner.Claim] {
        try await current.spilled(from: queue, held: held, budgetLeft: budgetLeft, at: now)
    }

    package func decide(
        _ leased: LeasedRequest, spilledTo target: Route.Target
    ) async throws(JobQueueError) -> UpstreamDecision {
        try await current.decide(leased, spilledTo: target)
    }
}
