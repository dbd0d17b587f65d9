import Foundation

/// e4m3: sign, 4 bits of exponent (bias 7), 3 of mantissa, no infinities.
enum FP8 {
    static let values: [Float] = (0..<256).map { bits in
        let (exponent, mantissa) = (bits >> 3 & 15, bits & 7)
        if bits & 127 == 127 { return .nan }
        let step = Float(sign: .plus, exponent: max(exponent, 1) - 10, significand: 1)
        let magnitude = Float(exponent == 0 ? mantissa : 8 + mantissa) * step
        return bits & 128 == 0 ? magnitude : -magnitude
    }

    static func value(_ bits: UInt8) -> BFloat16 { BFloat16(values[Int(bits)]) }

    private static let codes: [UInt16: UInt8] = {
        var codes: [UInt16: UInt8] = [:]
        for bits in 0..<256 where bits & 127 != 127 { codes[value(UInt8(bits)).bits] = UInt8(bits) }
        return codes
    }()

    /// Of a value that `value` gave.
    static func bits(_ value: BFloat16) -> UInt8 { codes[value.bits] ?? 0x7f }

    /// The nearest code, of two the even one; beyond 448 the last.
    static func rounded(_ value: Float) -> UInt8 {
        if value.isNaN { return 0x7f | (value.sign == .minus ? 0x80 : 0) }
        let magnitude = abs(value)
        var best: UInt8 = 0
        for code in UInt8(0)..<0x7f {
            let (old, new) = (abs(values[Int(best)] - magnitude), abs(values[Int(code)] - magnitude))
            if new < old || (new == old && code & 1 == 0) { best = code }
        }
        return best | (value.sign == .minus ? 0x80 : 0)
    }
}
