/// Names a batch: `batch_` and 32 hexadecimal digits.
package struct BatchID: Hashable, Sendable, CustomStringConvertible {
    package let value: String

    package init(_ value: String) { self.value = value }

    package static func random(using generator: inout some RandomNumberGenerator) -> BatchID {
        let digits = (0..<4).map { _ in
            let part = String(UInt32.random(in: .min ... .max, using: &generator), radix: 16)
            return String(repeating: "0", count: 8 - part.count) + part
        }
        return BatchID("batch_" + digits.joined())
    }

    package var description: String { value }
}

/// What a client says of a batch when it opens one.
package struct BatchSpecification: Sendable, Equatable {
    package var tenant: String
    /// Larger first.
    package var priority: Int
    /// Unfinished requests expire this long after acceptance; nil: never.
    package var completionWindowMs: Int64?
    /// Two opens of a tenant with the same key are the same batch, so that a submit cut off halfway can be
    /// repeated.
    package var idempotencyKey: String?
    /// Where requests without a seed of their own derive theirs from, with their `custom_id`.
    package var seed: UInt64
    /// Failed attempts of one request before it is dead-lettered; at least 1. Requests handed back are not
    /// counted.
    package var maxAttempts: Int
    package var metadata: [String: String]
    /// The batch and its results are forgotten this long after its end; nil: never. The usage ledger keeps its sums.
    package var retentionMs: Int64?

    package init(
        tenant: String = "default", priority: Int = 0, completionWindowMs: Int64? = nil,
        idempotencyKey: String? = nil, seed: UInt64 = 0, maxAttempts: Int = 3,
        metadata: [String: String] = [:], retentionMs: Int64? = nil
    ) {
        self.tenant = tenant
        self.priority = priority
        self.completionWindowMs = completionWindowMs
        self.idempotencyKey = idempotencyKey
        self.seed = seed
        self.maxAttempts = maxAttempts
        self.metadata = metadata
        self.retentionMs = retentionMs
    }
}

/// OpenAI's batch states that a batch here passes through.
package enum BatchState: String, Sendable, CaseIterable {
    /// Requests are still being appended; nothing is leased yet.
    case validating
    case inProgress = "in_progress"
    case cancelling
    case completed
    case cancelled
    case expired

    /// No transition leaves these (I5).
    package var isTerminal: Bool {
        switch self {
        case .completed, .cancelled, .expired: true
        case .validating, .inProgress, .cancelling: false
        }
    }
}

/// Requests of a batch by state. `completed + failed + cancelled + expired == total` once it is terminal
/// (I1).
package struct BatchCounts: Sendable, Equatable {
    package var total = 0
    package var queued = 0
    package var leased = 0
    package var completed = 0
    package var failed = 0
    package var cancelled = 0
    package var expired = 0

    package init(
        total: Int = 0, queued: Int = 0, leased: Int = 0, completed: Int = 0, failed: Int = 0,
        cancelled: Int = 0, expired: Int = 0
    ) {
        self.total = total
        self.queued = queued
        self.leased = leased
        self.completed = completed
        self.failed = failed
        self.cancelled = cancelled
        self.expired = expired
    }

    package var settled: Int { completed + failed + cancelled + expired }
}

/// A batch as its store sees it at one instant: counts and usage are the sums over outcomes (I4).
package struct BatchStatus: Sendable, Equatable {
    package var id: BatchID
    package var specification: BatchSpecification
    package var state: BatchState
    package var counts: BatchCounts
    package var usage: Usage
    package var createdAt: Timestamp
    /// When the last request was appended and the batch accepted.
    package var acceptedAt: Timestamp?
    package var endedAt: Timestamp?
    /// Why nothing of it is leased; nil: it is not paused.
    package var pausedFor: String?

    package init(
        id: BatchID, specification: BatchSpecification, state: BatchState, counts: BatchCounts, usage: Usage,
        createdAt: Timestamp, acceptedAt: Timestamp?, endedAt: Timestamp?,
        pausedFor: String? = nil
    ) {
        self.id = id
        self.specification = specification
        self.state = state
        self.counts = counts
        self.usage = usage
        self.createdAt = createdAt
        self.acceptedAt = acceptedAt
        self.endedAt = endedAt
        self.pausedFor = pausedFor
    }
}
