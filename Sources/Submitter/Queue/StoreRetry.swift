import JobQueue

/// For commands that follow something for hours: a store that does not answer for a while is waited for.
struct StoreRetry {
    let clock: RunClock
    /// Told once for each absence.
    let note: (String) -> Void

    private static let firstWaitMs: Int64 = 200
    private static let longestWaitMs: Int64 = 5_000

    func callAsFunction<R>(_ body: () async throws -> R) async throws -> R {
        var waitMs = Self.firstWaitMs
        while true {
            do {
                return try await body()
            } catch let error as JobQueueError {
                guard case .unavailable(let reason) = error else { throw error }
                if waitMs == Self.firstWaitMs { note("the queue does not answer (\(reason)); waiting for it") }
                try await clock.pause(waitMs)
                waitMs = min(waitMs * 2, Self.longestWaitMs)
            }
        }
    }
}
