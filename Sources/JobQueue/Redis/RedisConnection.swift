import CHiredis
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

    init(_ address: RedisAddress, connectTimeoutMs: Int, callTimeoutMs: Int) {
        let thread = Thread { [mailbox] in
            RedisThread(
                address: address, connectTimeoutMs: connectTimeoutMs, callTimeoutMs: callTimeoutMs, mailbox: mailbox
            ).run()
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

/// The thread's own: the hiredis context never leaves it.
private final class RedisThread {
    let address: RedisAddress
    let connectTimeoutMs: Int
    let callTimeoutMs: Int
    let mailbox: RedisMailbox
    private var context: UnsafeMutablePointer<redisContext>?
    private var failures = 0
    private var random = SystemRandomNumberGenerator()

    private static let firstPauseMs = 20
    private static let longestPauseMs = 2000

    init(address: RedisAddress, connectTimeoutMs: Int, callTimeoutMs: Int, mailbox: RedisMailbox) {
        self.address = address
        self.connectTimeoutMs = connectTimeoutMs
        self.callTimeoutMs = callTimeoutMs
        self.mailbox = mailbox
    }

    func run() {
        // A write to a connection that the server closed is an error to report, not the process's end.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        while let calls = mailbox.take() { carryOut(calls) }
        disconnect()
        mailbox.end()
    }

    private func carryOut(_ calls: [RedisConnection.Call]) {
        if let context, Self.isStale(context) { disconnect() }
        if context == nil {
            do throws(JobQueueError) {
                try connect()
                failures = 0
            } catch {
                failures += 1
                for call in calls { call.finish(.failure(error)) }
                return
            }
        }
        guard let context else { return }
        for call in calls {
            Failpoint.hit("\(call.label).before")
            call.command.bytes.withUnsafeBytes { bytes in
                _ = redisAppendFormattedCommand(context, bytes.baseAddress, bytes.count)
            }
        }
        var isDone: Int32 = 0
        while isDone == 0 {
            if redisBufferWrite(context, &isDone) != REDIS_OK { return lose(calls[...]) }
        }
        if Failpoint.isActive { for call in calls { Failpoint.hit("\(call.label).sent") } }
        for (at, call) in calls.enumerated() {
            guard let reply = Self.read(context) else { return lose(calls[at...]) }
            Failpoint.hit("\(call.label).replied")
            call.finish(.success(reply))
        }
    }

    /// The connection failed under calls that were sent: nobody knows whether they were carried out.
    private func lose(_ calls: ArraySlice<RedisConnection.Call>) {
        let reason = context.map(reason) ?? "lost"
        disconnect()
        failures += 1
        for call in calls {
            call.finish(
                .failure(
                    .unavailable("\(address): the connection was lost (\(reason)); the call may be repeated")))
        }
    }

    private static func read(_ context: UnsafeMutablePointer<redisContext>) -> RedisReply? {
        var raw: UnsafeMutableRawPointer?
        guard redisGetReply(context, &raw) == REDIS_OK, let raw else { return nil }
        defer { freeReplyObject(raw) }
        return RedisReply(raw.assumingMemoryBound(to: redisReply.self))
    }

    /// Whether the server has closed an idle connection; then nothing need fail.
    private static func isStale(_ context: UnsafeMutablePointer<redisContext>) -> Bool {
        var byte: UInt8 = 0
        let count = recv(context.pointee.fd, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
    }

    private func reason(_ context: UnsafeMutablePointer<redisContext>) -> String {
        if context.pointee.err == REDIS_ERR_IO, errno == EAGAIN || errno == EWOULDBLOCK {
            return "no answer in \(callTimeoutMs) ms"
        }
        return String(cString: mr_redis_error(context))
    }

    private func disconnect() {
        if let context { redisFree(context) }
        context = nil
    }

    // MARK: Connecting

    private func connect() throws(JobQueueError) {
        pause()
        let made: UnsafeMutablePointer<redisContext>? =
            switch address.endpoint {
            case .tcp(let host, let port): redisConnectWithTimeout(host, Int32(port), Self.time(connectTimeoutMs))
            case .unix(let path): redisConnectUnixWithTimeout(path, Self.time(connectTimeoutMs))
            }
        guard let made else { throw .unavailable("\(address): no memory for a connection") }
        guard made.pointee.err == 0 else {
            let reason = String(cString: mr_redis_error(made))
            redisFree(made)
            throw .unavailable("\(address) cannot be reached (\(reason)): is the server running there?")
        }
        context = made
        _ = redisSetTimeout(made, Self.time(callTimeoutMs))
        if case .tcp = address.endpoint { _ = redisEnableKeepAlive(made) }
        do throws(JobQueueError) {
            if let password = address.password {
                let user = address.user.map { [RedisArgument($0)] } ?? []
                try greet(["AUTH"] + user + [RedisArgument(password)])
            }
            if address.database != 0 { try greet(["SELECT", RedisArgument(address.database)]) }
        } catch {
            disconnect()
            throw error
        }
    }

    private func greet(_ arguments: [RedisArgument]) throws(JobQueueError) {
        guard let context else { return }
        let command = RedisCommand(arguments)
        command.bytes.withUnsafeBytes { bytes in
            _ = redisAppendFormattedCommand(context, bytes.baseAddress, bytes.count)
        }
        guard let reply = Self.read(context) else {
            throw .unavailable("\(address): the connection was lost (\(reason(context))) while it was opened")
        }
        guard case .error(var error) = reply else { return }
        // A server may repeat what it was sent (I10).
        if let password = address.password, !password.isEmpty { error = error.replacing(password, with: "***") }
        throw RedisFailure.describe(error, "\(address)")
    }

    /// Longer after each failure, and by chance, so that many clients do not come back at the same instant.
    private func pause() {
        guard failures > 0 else { return }
        let longest = min(Self.longestPauseMs, Self.firstPauseMs << min(failures, 10))
        var left = Int.random(in: longest / 2...longest, using: &random)
        while left > 0, !mailbox.isClosed {
            let slice = min(left, 50)
            usleep(UInt32(slice * 1000))
            left -= slice
        }
    }

    private static func time(_ ms: Int) -> timeval { timeval(tv_sec: ms / 1000, tv_usec: ms % 1000 * 1000) }
}
