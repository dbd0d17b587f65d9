import CSecrets
import Foundation

/// A provider's API key in memory. It has no way of printing itself: descriptions, dumps and interpolations show a
/// placeholder, and it cannot be encoded. Whoever needs the text borrows it (I10).
package struct ProviderKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Wipes its bytes when the last copy of the key is gone.
    private final class Bytes: Sendable {
        let value: [UInt8]

        init(_ value: [UInt8]) { self.value = value }

        deinit {
            // Nobody else holds the array: it is never handed out but as a borrowed buffer.
            value.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress else { return }
                csecrets_wipe(UnsafeMutableRawPointer(mutating: base), buffer.count)
            }
        }
    }

    private let bytes: Bytes

    package static let maxBytes = 4096
    package static let placeholder = "[key]"

    /// - Parameters:
    ///   - text: what a file or variable holds; white space around it is not part of the key.
    ///   - origin: for messages: where it came from.
    /// - Throws: `SecretError`, which never repeats the text.
    package init(_ text: [UInt8], origin: String) throws(SecretError) {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
        var trimmed = text.drop(while: isSpace)
        while let last = trimmed.last, isSpace(last) { trimmed.removeLast() }
        guard !trimmed.isEmpty else { throw SecretError("\(origin) is empty: it must hold the key and nothing else") }
        guard trimmed.count <= Self.maxBytes else {
            throw SecretError("\(origin) has \(trimmed.count) bytes: a key has at most \(Self.maxBytes)")
        }
        // Anything else could end the header that carries it.
        guard trimmed.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw SecretError("\(origin) holds spaces, line ends or other bytes that no key has: one key, one line")
        }
        // A copy of its own, not a view into the caller's.
        bytes = Bytes(Array(trimmed))
    }

    package var description: String { Self.placeholder }
    package var debugDescription: String { Self.placeholder }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }

    /// Lends the key's bytes, for the header that carries them and for sealing; do not keep them.
    package func withSecret<T>(_ body: (UnsafeBufferPointer<UInt8>) throws -> T) rethrows -> T {
        try bytes.value.withUnsafeBufferPointer(body)
    }

    /// Tells keys apart without telling them: the beginning of a SHA-256.
    package var fingerprint: String {
        var digest = [UInt8](repeating: 0, count: CSECRETS_DIGEST_BYTES)
        let isDone = withSecret { csecrets_sha256($0.baseAddress, $0.count, &digest) }
        guard isDone == 1 else { return "sha256:?" }
        let hex = digest.prefix(6).map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }
        return "sha256:" + hex.joined()
    }
}

/// Why a secret cannot be had: what, where and what to do; never the secret.
package struct SecretError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
