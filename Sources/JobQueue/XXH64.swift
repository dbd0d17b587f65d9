// XXH64, a fast 64-bit hash that is the same everywhere and in every version.
// Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md

/// Hashes a stream of bytes, given in pieces of any length. Not for secrets: it finds accidents, not attacks.
package struct XXH64 {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5
    private static let stripeBytes = 32

    private var a: UInt64 = prime1 &+ prime2
    private var b: UInt64 = prime2
    private var c: UInt64 = 0
    private var d: UInt64 = 0 &- prime1
    /// Fewer than a stripe's bytes, until more come.
    private var pending: [UInt8] = []
    private var byteCount: UInt64 = 0

    package init() {}

    package mutating func update(_ bytes: [UInt8]) {
        byteCount &+= UInt64(bytes.count)
        var at = 0
        if !pending.isEmpty {
            at = min(Self.stripeBytes - pending.count, bytes.count)
            pending += bytes[..<at]
            guard pending.count == Self.stripeBytes else { return }
            takeStripes(of: pending, from: 0)
            pending.removeAll()
        }
        at = takeStripes(of: bytes, from: at)
        pending += bytes[at...]
    }

    /// - Returns: where the bytes that fill no stripe start.
    @discardableResult
    private mutating func takeStripes(of bytes: [UInt8], from start: Int) -> Int {
        let raw = bytes.span.bytes
        var (a, b, c, d) = (a, b, c, d)
        var at = start
        while at + Self.stripeBytes <= bytes.count {
            a = Self.round(a, Self.word(raw, at))
            b = Self.round(b, Self.word(raw, at + 8))
            c = Self.round(c, Self.word(raw, at + 16))
            d = Self.round(d, Self.word(raw, at + 24))
            at += Self.stripeBytes
        }
        (self.a, self.b, self.c, self.d) = (a, b, c, d)
        return at
    }

    package var digest: UInt64 {
        var hash = Self.prime5
        if byteCount >= UInt64(Self.stripeBytes) {
            hash = Self.rotate(a, 1) &+ Self.rotate(b, 7) &+ Self.rotate(c, 12) &+ Self.rotate(d, 18)
            for lane in [a, b, c, d] {
                hash = (hash ^ Self.round(0, lane)) &* Self.prime1 &+ Self.prime4
            }
        }
        hash &+= byteCount
        let raw = pending.span.bytes
        var at = 0
        while at + 8 <= pending.count {
            hash = Self.rotate(hash ^ Self.round(0, Self.word(raw, at)), 27) &* Self.prime1 &+ Self.prime4
            at += 8
        }
        if at + 4 <= pending.count {
            let half = UInt32(littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: at, as: UInt32.self))
            hash = Self.rotate(hash ^ (UInt64(half) &* Self.prime1), 23) &* Self.prime2 &+ Self.prime3
            at += 4
        }
        for byte in pending[at...] {
            hash = Self.rotate(hash ^ (UInt64(byte) &* Self.prime5), 11) &* Self.prime1
        }
        hash = (hash ^ (hash >> 33)) &* Self.prime2
        hash = (hash ^ (hash >> 29)) &* Self.prime3
        return hash ^ (hash >> 32)
    }

    /// The load checks its bounds; "unsafe" in its name is about types with invalid bit patterns.
    private static func word(_ raw: RawSpan, _ at: Int) -> UInt64 {
        UInt64(littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self))
    }

    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotate(lane &+ word &* prime2, 31) &* prime1
    }

    private static func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 {
        (value << by) | (value >> (64 - by))
    }
}
