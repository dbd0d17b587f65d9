/// SplitMix64 (https://prng.di.unimi.it/splitmix64.c): the same cases from the same seed, everywhere.
struct RandomSource {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(bound, 1))) }

    /// A number at the edge of something: of a type, of the file, of what it was.
    mutating func awkward(near old: UInt64, fileBytes: Int) -> UInt64 {
        let edges: [UInt64] = [
            0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 1 << 24, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32,
            1 << 61, 1 << 62, .max >> 1, 1 << 63, .max - 31, .max,
        ]
        let size = UInt64(fileBytes)
        switch below(5) {
        case 0, 1: return edges[below(edges.count)]
        case 2: return [old &+ 1, old &- 1, old &* 2, old / 2, old &+ 32, ~old][below(6)]
        case 3: return [size, size &- 1, size &+ 1, size / 2, size / 8][below(5)]
        default: return next() >> UInt64(below(64))
        }
    }
}
