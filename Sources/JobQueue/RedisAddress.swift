/// A queue on a Redis server: where the server is, who we are there, and the queue's name.
package struct RedisAddress: Sendable, Equatable, CustomStringConvertible {
    package enum Endpoint: Sendable, Equatable {
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    package var endpoint: Endpoint
    package var usesTLS: Bool
    /// Who we are to a server that asks for certificates (Redis's own default); files in PEM.
    package struct ClientCertificate: Sendable, Equatable {
        package var certificate: String
        package var key: String

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    package var clientCertificate: ClientCertificate?
    /// Nil: the server's default user.
    package var user: String?
    package var password: String?
    package var database: Int
    /// All keys of a queue begin with `{queue}`, so that several share a server, and a cluster keeps each whole.
    package var queue: String

    package static let defaultPort = 6379
    package static let defaultQueue = "default"
    static let maxQueueBytes = 100

    package init(
        endpoint: Endpoint, usesTLS: Bool = false, user: String? = nil, password: String? = nil, database: Int = 0,
        queue: String = RedisAddress.defaultQueue
    ) throws(JobQueueError) {
        self.endpoint = endpoint
        self.usesTLS = usesTLS
        self.user = user
        self.password = password
        self.database = database
        self.queue = queue
        guard (0..<1 << 31).contains(database) else {
            throw .invalidArgument("the Redis database is a number from 0, got \(database)")
        }
        let allowed = queue.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard allowed, (1...Self.maxQueueBytes).contains(queue.utf8.count) else {
            throw .invalidArgument(
                "a queue's name has 1 to \(Self.maxQueueBytes) letters, digits, '.', '_' or '-'")
        }
    }

    /// What follows `redis://`.
    init(authority text: String, usesTLS: Bool) throws(JobQueueError) {
        var rest = text
        let options = try Self.takeOptions(from: &rest, allowed: usesTLS ? ["queue", "cert", "key"] : ["queue"])
        var user: String?
        var password: String?
        // A password may contain an '@'; a host may not.
        if let at = rest.lastIndex(of: "@") {
            let credentials = rest[..<at]
            let parts = QueueAddress.split(credentials, at: ":")
            let name = parts?.0 ?? String(credentials)
            user = name.isEmpty ? nil : try Self.decoded(name, "user")
            if let parts { password = try Self.decoded(parts.1, "password") }
            rest = String(rest[rest.index(after: at)...])
        }
        var database = 0
        if let (place, path) = QueueAddress.split(rest, at: "/") {
            rest = place
            if !path.isEmpty { database = try Self.number(path, "database", 0...Int(Int32.max)) }
        }
        let (host, port) = try Self.hostAndPort(rest)
        try self.init(
            endpoint: .tcp(host: host, port: port), usesTLS: usesTLS, user: user, password: password,
            database: database, queue: options["queue"] ?? Self.defaultQueue)
        switch (options["cert"], options["key"]) {
        case (nil, nil): break
        case (let certificate?, let key): clientCertificate = ClientCertificate(
            certificate: certificate, key: key ?? certificate)
        case (nil, _?): throw .invalidArgument("the queue's URL has key=FILE without cert=FILE")
        }
    }

    /// What follows `unix://`.
    init(socket text: String) throws(JobQueueError) {
        var rest = text
        let options = try Self.takeOptions(from: &rest, allowed: ["db", "queue"])
        let path = try Self.decoded(rest, "path")
        guard path.hasPrefix("/") else {
            throw .invalidArgument("unix:// needs the socket's whole path: unix:///run/redis/redis.sock")
        }
        let database = try Self.number(options["db"] ?? "0", "database", 0...Int(Int32.max))
        try self.init(
            endpoint: .unix(path: path), database: database, queue: options["queue"] ?? Self.defaultQueue)
    }

    private static func hostAndPort(_ text: String) throws(JobQueueError) -> (String, Int) {
        var host = text
        var port: String?
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            host = String(text[text.index(after: text.startIndex)..<end])
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else {
                throw .invalidArgument("an IPv6 host is written [address]:port")
            }
            port = rest.isEmpty ? nil : String(rest.dropFirst())
        } else if let (name, number) = QueueAddress.split(text, at: ":") {
            (host, port) = (name, number)
        }
        if host.isEmpty { host = "localhost" }
        return (host, try Self.number(port ?? "\(defaultPort)", "port", 1...65535))
    }

    private static func takeOptions(
        from text: inout String, allowed: [String]
    ) throws(JobQueueError) -> [String: String] {
        guard let (rest, query) = QueueAddress.split(text, at: "?") else { return [:] }
        text = rest
        var found: [String: String] = [:]
        for pair in query.split(separator: "&") {
            let (name, value) = QueueAddress.split(pair, at: "=") ?? (String(pair), "")
            guard allowed.contains(name) else {
                // Behind a '?' that should have been written %3F there can be the rest of a password.
                throw .invalidArgument(
                    "the queue's URL has an unknown option behind '?'; known: \(allowed.joined(separator: ", "))")
            }
            found[name] = try decoded(value, name)
        }
        return found
    }

    private static func number(
        _ text: String, _ name: String, _ range: ClosedRange<Int>
    ) throws(JobQueueError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw .invalidArgument(
                "the \(name) in the queue's URL must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private static func decoded(_ text: String, _ name: String) throws(JobQueueError) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else { throw .invalidArgument("the \(name) in the queue's URL has a '%' that no two hex digits follow") }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw .invalidArgument("the \(name) in the queue's URL is not UTF-8 text")
        }
        return decoded
    }

    private static func encoded(_ path: String) -> String {
        path.replacing("%", with: "%25").replacing("&", with: "%26").replacing("?", with: "%3F")
    }

    /// Without the password (I10).
    package var description: String {
        let who = user.map { "\($0)@" } ?? ""
        switch endpoint {
        case .tcp(let host, let port):
            let shown = host.contains(":") ? "[\(host)]" : host
            let identity = clientCertificate.map {
                "&cert=\(Self.encoded($0.certificate))&key=\(Self.encoded($0.key))"
            } ?? ""
            let scheme = usesTLS ? "rediss" : "redis"
            return "\(scheme)://\(who)\(shown):\(port)/\(database)?queue=\(queue)\(identity)"
        case .unix(let path): return "unix://\(path)?db=\(database)&queue=\(queue)"
        }
    }
}
