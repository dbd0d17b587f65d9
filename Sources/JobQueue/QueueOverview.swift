/// A queue at one instant, for `queues`, `top` and metrics.
package struct QueueOverview: Sendable, Equatable {
    /// Accepted requests that have not ended, of one tenant, priority and model.
    package struct Depth: Sendable, Equatable {
        package var tenant: String
        package var priority: Int
        package var model: String
        package var queued: Int
        /// Of `queued`: wait for a retry's time.
        package var delayed: Int
        package var leased: Int
        /// Sum of `Request.cost` over `queued`.
        package var queuedTokens: Int

        package init(
            tenant: String, priority: Int, model: String, queued: Int = 0, delayed: Int = 0, leased: Int = 0,
            queuedTokens: Int = 0
        ) {
            self.tenant = tenant
            self.priority = priority
            self.model = model
            self.queued = queued
            self.delayed = delayed
            self.leased = leased
            self.queuedTokens = queuedTokens
        }
    }

    package var isPaused: Bool
    /// Batches that have not ended.
    package var openBatches: Int
    /// By priority (larger first), tenant, model; only what has something in it.
    package var depths: [Depth]
    /// Acceptance of the oldest request that is still queued; nil: nothing is.
    package var oldestQueuedAt: Timestamp?

    package init(isPaused: Bool, openBatches: Int, depths: [Depth], oldestQueuedAt: Timestamp?) {
        self.isPaused = isPaused
        self.openBatches = openBatches
        self.depths = depths
        self.oldestQueuedAt = oldestQueuedAt
    }
}

extension QueueOverview.Depth {
    /// The order of an overview: larger priorities first, then by the names' bytes.
    package static func comesBefore(_ a: Self, _ b: Self) -> Bool {
        if a.priority != b.priority { return a.priority > b.priority }
        let (tenantA, tenantB) = (Array(a.tenant.utf8), Array(b.tenant.utf8))
        if tenantA != tenantB { return tenantA.lexicographicallyPrecedes(tenantB) }
        return a.model.utf8.lexicographicallyPrecedes(b.model.utf8)
    }
}
