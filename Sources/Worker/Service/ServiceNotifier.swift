// The service manager's notification protocol:
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

import CNotify

/// Tells the service manager how the process does; without one (no `NOTIFY_SOCKET`) it tells nobody. Every message
/// stands alone, so one that is lost is mended by the next.
package struct ServiceNotifier: Sendable {
    private let address: String?
    /// The process is killed when it does not feed the watchdog for this long; nil: nobody watches.
    package let watchdogMs: Int64?

    /// - Parameter environment: of the process: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    package init(environment: [String: String], processID: Int32) {
        let socket = environment["NOTIFY_SOCKET"]
        address = socket.flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
        let isForUs = environment["WATCHDOG_PID"].map { $0 == String(processID) } ?? true
        let period = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
        watchdogMs = address != nil && isForUs && period > 0 ? max(1, period / 1000) : nil
    }

    /// Whether anybody listens.
    package var isWanted: Bool { address != nil }

    package func ready(_ status: String) { send(["READY=1", Self.status(status)]) }
    package func status(_ status: String) { send([Self.status(status)]) }
    package func stopping(_ status: String) { send(["STOPPING=1", Self.status(status)]) }
    /// Configuration is being read again; `ready` ends it.
    package func reloading() { send(["RELOADING=1", "MONOTONIC_USEC=\(millrace_monotonic_us())"]) }
    package func feedWatchdog() { send(["WATCHDOG=1"]) }
    /// Starting, or stopping, may take this much longer from now on.
    package func extendTimeout(ms: Int64) { send(["EXTEND_TIMEOUT_USEC=\(ms * 1000)"]) }
    /// Why the process ends with a failure.
    package func failed(_ reason: String) { send([Self.status(reason)]) }

    private static func status(_ text: String) -> String {
        "STATUS=" + text.map { $0.isNewline ? " " : String($0) }.joined()
    }

    /// The outcome is nobody's concern: work goes on whether or not it is watched.
    private func send(_ assignments: [String]) {
        guard let address else { return }
        _ = millrace_notify(address, assignments.joined(separator: "\n"))
    }
}
