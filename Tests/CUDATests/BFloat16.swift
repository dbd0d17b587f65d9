/// A float32's upper half, rounded to nearest, ties to even.
struct BFloat16: Equatable {
    var bits: UInt16

    init(_ value: Float) {
        guard !value.isNaN else {
            bits = 0x7fff
            return
        }
        bits = UInt16((value.bitPattern &+ 0x7fff &+ (value.bitPattern >> 16 & 1)) >> 16)
    }

    var float: Float { Float(bitPattern: UInt32(bits) << 16) }
}
