/// Splits a file into lines without ever holding more than one line and one piece of it.
struct LineReader {
    enum Content: Equatable {
        /// Without its line end (`\n` or `\r\n`).
        case text([UInt8])
        /// The line has more than the limit; its bytes were skipped, and counted.
        case tooLong(bytes: Int)
    }

    private static let newline = UInt8(ascii: "\n")
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    private let file: PosixFile
    private let lineBytesMax: Int
    private let pieceBytes: Int
    private var hasher = FingerprintHasher()
    private var offset: Int64 = 0
    /// What was read and not given out yet: `buffer[start...]`.
    private var buffer: [UInt8] = []
    private var start = 0
    private var reachedEnd = false
    private var lineNumber = 0

    init(_ file: PosixFile, lineBytesMax: Int, pieceBytes: Int = 1 << 20) {
        self.file = file
        self.lineBytesMax = lineBytesMax
        self.pieceBytes = pieceBytes
    }

    /// Of everything read so far; of the whole file once `next` has returned nil.
    var fingerprint: InputFingerprint { hasher.fingerprint }

    /// The next line and its number, from 1; nil at the end.
    mutating func next() throws(FileError) -> (number: Int, content: Content)? {
        var searched = start
        var skipped = 0
        while true {
            if let end = buffer[searched...].firstIndex(of: Self.newline) {
                return give(upTo: end, next: end + 1, skipped: skipped)
            }
            guard !reachedEnd else {
                guard start < buffer.count || skipped > 0 else { return nil }
                return give(upTo: buffer.count, next: buffer.count, skipped: skipped)
            }
            // One byte more than the limit, for the carriage return of a line that is just as long.
            if skipped > 0 || buffer.count - start > lineBytesMax + 1 {
                skipped += buffer.count - start
                start = buffer.count
            }
            let known = buffer.count - start
            try fill()
            searched = known
        }
    }

    private mutating func give(upTo end: Int, next: Int, skipped: Int) -> (number: Int, content: Content) {
        lineNumber += 1
        var line = buffer[start..<end]
        start = next
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        if lineNumber == 1, line.starts(with: Self.byteOrderMark) { line.removeFirst(3) }
        let bytes = skipped + line.count
        return (lineNumber, bytes > lineBytesMax ? .tooLong(bytes: bytes) : .text(Array(line)))
    }

    private mutating func fill() throws(FileError) {
        let piece = try file.read(upTo: pieceBytes, at: offset)
        hasher.update(piece)
        offset += Int64(piece.count)
        reachedEnd = piece.isEmpty
        buffer.removeFirst(start)
        start = 0
        buffer += piece
    }
}
