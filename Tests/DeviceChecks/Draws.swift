/// SplitMix64 (https://prng.di.unimi.it/splitmix64.c).
struct Draws {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func bits() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func floats(_ count: Int, scale: Float = 1) -> [Float] {
        (0..<count).map { _ in (Float(bits() >> 40) * 0x1p-23 - 1) * scale }
    }

    mutating func below(_ bound: Int) -> Int { Int(bits() % UInt64(bound)) }
}
