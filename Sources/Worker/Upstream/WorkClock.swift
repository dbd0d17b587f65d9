import Foundation
import JobQueue

/// The time of a worker, and how to wait for it. Tests make minutes shorter.
package struct WorkClock: Sendable {
    package var now: @Sendable () -> Timestamp
    /// In this clock's milliseconds.
    package var sleep: @Sendable (_ ms: Int64) async throws -> Void

    package init(
        now: @escaping @Sendable () -> Timestamp, sleep: @escaping @Sendable (_ ms: Int64) async throws -> Void
    ) {
        self.now = now
        self.sleep = sleep
    }

    package static let system = WorkClock(
        now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) },
        sleep: { try await Task.sleep(for: .milliseconds($0)) })
}
