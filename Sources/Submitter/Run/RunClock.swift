import JobQueue

/// The time as a run knows it; tests have their own.
package struct RunClock: Sendable {
    /// Wall-clock time, for the store.
    package var now: @Sendable () -> Timestamp
    /// Milliseconds that never jump, from an arbitrary start, for rates.
    package var uptimeMs: @Sendable () -> Int64
    /// Waits; ends early with `CancellationError` when the task is cancelled.
    package var pause: @Sendable (_ milliseconds: Int64) async throws -> Void

    package init(
        now: @escaping @Sendable () -> Timestamp, uptimeMs: @escaping @Sendable () -> Int64,
        pause: @escaping @Sendable (_ milliseconds: Int64) async throws -> Void
    ) {
        self.now = now
        self.uptimeMs = uptimeMs
        self.pause = pause
    }
}
