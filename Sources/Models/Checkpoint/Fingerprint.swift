/// A stable 64-bit hash that tells checkpoints apart, so that a resumed run notices another model. Not
/// cryptographic: it guards against mistakes, not against somebody who constructs two files.
///
/// Taken in eight-byte words by multiplication and folding, as wyhash does
/// (https://github.com/wangyi-fudan/wyhash).
struct Fingerprint {
    private var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    private var length: UInt64 = 0

    /// Of large tensors only this much of each end is read.
    static let sampleBytes = 16 << 10

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        let words = bytes.count / 8
        for index in 0..<words {
            mix(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)))
        }
        var rest: UInt64 = 0
        for index in (words * 8)..<bytes.count { rest = rest << 8 | UInt64(bytes[index]) }
        mix(rest)
        length &+= UInt64(bytes.count)
        mix(length)
    }

    mutating func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

    mutating func add(_ number: Int) { mix(UInt64(bitPattern: Int64(number))) }

    /// Both ends of a tensor, or all of a small one.
    mutating func addSample(of bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 2 * Self.sampleBytes else { return add(bytes) }
        add(UnsafeRawBufferPointer(rebasing: bytes[..<Self.sampleBytes]))
        add(UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - Self.sampleBytes)...]))
    }

    private mutating func mix(_ word: UInt64) {
        let product = (state ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        state = (product.high ^ product.low) &+ 0xA076_1D64_78BD_642F
    }

    /// 16 hexadecimal digits.
    var text: String {
        let digits = String(state, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
