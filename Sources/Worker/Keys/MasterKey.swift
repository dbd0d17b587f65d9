import CSecrets
import Foundation

/// The key that tenants' keys are sealed with: 32 bytes, from a credential, a file or the environment, as they are or in
/// hexadecimal digits. Losing it loses the sealed keys, nothing else.
///
/// AES-256-GCM with a random nonce each (NIST SP 800-38D); what a sealed key belongs to is authenticated with it, so
/// that one tenant's cannot be put in another's place.
package struct MasterKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let bytes: [UInt8]

    /// - Throws: `SecretError` when it is not 32 bytes.
    package init(_ text: [UInt8], origin: String) throws(SecretError) {
        let count = CSECRETS_KEY_BYTES
        if text.count == count {
            bytes = text
            return
        }
        let digits = String(decoding: text, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard digits.utf8.count == 2 * count, digits.allSatisfy(\.isHexDigit), digits.allSatisfy(\.isASCII) else {
            throw SecretError(
                "\(origin) is no master key: \(count) bytes are needed, or \(2 * count) hexadecimal digits "
                    + "(openssl rand -hex \(count))")
        }
        let values = digits.compactMap(\.hexDigitValue)
        bytes = (0..<count).map { UInt8(values[2 * $0] << 4 | values[2 * $0 + 1]) }
    }

    package var description: String { ProviderKey.placeholder }
    package var debugDescription: String { ProviderKey.placeholder }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }

    /// Format 1: the byte 1, nonce, tag, ciphertext.
    private static let format: UInt8 = 1
    private static let nonceBytes = CSECRETS_NONCE_BYTES
    private static let tagBytes = CSECRETS_TAG_BYTES
    private static let headBytes = 1 + nonceBytes + tagBytes

    /// - Parameter owner: what it belongs to.
    package func seal(_ key: ProviderKey, for owner: [UInt8]) throws(SecretError) -> [UInt8] {
        var nonce = [UInt8](repeating: 0, count: Self.nonceBytes)
        guard csecrets_random(&nonce, nonce.count) == 1 else { throw SecretError("no random bytes can be had") }
        var tag = [UInt8](repeating: 0, count: Self.tagBytes)
        let sealed: [UInt8]? = key.withSecret { secret in
            var out = [UInt8](repeating: 0, count: secret.count)
            let done = csecrets_seal(
                bytes, nonce, owner, owner.count, secret.baseAddress, secret.count, &out, &tag)
            return done == 1 ? out : nil
        }
        guard let sealed else { throw SecretError("libcrypto cannot encrypt with AES-256-GCM") }
        return [Self.format] + nonce + tag + sealed
    }

    /// - Throws: `SecretError` when it was sealed with another master key, for another owner, or is damaged.
    package func open(_ sealed: [UInt8], for owner: [UInt8], named name: String) throws(SecretError) -> ProviderKey {
        guard sealed.count > Self.headBytes, sealed[0] == Self.format else {
            throw SecretError("\(name) is damaged: set it again")
        }
        let nonce = Array(sealed[1..<1 + Self.nonceBytes])
        let tag = Array(sealed[1 + Self.nonceBytes..<Self.headBytes])
        let text = Array(sealed[Self.headBytes...])
        var plain = [UInt8](repeating: 0, count: text.count)
        defer { csecrets_wipe(&plain, plain.count) }
        guard csecrets_open(bytes, nonce, owner, owner.count, text, text.count, tag, &plain) == 1 else {
            throw SecretError("\(name) cannot be opened: it was sealed with another master key, or is damaged")
        }
        return try ProviderKey(plain, origin: name)
    }
}
