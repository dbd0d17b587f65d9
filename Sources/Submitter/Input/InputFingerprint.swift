import JobQueue

/// What an input's bytes come to: equal for equal contents, in every version of the program.
package struct InputFingerprint: Sendable, Equatable {
    package internal(set) var hash: UInt64
    package internal(set) var bytes: Int64
    /// Lines, a last one without its newline included.
    package internal(set) var lines: Int

    /// 16 hexadecimal digits of XXH64.
    package var hex: String {
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Makes a fingerprint while the bytes pass.
struct FingerprintHasher {
    private var hasher = XXH64()
    private var bytes: Int64 = 0
    private var newlines = 0
    private var endsInNewline = true

    mutating func update(_ piece: [UInt8]) {
        guard let last = piece.last else { return }
        hasher.update(piece)
        bytes += Int64(piece.count)
        for byte in piece where byte == UInt8(ascii: "\n") { newlines += 1 }
        endsInNewline = last == UInt8(ascii: "\n")
    }

    var fingerprint: InputFingerprint {
        InputFingerprint(hash: hasher.digest, bytes: bytes, lines: newlines + (endsInNewline ? 0 : 1))
    }
}
