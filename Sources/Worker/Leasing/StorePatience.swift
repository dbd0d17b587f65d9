import JobQueue

/// When to ask a store again that did not answer: after a wait that doubles from one failure to the next and differs
/// from worker to worker, so that a store that comes back is not met by all of them at once.
struct StorePatience {
    private static let firstWaitMs: Int64 = 200
    private static let longestWaitMs: Int64 = 15_000

    private var failures = 0
    private var retryAt: Timestamp?

    /// Whether the last call failed.
    var isWaiting: Bool { failures > 0 }

    func permits(at now: Timestamp) -> Bool { retryAt.map { now >= $0 } ?? true }

    /// - Parameter jitter: from 0 to 1, equally likely.
    /// - Returns: how long it waits.
    mutating func noteFailure(at now: Timestamp, jitter: Double) -> Int64 {
        let most = min(Self.longestWaitMs, Self.firstWaitMs << Int64(min(failures, 10)))
        failures += 1
        let wait = most / 2 + Int64(Double(most / 2) * jitter)
        retryAt = now + wait
        return wait
    }

    /// - Returns: whether the store had not answered before.
    mutating func noteSuccess() -> Bool {
        defer { self = StorePatience() }
        return isWaiting
    }
}
