import Foundation

/// A provider's API key. It has no way of printing itself: descriptions, dumps and interpolations show a placeholder,
/// and whoever needs the text asks for it by name (I10).
package struct UpstreamKey: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// Only for the header that carries it, and for finding it where it must not be.
    package let secret: String

    package init(_ secret: String) { self.secret = secret }

    package static let placeholder = "[key]"

    package var description: String { Self.placeholder }
    package var debugDescription: String { Self.placeholder }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }

    /// `bytes` with every occurrence of the key replaced: upstreams repeat it in their errors.
    package func redacted(_ bytes: [UInt8]) -> [UInt8] {
        let needle = Array(secret.utf8)
        // Shorter ones are no secrets, and would be found in words.
        guard needle.count >= 8, bytes.count >= needle.count else { return bytes }
        var result: [UInt8]?
        var from = 0
        while let at = Self.find(needle, in: bytes, from: from) {
            result = (result ?? []) + bytes[from..<at] + Array(Self.placeholder.utf8)
            from = at + needle.count
        }
        return result.map { $0 + bytes[from...] } ?? bytes
    }

    package func redacted(_ text: String) -> String {
        String(decoding: redacted(Array(text.utf8)), as: UTF8.self)
    }

    private static func find(_ needle: [UInt8], in bytes: [UInt8], from: Int) -> Int? {
        bytes.withUnsafeBufferPointer { haystack in
            needle.withUnsafeBufferPointer { needle in
                guard let base = haystack.baseAddress, let wanted = needle.baseAddress else { return nil }
                var at = from
                while at + needle.count <= haystack.count {
                    // By the first byte, which the C library finds fast.
                    let rest = haystack.count - needle.count + 1 - at
                    guard let found = memchr(base + at, Int32(wanted[0]), rest) else { return nil }
                    at = UnsafeRawPointer(found) - UnsafeRawPointer(base)
                    if memcmp(base + at, wanted, needle.count) == 0 { return at }
                    at += 1
                }
                return nil
            }
        }
    }
}
