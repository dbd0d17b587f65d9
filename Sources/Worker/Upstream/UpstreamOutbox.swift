import JobQueue
import Scheduler

/// What the queue's store is to be told; kept until it has heard it, so that an outage costs no answer.
struct UpstreamOutbox {
    var settlements: [Settlement] = []
    /// Handed back without a failure.
    var unsent: [Lease] = []
    var failures: [(lease: Lease, error: OutcomeError, retryAfterMs: Int64)] = []
    /// Money and tokens that were set aside for requests that have ended.
    var spent: [(grant: SpendBook.Grant, actual: Spending)] = []

    /// What several senders have together.
    struct Budget: Hashable {
        var name: String
        var limits: RateLimits
    }

    /// Requests that were turned away, which tells all senders of a budget how long to wait, and of its limits.
    var refusals: [Budget: [SharedBudget.Refusal]] = [:]

    var isEmpty: Bool {
        settlements.isEmpty && unsent.isEmpty && failures.isEmpty && spent.isEmpty && refusals.isEmpty
    }

    /// Each part is forgotten as soon as the store has it.
    mutating func deliver(
        to queue: any JobQueue, book: SpendBook?, budgets: (any BudgetStore)?, at now: Timestamp, lost: (Lease) -> Void
    ) async throws(JobQueueError) {
        if !settlements.isEmpty {
            Failpoint.hit("upstream.settling")
            let results = try await queue.settle(settlements, at: now)
            Failpoint.hit("upstream.settled")
            for (settlement, result) in zip(settlements, results) where result == .lost { lost(settlement.lease) }
            settlements = []
        }
        if !unsent.isEmpty {
            _ = try await queue.release(unsent, reason: .handedBack, at: now)
            unsent = []
        }
        while let last = failures.last {
            let reason = ReleaseReason.failed(last.error, retryAfterMs: last.retryAfterMs)
            _ = try await queue.release([last.lease], reason: reason, at: now)
            Failpoint.hit("upstream.released")
            failures.removeLast()
        }
        if let book, !spent.isEmpty { try await book.settle(spent, at: now) }
        spent = []
        while let (budget, list) = refusals.first {
            try await budgets?.refuse(list, of: budget.name, budget.limits, at: now)
            refusals[budget] = nil
        }
    }
}
