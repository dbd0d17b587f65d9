import Foundation
import JobQueue
import Scheduler

/// Where senders take their parts of one organisation's limits from.
package protocol BudgetStore: Sendable {
    /// Gives back and takes, in one step.
    /// - Parameter budget: names the organisation's limits at one upstream.
    func exchange(
        _ exchange: BudgetShare.Exchange, of budget: String, _ limits: RateLimits, at now: Timestamp
    ) async throws(JobQueueError) -> SharedBudget.Answer
    /// Gives back without taking.
    func give(
        _ report: SharedBudget.Report, to budget: String, _ limits: RateLimits, at now: Timestamp
    ) async throws(JobQueueError)
    /// The server turned requests of one of the senders away.
    func refuse(_ refusals: [SharedBudget.Refusal], of budget: String, _ limits: RateLimits, at now: Timestamp)
        async throws(JobQueueError)
}

/// Budgets beside the queue: in its file, on its Redis server, or in memory for a process alone.
package struct RecordBudgetStore: BudgetStore {
    private let records: any RecordStore

    package init(_ records: any RecordStore) { self.records = records }

    package func exchange(
        _ exchange: BudgetShare.Exchange, of budget: String, _ limits: RateLimits, at now: Timestamp
    ) async throws(JobQueueError) -> SharedBudget.Answer {
        try await change(budget, limits) { shared in
            if !exchange.report.isEmpty { shared.settle(exchange.report, at: now.milliseconds) }
            return shared.take(exchange.wanted, least: exchange.least, at: now.milliseconds)
        }
    }

    package func give(
        _ report: SharedBudget.Report, to budget: String, _ limits: RateLimits, at now: Timestamp
    ) async throws(JobQueueError) {
        try await change(budget, limits) { $0.settle(report, at: now.milliseconds) }
    }

    package func refuse(
        _ refusals: [SharedBudget.Refusal], of budget: String, _ limits: RateLimits, at now: Timestamp
    ) async throws(JobQueueError) {
        try await change(budget, limits) { shared in
            for refusal in refusals { shared.refuse(refusal, at: now.milliseconds) }
        }
    }

    private func change<T: Sendable>(
        _ budget: String, _ limits: RateLimits, _ body: @escaping @Sendable (inout SharedBudget) -> T
    ) async throws(JobQueueError) -> T {
        try await records.change(["budget/\(budget)"]) { values in
            // A record that cannot be read costs at most one span's limit; starting over is better than standing still.
            var shared =
                values[0].flatMap { try? JSONDecoder().decode(SharedBudget.self, from: Data($0)) }
                .flatMap { $0.isFor(limits) ? $0 : nil } ?? SharedBudget(limits)
            let result = body(&shared)
            values[0] = (try? JSONEncoder().encode(shared)).map { [UInt8]($0) }
            return result
        }
    }
}
