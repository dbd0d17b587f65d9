import Foundation
import Synchronization

/// One connection to a Redis server, on a thread of its own: hiredis blocks, and tasks must not.
///
/// Calls that wait together are sent together and answered in order (pipelining). When the connection is lost, every
/// call that was sent and not answered fails with `unavailable`: it may have been carried out or not, and all calls
/// are safe to repeat. The next call connects again, after a pause that grows with each failure and is never the
/// same for all clients.
final class RedisConnection: Sendable {
    struct Call: Sendable {
        var command: RedisCommand
        /// For failpoints.
        var label: String
        var finish: @Sendable (Result<RedisReply, JobQueueError>) -> Void
    }

    private let mailbox = RedisMailbox()

    init(_ address: RedisAddress, _ options: RedisOptions) {
        let thread = Thread { [mailbox] in
            RedisThread(address: address, options: options, mailbox: mailbox).run()
        }
        thread.name = "millrace.redis"
        thread.start()
    }

    deinit { mailbox.close(nil) }

    func call(_ command: RedisCommand, label: String = "") async throws(JobQueueError) -> RedisReply {
        let result: Result<RedisReply, JobQueueError> = await withCheckedContinuation { continuation in
            let call = Call(command: command, label: label) { continuation.resume(returning: $0) }
            if !mailbox.put(call) {
                continuation.resume(returning: .failure(.unavailable("the queue has been closed")))
            }
        }
        return try result.get()
    }

    /// Lets the calls made so far end, then disconnects. Later calls throw.
    func close() async {
        await withCheckedContinuation { continuation in mailbox.close { continuation.resume() } }
    }
}

/// Calls on their way to the thread. As many wait as tasks make them.
final class RedisMailbox: Sendable {
    private struct State {
        var waiting: [RedisConnection.Call] = []
        var isClosed = false
        var hasEnded = false
        var onEnd: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())
    private let bell = DispatchSemaphore(value: 0)
    /// Sent before the first reply is read: enough to hide the way, few enough to bound what is copied.
    private static let maxCalls = 128
    private static let maxBytes = 16 << 20

    func put(_ call: RedisConnection.Call) -> Bool {
        let isOpen = state.withLock { state in
            if !state.isClosed { state.waiting.append(call) }
            return !state.isClosed
        }
        if isOpen { bell.signal() }
        return isOpen
    }

    func close(_ onEnd: (@Sendable () -> Void)?) {
        let hasEnded = state.withLock { state in
            state.isClosed = true
            if let onEnd, !state.hasEnded { state.onEnd.append(onEnd) }
            return state.hasEnded
        }
        if hasEnded { onEnd?() }
        bell.signal()
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Waits for calls; nil when it is closed and there are none.
    func take() -> [RedisConnection.Call]? {
        while true {
            let (calls, isClosed) = state.withLock { state in
                var (count, bytes) = (0, 0)
                while count < min(state.waiting.count, Self.maxCalls), count == 0 || bytes < Self.maxBytes {
                    bytes += state.waiting[count].command.bytes.count
                    count += 1
                }
                let calls = Array(state.waiting.prefix(count))
                state.waiting.removeFirst(count)
                return (calls, state.isClosed)
            }
            if !calls.isEmpty { return calls }
            if isClosed { return nil }
            bell.wait()
        }
    }

    func end() {
        let onEnd = state.withLock { state in
            state.hasEnded = true
            return state.onEnd
        }
        for body in onEnd { body() }
    }
}
