import Foundation

extension ProviderKey {
    /// `bytes` with every occurrence of the key replaced: upstreams repeat it in their errors.
    package func redacted(_ bytes: [UInt8]) -> [UInt8] {
        withSecret { needle in
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
    }

    private static func find(_ needle: UnsafeBufferPointer<UInt8>, in bytes: [UInt8], from: Int) -> Int? {
        bytes.withUnsafeBufferPointer { haystack in
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
