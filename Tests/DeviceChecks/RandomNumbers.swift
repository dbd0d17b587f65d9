/// SplitMix64 (https://prng.di.unimi.it/splitmix64.c): small, seeded, the same everywhere.
package struct RandomNumbers {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func bits() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in `range`.
    package mutating func float(in range: ClosedRange<Float> = -1...1) -> Float {
        range.lowerBound + Float(bits() >> 40) * 0x1p-24 * (range.upperBound - range.lowerBound)
    }

    package mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in float(in: range) }
    }

    /// Uniform in 0..<bound.
    package mutating func below(_ bound: Int) -> Int { Int(bits() % UInt64(bound)) }

    /// Uniform within `scale` of 0.
    package mutating func floats(_ count: Int, scale: Float) -> [Float] { floats(count, in: -scale...scale) }
}
