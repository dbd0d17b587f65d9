/// Where a queue is, as people write it: a path is an SQLite file, a URL a Redis server.
///
///     redis://[user[:password]@]host[:port][/database][?queue=name]
///     rediss://...[?queue=name&cert=file&key=file]     the same over TLS; a certificate for servers that ask for one
///     unix:///path/of/socket[?db=number&queue=name]
///     path/of/file.sqlite
///
/// Source of the URL forms: https://www.iana.org/assignments/uri-schemes/prov/redis; `queue` is our own.
package enum QueueAddress: Sendable, Equatable, CustomStringConvertible {
    case file(path: String)
    case redis(RedisAddress)

    /// - Parameter password: takes the place of the URL's, so that none need stand on a command line.
    /// - Throws: `invalidArgument` that says which part is wrong, and never the password.
    package init(_ text: String, password: String? = nil) throws(JobQueueError) {
        guard let (scheme, rest) = Self.split(text, at: "://") else {
            guard !text.isEmpty else {
                throw .invalidArgument("the queue's address is empty: name a file or a redis:// URL")
            }
            guard password == nil else {
                throw .invalidArgument("\(text) is a file: a password is only for a Redis server")
            }
            self = .file(path: text)
            return
        }
        var address =
            switch scheme.lowercased() {
            case "redis": try RedisAddress(authority: rest, usesTLS: false)
            case "rediss": try RedisAddress(authority: rest, usesTLS: true)
            case "unix": try RedisAddress(socket: rest)
            default:
                throw .invalidArgument(
                    "queue addresses begin with redis://, rediss:// or unix://, or are a file's path; "
                        + "\(scheme):// is not known")
            }
        if let password { address.password = password }
        self = .redis(address)
    }

    /// Without the password (I10).
    package var description: String {
        switch self {
        case .file(let path): path
        case .redis(let address): address.description
        }
    }

    /// Opens the queue; a file that is not there is made.
    /// - Parameter exclusive: of a file: refuse when another process works on it.
    package func open(exclusive: Bool = false) async throws(JobQueueError) -> any JobQueue {
        switch self {
        case .file(let path): return try SQLiteQueue(path: path, exclusive: exclusive)
        case .redis(let address): return try await RedisQueue.open(address)
        }
    }

    static func split(_ text: some StringProtocol, at separator: String) -> (String, String)? {
        guard let range = text.firstRange(of: separator) else { return nil }
        return (String(text[..<range.lowerBound]), String(text[range.upperBound...]))
    }
}
