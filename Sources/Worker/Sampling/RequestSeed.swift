/// The randomness of one sequence: a key and a stream. The draw for the token at an index depends on these
/// alone, not on what shared the batch, on preemption, or on a restart (I8).
package struct RequestSeed: Sendable, Hashable {
    package var key: UInt64
    /// Which of a request's choices; each has a stream of its own.
    package var choice: UInt32

    package init(key: UInt64, choice: Int = 0) {
        self.key = key
        self.choice = UInt32(truncatingIfNeeded: choice)
    }

    /// The seed of a request that brings none: its name hashed by 64-bit FNV-1a over its UTF-8 bytes
    /// (http://www.isthe.com/chongo/tech/comp/fnv/), mixed with the batch's seed by SplitMix64's finaliser
    /// (https://prng.di.unimi.it/splitmix64.c). Stable across versions and machines.
    package static func derive(batchSeed: UInt64, customID: String, choice: Int) -> RequestSeed {
        var name: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in customID.utf8 { name = (name ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return RequestSeed(key: mixed(name &+ mixed(batchSeed &+ 0x9e37_79b9_7f4a_7c15)), choice: choice)
    }

    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// The draw for generated token `index` (from 0): uniform in [0, 1), 53 bits.
    package func uniform(at index: Int) -> Double {
        let position = UInt64(truncatingIfNeeded: index)
        let words = Philox.block(
            counter: [
                UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32), choice, 0,
            ],
            key: [UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)])
        let bits = UInt64(words[1]) << 32 | UInt64(words[0])
        return Double(bits >> 11) * 0x1p-53
    }
}

/// Philox4x32-10, a counter-based generator: 128 random bits as a pure function of a counter and a key.
/// Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
/// https://www.thesalmons.org/john/random123/papers/random123sc11.pdf
enum Philox {
    static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var (x, k) = (counter, key)
        for _ in 0..<10 {
            let a = UInt64(x[0]) &* 0xD251_1F53
            let b = UInt64(x[2]) &* 0xCD9E_8D57
            x = SIMD4(
                UInt32(truncatingIfNeeded: b >> 32) ^ x[1] ^ k[0], UInt32(truncatingIfNeeded: b),
                UInt32(truncatingIfNeeded: a >> 32) ^ x[3] ^ k[1], UInt32(truncatingIfNeeded: a))
            k = SIMD2(k[0] &+ 0x9E37_79B9, k[1] &+ 0xBB67_AE85)
        }
        return x
    }
}
