import Foundation
import RedisServer
import Testing

@testable import JobQueue

/// Servers that cannot or will not: what is said, and whether trying again is worth it.
@Suite struct RedisFailureTests {
    private func opening(
        _ server: RedisServer, password: String? = nil, database: Int = 0
    ) async throws -> JobQueueError {
        let address = try RedisAddress(
            endpoint: .unix(path: server.socket), password: password, database: database)
        return try await failure { try await RedisQueue.open(address).close() }
    }

    private func expectUnusable(
        _ error: JobQueueError, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard case .unusableStore(let what) = error else {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return
        }
        for word in words { #expect(what.contains(word), sourceLocation: sourceLocation) }
    }

    private func expectUnavailable(
        _ error: JobQueueError, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard case .unavailable(let what) = error else {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return
        }
        for word in words { #expect(what.contains(word), sourceLocation: sourceLocation) }
    }

    @Test func noServerIsNamed() async throws {
        let socket = "/tmp/no-such-\(UUID().uuidString).sock"
        var error = try await failure { _ = try await QueueAddress("unix://\(socket)").open() }
        expectUnavailable(error, socket, "cannot be reached")
        error = try await failure { _ = try await QueueAddress("redis://:s3cret@127.0.0.1:1").open() }
        expectUnavailable(error, "127.0.0.1:1", "cannot be reached")
        #expect(!"\(error)".contains("s3cret"))
        error = try await failure { _ = try await QueueAddress("rediss://:s3cret@127.0.0.1:1").open() }
        expectUnavailable(error, "127.0.0.1:1", "cannot be reached")
        #expect(!"\(error)".contains("s3cret"))
    }

    @Test func passwordsAreChecked() async throws {
        let server = try RedisServer(["--requirepass", "right"])
        expectUnusable(try await opening(server), "wants a password")
        let error = try await opening(server, password: "s3cret")
        expectUnusable(error, "refuses the user name or password")
        #expect(!"\(error)".contains("s3cret"))
        let address = try RedisAddress(endpoint: .unix(path: server.socket), password: "right")
        try await RedisQueue.open(address).close()
        let open = try RedisServer()
        expectUnusable(try await opening(open, password: "s3cret"), "no password set")
        expectUnusable(try await opening(open, database: 99), "database")
    }

    @Test func aReplicaIsRefused() async throws {
        let server = try RedisServer(["--replicaof", "127.0.0.1", "1"])
        expectUnusable(try await opening(server), "replica", "127.0.0.1:1")
    }

    @Test func aServerThatEvictsIsRefused() async throws {
        let server = try RedisServer(["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"])
        expectUnusable(try await opening(server), "allkeys-lru", "noeviction")
    }

    @Test func anotherProgramsKeysAreLeftAlone() async throws {
        let server = try RedisServer()
        let address = try RedisAddress(endpoint: .unix(path: server.socket), queue: "q")
        let queue = try await RedisQueue.open(address)
        _ = try await queue.call(["SET", "millrace:{q}:leases", "mine"])
        expectUnusable(
            try await failure { _ = try await RedisQueue.open(address) }, "millrace:{q}:leases", "a string")
        #expect(try await queue.call(["GET", "millrace:{q}:leases"]).text == "mine")
        // While it is open: refused, not overwritten.
        expectUnusable(try await failure { _ = try await queue.recover(at: 0) }, "another program")
        _ = try await queue.call(["HSET", "millrace:{q}:meta", "format", "9"])
        expectUnusable(try await failure { _ = try await RedisQueue.open(address) }, "format 9")
        try await queue.close()
    }

    @Test func aFullServerLosesNothing() async throws {
        let server = try RedisServer(["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"])
        let queue = try await RedisQueue.open(try RedisAddress(endpoint: .unix(path: server.socket)))
        let batch = try await queue.open(BatchSpecification(), at: 0)
        var appended = 0
        let error = try await failure {
            while true {
                let new = (appended..<appended + 20).map { request($0, bytes: 2000) }
                try await queue.append(new, to: batch, from: appended, at: 0)
                appended += 20
            }
        }
        expectUnavailable(error, "maxmemory", "nothing that was accepted is lost")
        #expect(appended > 100)
        #expect(try await queue.status(batch).counts.total == appended)
        #expect(try await queue.integrityProblems() == [])
        // What is there is worked off, which makes room.
        try await queue.seal(batch, total: appended, at: 0)
        let leased = try await queue.lease(max: 20, worker: "w", durationMs: 60_000, at: 0)
        #expect(leased.count == 20)
        let error503 = OutcomeError(code: "overloaded", message: "later", statusCode: 503)
        #expect(
            try await queue.settle(
                leased.prefix(18).map {
                    Settlement(lease: $0.lease, outcome: response(String(repeating: "y", count: 3000)))
                },
                at: 0) == Array(repeating: .done, count: 18))
        #expect(
            try await queue.release([leased[18].lease], reason: .failed(error503, retryAfterMs: 9), at: 0) == [.done])
        #expect(try await queue.renew([leased[19].lease], durationMs: 60_000, at: 0) == [.done])
        expectUnavailable(
            try await failure { _ = try await queue.open(BatchSpecification(), at: 0) }, "maxmemory")
        try await queue.cancel(batch, at: 0)
        #expect(
            try await queue.status(batch).counts
                == BatchCounts(total: appended, completed: 18, cancelled: appended - 18))
        #expect(try await queue.integrityProblems() == [])
        _ = try await queue.call(["CONFIG", "SET", "maxmemory", "0"])
        _ = try await queue.open(BatchSpecification(), at: 0)
        try await queue.close()
    }

    @Test func somebodysEndlessScriptIsWaitedFor() async throws {
        let server = try RedisServer(["--lua-time-limit", "20"])
        let address = try RedisAddress(endpoint: .unix(path: server.socket))
        let (queue, other) = (try await RedisQueue.open(address), try await RedisQueue.open(address))
        let endless = Task { try? await other.call(["EVAL", "while true do end", "0"]) }
        var busy: JobQueueError?
        while busy == nil {
            do throws(JobQueueError) { _ = try await queue.overview(at: 0) } catch { busy = error }
        }
        expectUnavailable(try #require(busy), "busy")
        _ = try await queue.call(["SCRIPT", "KILL"])
        _ = await endless.value
        #expect(try await queue.overview(at: 0).openBatches == 0)
        // Scripts that were flushed are loaded again.
        _ = try await queue.call(["SCRIPT", "FLUSH"])
        #expect(try await queue.overview(at: 0).openBatches == 0)
        try await queue.close()
        try await other.close()
    }

    @Test(arguments: [
        ("LOADING Redis is loading the dataset in memory", true, "loading"),
        ("MISCONF Redis is configured to save RDB snapshots", true, "snapshots"),
        ("READONLY You can't write against a read only replica.", true, "replica"),
        ("MOVED 3999 10.0.0.2:6381", false, "10.0.0.2:6381"),
        ("ERR Error running script (call to f_1): @user_script:1: -MOVED 3999 10.0.0.2:6381", false, "10.0.0.2:6381"),
        ("ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed", true, "maxmemory"),
        ("CLUSTERDOWN The cluster is down", true, "cluster"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", false, "access list"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", false, "another program"),
        ("ERR Error running script: Script killed by user with SCRIPT KILL...", true, "SCRIPT KILL"),
        ("ERR something new", false, "something new"),
    ])
    func errorsAreUnderstood(_ error: String, helpsToRetry: Bool, word: String) {
        let described = RedisFailure.describe(error, "redis://h")
        if helpsToRetry { expectUnavailable(described, word) } else { expectUnusable(described, word) }
    }

    @Test func anOldServerIsRefused() async throws {
        let info = "# Server\r\nredis_version:5.0.7\r\nrole:master\r\n"
        let server = try AnsweringServer("$\(info.utf8.count)\r\n\(info)\r\n")
        let error = try await failure {
            _ = try await RedisQueue.open(RedisAddress(endpoint: .unix(path: server.path)))
        }
        expectUnusable(error, "Redis 5.0.7", "6.2")
    }

    @Test func whatIsNoRedisIsNoticed() async throws {
        let server = try AnsweringServer("HTTP/1.1 400 Bad Request\r\n\r\n")
        let error = try await failure {
            _ = try await RedisQueue.open(RedisAddress(endpoint: .unix(path: server.path)))
        }
        expectUnavailable(error, "connection was lost")
    }
}

/// Answers whatever it is sent with the same bytes.
private final class AnsweringServer: Sendable {
    let path: String
    private let descriptor: Int32

    init(_ answer: String) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "answer-\(UUID().uuidString.prefix(8))").path
        let listening = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        descriptor = listening
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8).prefix($0.count - 1)) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listening, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(listening, 8) == 0)
        Thread {
            while true {
                let client = accept(listening, nil, nil)
                if client < 0 {
                    // Closed by nobody else, or its number would be another's while it is listened to here.
                    close(listening)
                    return
                }
                var bytes = [UInt8](repeating: 0, count: 65_536)
                while read(client, &bytes, bytes.count) > 0 {
                    let answer = Array(answer.utf8)
                    _ = write(client, answer, answer.count)
                }
                close(client)
            }
        }.start()
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        unlink(path)
    }
}
