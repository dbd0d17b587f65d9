import Glibc

/// An append-only log that all processes of a scenario share: one line a write, so that the order of lines is the order
/// of what happened, whoever is killed. The format is in Tests/Chaos/README.md.
struct Witness: Sendable {
    private let file: Int32

    init(path: String) throws(WitnessFailure) {
        file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw WitnessFailure(path: path, code: errno) }
    }

    /// Ends the process when the line cannot be written whole: what is not witnessed must not go on.
    func note(_ words: String...) {
        let line = Array((words.joined(separator: " ") + "\n").utf8)
        guard write(file, line, line.count) == line.count else { _exit(70) }
    }
}

struct WitnessFailure: Error, CustomStringConvertible {
    var path: String
    var code: Int32

    var description: String { "\(path): cannot be opened for writing: \(String(cString: strerror(code)))" }
}

/// The CRC-32 that zlib computes, so that the checker compares outcomes without a word of our code.
/// Source: RFC 1952, section 8.
func crc32(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { crc, byte in crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8 }
}

private let crcTable: [UInt32] = (0..<256).map { n in
    (0..<8).reduce(UInt32(n)) { crc, _ in crc & 1 == 1 ? 0xedb8_8320 ^ crc >> 1 : crc >> 1 }
}
