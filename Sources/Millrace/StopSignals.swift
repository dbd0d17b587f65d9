@preconcurrency import Dispatch
import Foundation
import Synchronization

/// SIGINT and SIGTERM as a request to stop. While it lives they do not end the process by themselves; a third one does.
final class StopSignals: Sendable {
    private struct State {
        var count = 0
        var last: Int32?
    }

    private let state = Mutex(State())
    // Only kept alive here; dispatch sources may be held by any thread.
    nonisolated(unsafe) private let sources: [any DispatchSourceSignal]

    /// - Parameters:
    ///   - onHangup: called for each SIGHUP; nil: it ends the process, as it does by itself.
    ///   - onSignal: called on a queue of its own, with 1 for the first signal and 2 for the second, and the exit
    ///     status that the signal stands for.
    init(
        onHangup: (@Sendable () -> Void)? = nil,
        onSignal: @escaping @Sendable (_ count: Int, _ status: Int32) -> Void
    ) {
        let queue = DispatchQueue(label: "signals")
        let handled = [SIGINT, SIGTERM]
        let stops = handled.map { DispatchSource.makeSignalSource(signal: $0, queue: queue) }
        var hangups: [any DispatchSourceSignal] = []
        if let onHangup {
            signal(SIGHUP, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: queue)
            source.setEventHandler(handler: onHangup)
            source.resume()
            hangups.append(source)
        }
        sources = stops + hangups
        for (number, source) in zip(handled, sources) {
            signal(number, SIG_IGN)
            source.setEventHandler { [weak self] in
                guard let count = self?.note(number) else { return }
                guard count <= 2 else { _exit(128 + number) }
                onSignal(count, 128 + number)
            }
            source.resume()
        }
    }

    private func note(_ number: Int32) -> Int {
        state.withLock { state in
            state.count += 1
            state.last = number
            return state.count
        }
    }

    /// 128 + the last signal's number, as shells report it; nil without one.
    var exitCode: Int32? { state.withLock { $0.last.map { 128 + $0 } } }
}
