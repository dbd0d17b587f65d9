import JobQueue
import Scheduler

/// Where one request goes.
package struct UpstreamChoice: Sendable {
    package var target: UpstreamTarget
    /// As the upstream names it; nil: as the request does.
    package var model: String?
    /// Requests of one group share a budget; nil: those of one target and model, as Groq limits them.
    package var limitGroup: String?

    package init(target: UpstreamTarget, model: String? = nil, limitGroup: String? = nil) {
        self.target = target
        self.model = model
        self.limitGroup = limitGroup
    }
}

package enum UpstreamDecision: Sendable {
    case send(UpstreamChoice)
    /// Nothing here takes it now: it is handed back.
    case wait(String)
    /// Nothing takes it ever.
    case refuse(OutcomeError)
}

/// Decides where requests go.
package protocol UpstreamRouting: Sendable {
    /// Of the models that wait, those that have a way to an upstream; nil: whatever waits.
    func models(of overview: QueueOverview) -> Set<String>?
    /// Patterns of models that have a way to an upstream, for reports.
    var served: [String] { get }
    /// - Parameter parked: targets that take nothing of this request's model now, and why.
    func decide(
        _ leased: LeasedRequest, parked: [UpstreamTarget.ID: String]
    ) async throws(JobQueueError) -> UpstreamDecision
    /// Where a batch went that is still there.
    /// - Parameter owner: the tenant whose key it was sent with; nil: the operator's.
    func target(named name: String, owner: String?) async throws(JobQueueError) -> UpstreamTarget?
    /// Whether anything is ever taken from local workers.
    var spills: Bool { get }
    /// What is taken from local workers now.
    /// - Parameters:
    ///   - held: requests that are held already, of each batch.
    ///   - budgetLeft: part of the day's limits that is left of each target by name, 0 for a parked one; absent:
    ///     not limited.
    func spilled(from queue: any JobQueue, held: [BatchID: Int], budgetLeft: [String: Double], at now: Timestamp)
        async throws(JobQueueError) -> [SpillPlanner.Claim]
    /// For a request that was taken so.
    func decide(_ leased: LeasedRequest, spilledTo target: Route.Target)
        async throws(JobQueueError) -> UpstreamDecision
}

extension UpstreamRouting {
    package func target(named name: String, owner: String?) async throws(JobQueueError) -> UpstreamTarget? { nil }

    package var spills: Bool { false }
    package var served: [String] { ["*"] }

    package func spilled(
        from queue: any JobQueue, held: [BatchID: Int], budgetLeft: [String: Double], at now: Timestamp
    ) async throws(JobQueueError) -> [SpillPlanner.Claim] { [] }

    package func decide(
        _ leased: LeasedRequest, spilledTo target: Route.Target
    ) async throws(JobQueueError) -> UpstreamDecision { .wait("nothing spills here") }
}

/// Everything to one place.
package struct SingleRoute: UpstreamRouting {
    private let choice: UpstreamChoice

    package init(_ choice: UpstreamChoice) { self.choice = choice }

    package func models(of overview: QueueOverview) -> Set<String>? { nil }

    package func target(named name: String, owner: String?) async throws(JobQueueError) -> UpstreamTarget? {
        choice.target.id == UpstreamTarget.ID(name: name, owner: owner) ? choice.target : nil
    }

    package func decide(
        _ leased: LeasedRequest, parked: [UpstreamTarget.ID: String]
    ) async throws(JobQueueError) -> UpstreamDecision {
        parked[choice.target.id].map { .wait($0) } ?? .send(choice)
    }
}
