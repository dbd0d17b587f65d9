/// A queue in a Redis server, for clients and workers on many machines.
///
/// Every transition is one script (`RedisScript`); docs/redis-keys.md describes the keys. Calls of any size are cut
/// into scripts of bounded work, each of which is atomic; a call cut off between two is safe to repeat.
package final class RedisQueue: JobQueue {
    package let address: RedisAddress
    let keys: RedisKeys
    let options: RedisOptions
    private let connection: RedisConnection
    /// Names of the scripts in the server: the SHA-1 of each.
    private let hashes: [String: RedisArgument]

    /// Grows with each change of what the keys hold.
    static let format = 1
    /// `XRANGE` with exclusive starts.
    static let oldestServer = [6, 2]

    /// Connects, and checks that the server can hold a queue.
    /// - Throws: `unavailable` when it cannot be reached now; `unusableStore` when trying again cannot help.
    package static func open(
        _ address: RedisAddress, options: RedisOptions = RedisOptions()
    ) async throws(JobQueueError) -> RedisQueue {
        let connection = RedisConnection(address, options)
        do throws(JobQueueError) {
            let check = RedisServerCheck(address: address, connection: connection)
            try await check.run()
            var hashes: [String: RedisArgument] = [:]
            for script in RedisScript.all {
                let reply = try await check.call(["SCRIPT", "LOAD", RedisArgument(script.text)])
                guard let hash = reply.bytes else {
                    throw RedisFailure.unexpected(reply, "the answer to SCRIPT LOAD", "\(address)")
                }
                hashes[script.name] = RedisArgument(hash)
            }
            return RedisQueue(address, options, connection, hashes)
        } catch {
            await connection.close()
            throw error
        }
    }

    private init(
        _ address: RedisAddress, _ options: RedisOptions, _ connection: RedisConnection,
        _ hashes: [String: RedisArgument]
    ) {
        self.address = address
        self.options = options
        self.connection = connection
        self.hashes = hashes
        keys = RedisKeys(queue: address.queue)
    }

    /// Waits for the calls made so far and disconnects. Later calls throw `unavailable`.
    package func close() async throws(JobQueueError) { await connection.close() }

    /// - Throws: for error replies too.
    func call(_ arguments: [RedisArgument]) async throws(JobQueueError) -> RedisReply {
        let reply = try await connection.call(RedisCommand(arguments))
        if case .error(let error) = reply { throw RedisFailure.describe(error, "\(address)") }
        return reply
    }

    func run(_ script: RedisScript, at now: Timestamp, _ arguments: [RedisArgument])
        async throws(JobQueueError) -> RedisReply
    {
        let time =
            switch options.clock {
            case .server: RedisArgument("")
            case .caller: RedisArgument(now.milliseconds)
            }
        let rest = ["1", RedisArgument(keys.meta), time] + arguments
        var reply = try await connection.call(
            RedisCommand(["EVALSHA", hashes[script.name] ?? ""] + rest), label: script.name)
        if case .error(let error) = reply, error.hasPrefix("NOSCRIPT") {
            // The server was restarted, or its scripts flushed. This loads it again.
            reply = try await connection.call(
                RedisCommand(["EVAL", RedisArgument(script.text)] + rest), label: script.name)
        }
        if case .error(let error) = reply { throw RedisFailure.describe(error, "\(address)") }
        return reply
    }

    func unexpected(_ reply: RedisReply, _ what: String) -> JobQueueError {
        RedisFailure.unexpected(reply, what, "\(address)")
    }

    /// As scripts are given it: an id that no batch can have finds none, and names no other key.
    func argument(_ id: BatchID) -> RedisArgument { Self.isPossible(id) ? RedisArgument(id.value) : "" }

    static func isPossible(_ id: BatchID) -> Bool {
        (1...128).contains(id.value.utf8.count)
            && id.value.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

/// Whether a server can hold a queue.
struct RedisServerCheck: Sendable {
    let address: RedisAddress
    let connection: RedisConnection

    func call(_ arguments: [RedisArgument]) async throws(JobQueueError) -> RedisReply {
        let reply = try await connection.call(RedisCommand(arguments))
        if case .error(let error) = reply { throw RedisFailure.describe(error, "\(address)") }
        return reply
    }

    func run() async throws(JobQueueError) {
        let info = try await call(["INFO"]).text ?? ""
        func field(_ name: String) -> String {
            let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
            return line.map { String($0.dropFirst(name.utf8.count + 1)) } ?? ""
        }
        let version = field("redis_version")
        let parts = version.split(separator: ".").prefix(2).compactMap { Int($0) }
        guard parts.count == 2, !parts.lexicographicallyPrecedes(RedisQueue.oldestServer) else {
            let oldest = RedisQueue.oldestServer.map(String.init).joined(separator: ".")
            throw .unusableStore("\(address): the server is Redis \(version), a queue needs \(oldest) or later")
        }
        if field("role") == "slave" {
            throw .unusableStore(
                "\(address): the server is a read-only replica: name the primary, "
                    + "\(field("master_host")):\(field("master_port"))")
        }
        let policy = field("maxmemory_policy")
        guard field("maxmemory") == "0" || !policy.hasPrefix("allkeys-") else {
            throw .unusableStore(
                "\(address): the server may throw away the queue's keys (maxmemory-policy \(policy)): "
                    + "set it to noeviction")
        }
        try await checkFormat()
    }

    private func checkFormat() async throws(JobQueueError) {
        let keys = RedisKeys(queue: address.queue)
        _ = try await call(["HSETNX", RedisArgument(keys.meta), "format", RedisArgument(RedisQueue.format)])
        let found = try await call(["HGET", RedisArgument(keys.meta), "format"]).text ?? ""
        guard found == "\(RedisQueue.format)" else {
            throw .unusableStore(
                "\(address): the queue has format \(found), and this program knows only \(RedisQueue.format): use the "
                    + "program that wrote it, or another queue=name")
        }
        let kinds = [
            "batches": "zset", "open": "zset", "waiting": "zset", "leases": "zset", "delayed": "zset",
            "deadlines": "zset", "endings": "zset", "forgets": "zset", "keys": "hash", "lines": "hash", "busy": "set",
            "priorities": "zset", "suspects": "set", "days": "zset", "workers": "hash", "worker-ends": "zset",
            "records": "hash", "record-versions": "hash",
            "inbox": "list", "refused": "hash",
        ]
        for (name, kind) in kinds.sorted(by: { $0.key < $1.key }) {
            let found = try await call(["TYPE", RedisArgument(keys.prefix + name)]).text ?? ""
            guard found == "none" || found == kind else {
                throw .unusableStore(
                    "\(address): key \(keys.prefix + name) is another program's (a \(found)): "
                        + "choose another queue=name")
            }
        }
    }
}
