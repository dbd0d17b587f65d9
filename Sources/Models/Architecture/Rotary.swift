#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A variant of rotary position embedding (https://arxiv.org/abs/2104.09864): the angle that each pair of
/// dimensions turns by from one position to the next.
///
/// Frequencies are computed in float32 in the order of transformers' modeling_rope_utils, so that long
/// positions get the same angles as there.
package struct Rotary: Sendable, Equatable {
    package enum Scaling: Sendable, Equatable {
        case none
        /// Positions divided by a factor (https://arxiv.org/abs/2306.15595).
        case linear(factor: Double)
        /// Llama 3.1: long wavelengths divided by a factor, short ones kept, a smooth step between.
        case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalContext: Int)
        /// YaRN (https://arxiv.org/abs/2309.00071). `attention` multiplies cos and sin.
        case yarn(
            factor: Double, originalContext: Int, betaFast: Double, betaSlow: Double, attention: Double,
            truncate: Bool)
        /// Each pair's frequency divided by its own factor (`rope_freqs.weight` of GGUF files).
        case factors([Float])
    }

    package var base: Double
    /// Dimensions that turn: all of a head.
    package var width: Int
    package var scaling: Scaling

    package init(base: Double, width: Int, scaling: Scaling = .none) {
        self.base = base
        self.width = width
        self.scaling = scaling
    }

    /// Multiplies cos and sin.
    package var attentionFactor: Float {
        if case .yarn(_, _, _, _, let attention, _) = scaling { Float(attention) } else { 1 }
    }

    /// `[width / 2]` radians per position.
    package var inverseFrequencies: [Float] {
        let wavelengths = (0..<width / 2).map { powf(Float(base), Float(2 * $0) / Float(width)) }
        let plain = wavelengths.map { 1 / $0 }
        switch scaling {
        case .none: return plain
        case .linear(let factor): return plain.map { $0 / Float(factor) }
        case .factors(let factors): return zip(plain, factors).map { $0 / $1 }
        case .llama3(let factor, let low, let high, let context):
            return plain.map {
                Self.llama3($0, Float(factor), low: Float(low), high: Float(high), context: Float(context))
            }
        case .yarn(let factor, let context, let fast, let slow, _, let truncate):
            return yarn(
                wavelengths, factor: Float(factor),
                range: correctionRange(context: context, fast: fast, slow: slow, truncate: truncate))
        }
    }

    private static func llama3(
        _ frequency: Float, _ factor: Float, low: Float, high: Float, context: Float
    ) -> Float {
        let wavelength = 2 * Float.pi / frequency
        if wavelength < context / high { return frequency }
        if wavelength > context / low { return frequency / factor }
        let smooth = (context / wavelength - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency
    }

    /// Pairs up to the lower bound keep their frequency, from the upper on it is divided, in between it
    /// is mixed.
    private func yarn(_ wavelengths: [Float], factor: Float, range: (low: Double, high: Double)) -> [Float]
    {
        let high = range.high == range.low ? range.high + 0.001 : range.high
        return wavelengths.enumerated().map { pair, wavelength in
            let ramp = min(max((Float(pair) - Float(range.low)) / Float(high - range.low), 0), 1)
            let kept = 1 - ramp
            return 1 / (factor * wavelength) * (1 - kept) + 1 / wavelength * kept
        }
    }

    private func correctionRange(
        context: Int, fast: Double, slow: Double, truncate: Bool
    ) -> (low: Double, high: Double) {
        func pair(rotations: Double) -> Double {
            Double(width) * log(Double(context) / (rotations * 2 * Double.pi)) / (2 * log(base))
        }
        let low = pair(rotations: fast)
        let high = pair(rotations: slow)
        return (
            max(truncate ? floor(low) : low, 0), min(truncate ? ceil(high) : high, Double(width - 1))
        )
    }

    /// The attention factor that the YaRN paper suggests for a scaling factor.
    static func yarnAttention(factor: Double, scale: Double = 1) -> Double {
        factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
    }

    func validate(file: String) throws(ModelError) {
        func require(_ holds: Bool, _ reason: String) throws(ModelError) {
            guard holds else { throw .malformed(file: file, field: "rotary embedding", reason: reason) }
        }
        func positive(_ value: Double) -> Bool { value > 0 && value.isFinite }
        try require(base > 1 && base.isFinite, "base \(base)")
        switch scaling {
        case .none: break
        case .linear(let factor): try require(positive(factor), "factor \(factor)")
        case .llama3(let factor, let low, let high, let context):
            try require(
                positive(factor) && positive(low) && high > low && high.isFinite && context > 0,
                "llama3 scaling by \(factor), frequency factors \(low) and \(high), context \(context)")
        case .yarn(let factor, let context, let fast, let slow, let attention, _):
            try require(
                positive(factor) && context > 0 && positive(fast) && positive(slow) && positive(attention),
                "yarn by \(factor), betas \(fast) and \(slow), context \(context), attention \(attention)"
            )
        case .factors(let factors):
            try require(
                factors.count == width / 2 && factors.allSatisfy { $0 > 0 && $0.isFinite },
                "\(factors.count) frequency factors must be \(width / 2) positive numbers")
        }
    }
}
