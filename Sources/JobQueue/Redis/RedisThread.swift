import CHiredis
import Foundation

/// The thread's own: the hiredis context never leaves it.
final class RedisThread {
    private let address: RedisAddress
    private let options: RedisOptions
    private let mailbox: RedisMailbox
    private var context: UnsafeMutablePointer<redisContext>?
    /// Through which everything goes where there is one; then hiredis only connects and parses.
    private var tls: RedisTLS?
    private var tlsFailure: RedisTLS.Failure?
    private var chunk: [UInt8] = []
    private var failures = 0
    private var random = SystemRandomNumberGenerator()

    private static let firstPauseMs = 20
    private static let longestPauseMs = 2000
    private static let certificateAdvice =
        ": it asks for a certificate: add ?cert=FILE&key=FILE, or set tls-auth-clients to no there"
    /// A TLS record's most.
    private static let chunkBytes = 16 << 10

    init(address: RedisAddress, options: RedisOptions, mailbox: RedisMailbox) {
        self.address = address
        self.options = options
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
        if Failpoint.isActive { for call in calls { Failpoint.hit("\(call.label).before") } }
        guard send(calls.map(\.command), context) else { return lose(calls[...]) }
        if Failpoint.isActive { for call in calls { Failpoint.hit("\(call.label).sent") } }
        for (at, call) in calls.enumerated() {
            guard let reply = read(context) else { return lose(calls[at...]) }
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

    /// - Returns: whether everything was sent.
    private func send(_ commands: [RedisCommand], _ context: UnsafeMutablePointer<redisContext>) -> Bool {
        if let tls {
            // As few records as there can be.
            let bytes = commands.count == 1 ? commands[0].bytes : Array(commands.map(\.bytes).joined())
            do throws(RedisTLS.Failure) {
                try tls.send(bytes, timeoutMs: options.callTimeoutMs)
                return true
            } catch {
                tlsFailure = error
                return false
            }
        }
        for command in commands {
            command.bytes.withUnsafeBytes { bytes in
                _ = redisAppendFormattedCommand(context, bytes.baseAddress, bytes.count)
            }
        }
        var isDone: Int32 = 0
        while isDone == 0 {
            if redisBufferWrite(context, &isDone) != REDIS_OK { return false }
        }
        return true
    }

    private func read(_ context: UnsafeMutablePointer<redisContext>) -> RedisReply? {
        var raw: UnsafeMutableRawPointer?
        if let tls {
            guard read(tls, context.pointee.reader, &raw) else { return nil }
        } else {
            guard redisGetReply(context, &raw) == REDIS_OK else { return nil }
        }
        guard let raw else { return nil }
        defer { freeReplyObject(raw) }
        return RedisReply(raw.assumingMemoryBound(to: redisReply.self))
    }

    /// Feeds hiredis's parser until it has a reply.
    private func read(
        _ tls: RedisTLS, _ reader: UnsafeMutablePointer<redisReader>, _ raw: inout UnsafeMutableRawPointer?
    ) -> Bool {
        while true {
            guard redisReaderGetReply(reader, &raw) == REDIS_OK else {
                tlsFailure = .lost("the answer is not in Redis's protocol")
                return false
            }
            if raw != nil { return true }
            do throws(RedisTLS.Failure) {
                let count = try tls.receive(&chunk, timeoutMs: options.callTimeoutMs)
                _ = chunk.withUnsafeBytes { redisReaderFeed(reader, $0.baseAddress, count) }
            } catch {
                tlsFailure = error
                return false
            }
        }
    }

    /// Whether the server has closed an idle connection; then nothing need fail.
    private static func isStale(_ context: UnsafeMutablePointer<redisContext>) -> Bool {
        var byte: UInt8 = 0
        let count = recv(context.pointee.fd, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
    }

    private func reason(_ context: UnsafeMutablePointer<redisContext>) -> String {
        switch tlsFailure {
        case .lost(let why)?, .refused(let why)?: return why
        case nil: break
        }
        if context.pointee.err == REDIS_ERR_IO, errno == EAGAIN || errno == EWOULDBLOCK {
            return "no answer in \(options.callTimeoutMs) ms"
        }
        return String(cString: mr_redis_error(context))
    }

    private func disconnect() {
        (tls, tlsFailure) = (nil, nil)
        if let context { redisFree(context) }
        context = nil
    }

    // MARK: Connecting

    private func connect() throws(JobQueueError) {
        pause()
        let made: UnsafeMutablePointer<redisContext>? =
            switch address.endpoint {
            case .tcp(let host, let port):
                redisConnectWithTimeout(host, Int32(port), Self.time(options.connectTimeoutMs))
            case .unix(let path): redisConnectUnixWithTimeout(path, Self.time(options.connectTimeoutMs))
            }
        guard let made else { throw .unavailable("\(address): no memory for a connection") }
        guard made.pointee.err == 0 else {
            let reason = String(cString: mr_redis_error(made))
            redisFree(made)
            throw .unavailable("\(address) cannot be reached (\(reason)): is the server running there?")
        }
        context = made
        if case .tcp = address.endpoint { _ = redisEnableKeepAlive(made) }
        do throws(JobQueueError) {
            if address.usesTLS { try secure(made) }
            _ = redisSetTimeout(made, Self.time(options.callTimeoutMs))
            if let password = address.password {
                let user = address.user.map { [RedisArgument($0)] } ?? []
                try greet(["AUTH"] + user + [RedisArgument(password)])
            }
            if address.database != 0 { try greet(["SELECT", RedisArgument(address.database)]) }
            // A server says only now that it does not take our certificate.
            if address.usesTLS { try greet(["PING"]) }
        } catch {
            disconnect()
            throw error
        }
    }

    private func secure(_ context: UnsafeMutablePointer<redisContext>) throws(JobQueueError) {
        guard case .tcp(let host, _) = address.endpoint else { return }
        _ = redisSetTimeout(context, Self.time(options.connectTimeoutMs))
        chunk = Array(repeating: 0, count: Self.chunkBytes)
        do throws(RedisTLS.Failure) {
            tls = try RedisTLS(
                context.pointee.fd, host: host, identity: address.clientCertificate, authorities: options.authorities,
                timeoutMs: options.connectTimeoutMs)
        } catch {
            switch error {
            case .refused(let why): throw .unusableStore("\(address): \(why)")
            case .lost(let why): throw .unavailable("\(address): \(why)")
            }
        }
    }

    private func greet(_ arguments: [RedisArgument]) throws(JobQueueError) {
        guard let context else { return }
        guard send([RedisCommand(arguments)], context), let reply = read(context) else {
            if let tls, let tlsFailure {
                switch tlsFailure {
                case .lost(let why) where tls.lacksCertificate, .refused(let why):
                    let advice = tls.lacksCertificate ? Self.certificateAdvice : ""
                    throw .unusableStore("\(address): the server ended the TLS connection (\(why))\(advice)")
                case .lost: break
                }
            }
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
