import Foundation

/// Where a secret is kept, as configuration writes it. Only the place is ever written, never the secret.
///
/// Credentials: https://systemd.io/CREDENTIALS/
package enum SecretSource: Sendable, Equatable, CustomStringConvertible {
    /// `credential:NAME`: what systemd hands the service, in `$CREDENTIALS_DIRECTORY/NAME`.
    case credential(String)
    /// `file:PATH`: readable by its owner alone.
    case file(String)
    /// `env:NAME`: an environment variable; the weakest, since the same user's processes can read it.
    case environment(String)

    private static let maxFileBytes = 64 << 10

    /// - Throws: `SecretError` that says what can be written.
    package init(_ text: String) throws(SecretError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[1].isEmpty else { throw Self.unknown }
        let name = parts[1]
        switch parts[0] {
        case "credential":
            guard !name.contains("/"), name != ".", name != ".." else {
                throw SecretError("a credential is named without a folder: credential:groq")
            }
            self = .credential(name)
        case "file": self = .file(name)
        case "env": self = .environment(name)
        default: throw Self.unknown
        }
    }

    /// Does not repeat the text: someone may have written the key itself.
    private static let unknown = SecretError(
        "say where the secret is kept: credential:NAME, file:PATH or env:NAME (not the secret itself)")

    package var description: String {
        switch self {
        case .credential(let name): "credential:\(name)"
        case .file(let path): "file:\(path)"
        case .environment(let name): "env:\(name)"
        }
    }

    /// Reads it anew, so that a key that was changed is taken up at the next start or reload.
    package func read(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(SecretError) -> [UInt8] {
        switch self {
        case .credential(let name):
            guard let folder = environment["CREDENTIALS_DIRECTORY"], !folder.isEmpty else {
                throw SecretError(
                    "credential:\(name): $CREDENTIALS_DIRECTORY is not set: start under systemd with "
                        + "LoadCredential=\(name):PATH, or use file: or env:")
            }
            // systemd's own folder; the group may be the service's.
            return try Self.read("\(folder)/\(name)", forbidden: 0o007, ownersOnly: false)
        case .file(let path): return try Self.read(path, forbidden: 0o077, ownersOnly: true)
        case .environment(let name):
            guard let value = environment[name], !value.isEmpty else {
                throw SecretError("env:\(name): the environment variable \(name) is not set")
            }
            return Array(value.utf8)
        }
    }

    package func key(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(SecretError) -> ProviderKey {
        try ProviderKey(read(environment: environment), origin: description)
    }

    private static func read(_ path: String, forbidden: mode_t, ownersOnly: Bool) throws(SecretError) -> [UInt8] {
        func reason() -> String { String(cString: strerror(errno)) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard descriptor >= 0 else { throw SecretError("\(path) cannot be read: \(reason())") }
        defer { close(descriptor) }
        // Of the open file, so that it cannot be exchanged between the check and the reading.
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw SecretError("\(path) cannot be read: \(reason())") }
        guard facts.st_mode & S_IFMT == S_IFREG else { throw SecretError("\(path) is not a file") }
        guard facts.st_mode & forbidden == 0 else {
            let mode = String(facts.st_mode & 0o777, radix: 8)
            throw SecretError("\(path) can be read by others (mode \(mode)): chmod 600 '\(path)'")
        }
        if ownersOnly, facts.st_uid != geteuid(), facts.st_uid != 0 {
            throw SecretError(
                "\(path) belongs to user \(facts.st_uid), and this process is user \(geteuid()): chown it")
        }
        guard facts.st_size <= maxFileBytes else { throw SecretError("\(path) is too long for a secret") }
        var bytes = [UInt8](repeating: 0, count: maxFileBytes)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                Foundation.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw SecretError("\(path) cannot be read: \(reason())") }
            if got == 0 { break }
            count += got
        }
        return Array(bytes.prefix(count))
    }
}
