/// A worker's exclusive, expiring claim on a request. The attempt is the fence: a settle, renewal or release
/// that carries another attempt than the store's changes nothing (I3).
package struct Lease: Hashable, Sendable {
    package var key: RequestKey
    /// From 1; grows by one with every lease of the request, also after `handedBack`, which is not counted as
    /// a failure.
    package var attempt: Int

    package init(key: RequestKey, attempt: Int) {
        self.key = key
        self.attempt = attempt
    }
}

/// A request as a worker receives it.
package struct LeasedRequest: Sendable, Equatable {
    package var lease: Lease
    package var request: Request
    package var tenant: String
    package var priority: Int
    /// The batch's seed (`BatchSpecification.seed`).
    package var batchSeed: UInt64
    package var expiresAt: Timestamp
    /// When the batch's window ends; nil: never.
    package var deadline: Timestamp?
    /// Attempts that ended in an expired lease: its worker crashed, hung or was cut off. See `LeaseClaim.Suspects`.
    package var crashes: Int

    package init(
        lease: Lease, request: Request, tenant: String, priority: Int, batchSeed: UInt64, expiresAt: Timestamp,
        deadline: Timestamp? = nil, crashes: Int = 0
    ) {
        self.lease = lease
        self.request = request
        self.tenant = tenant
        self.priority = priority
        self.batchSeed = batchSeed
        self.expiresAt = expiresAt
        self.deadline = deadline
        self.crashes = crashes
    }
}

/// What a fenced call did.
package enum FencedResult: Sendable, Equatable {
    case done
    /// The lease was lost (expired and taken back, cancelled, or settled already): nothing changed.
    case lost
}

/// Why a worker gives a request back unfinished.
package enum ReleaseReason: Sendable, Equatable {
    /// The worker stops or has no room: the attempt is not counted against the request.
    case handedBack
    /// A failure worth another attempt, not before `retryAfterMs` (zero or less: at once); counted. When
    /// attempts are used up the request fails with `attempts_exhausted`, whose message names `error` and
    /// whose status and parameter are its.
    case failed(OutcomeError, retryAfterMs: Int64)
}
