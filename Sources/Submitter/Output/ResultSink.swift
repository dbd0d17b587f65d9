/// Where one kind of result lines goes.
///
/// A regular file is derived from the store, which has the truth: lines are given from the first on in every run. As long as
/// the file has them already they are only compared; at the first difference (a torn line, an edit, a file that is not
/// there) the file is cut, at a line's start, and the rest is written from the store. Pipes and the like get every line.
final class ResultSink {
    let name: String
    private let path: String
    /// Whether a file without a line is wanted; else none is left there.
    private let keepsEmpty: Bool
    private var file: PosixFile?
    private let isRegular: Bool
    /// What the file had at the start and was not compared yet; nil once the end of that was reached.
    private var existing: ExistingText?
    /// Bytes of the file that are known to be as the store says.
    private var goodBytes: Int64 = 0
    /// Whole lines that wait for a flush.
    private var pending: [UInt8] = []

    private static let pendingBytesMax = 256 << 10

    /// A file at `path`, made when there is a line for it; or the pipe or device that is there.
    init(path: String, keepsEmpty: Bool) throws(FileError) {
        self.path = path
        self.keepsEmpty = keepsEmpty
        name = path
        let facts = try PosixFile.facts(of: path)
        isRegular = facts?.isRegular ?? true
        guard let facts else { return }
        let file = try PosixFile.open(path, isRegular ? .readWrite : .writeOnly)
        self.file = file
        if isRegular { existing = ExistingText(file, bytes: facts.bytes) }
    }

    init(standardOutput: ()) {
        path = "-"
        keepsEmpty = true
        name = "stdout"
        isRegular = false
        file = .standardOutput
    }

    /// Takes the next line; it is written by the next flush at the latest.
    /// - Parameter line: with its newline.
    func append(_ line: [UInt8]) throws(FileError) {
        if existing != nil {
            if try existing?.next(is: line) == true {
                goodBytes += Int64(line.count)
                return
            }
            try cut()
        }
        // Many whole lines in one call, but not so many that a kill is likely to fall into the middle.
        if pending.count + line.count > Self.pendingBytesMax { try flush() }
        pending += line
    }

    /// To be called when all lines that the store has now were given: what the file has beyond them goes.
    func endReplay() throws(FileError) {
        if existing != nil { try cut() }
        guard isRegular, !hasLines else { return }
        if keepsEmpty {
            _ = try opened()
        } else if file != nil {
            file = nil
            try PosixFile.remove(path)
        }
    }

    private func opened() throws(FileError) -> PosixFile {
        if let file { return file }
        let made = try PosixFile.open(path, .createOrReadWrite)
        file = made
        return made
    }

    private func cut() throws(FileError) {
        existing = nil
        try file?.cut(to: goodBytes)
    }

    /// Writes what waits. When the disk is full the file still ends with a whole line.
    func flush() throws(FileError) {
        guard !pending.isEmpty else { return }
        let file = try opened()
        let (written, failure) = file.write(pending)
        guard let failure else {
            goodBytes += Int64(written)
            pending.removeAll(keepingCapacity: true)
            return
        }
        if isRegular {
            let whole = pending[..<written].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            goodBytes += Int64(whole)
            pending.removeFirst(whole)
            try? file.cut(to: goodBytes)
        }
        throw failure
    }

    /// True when it has at least one line.
    var hasLines: Bool { goodBytes > 0 || !pending.isEmpty }

    /// Writes what waits and returns when it is on the disk.
    func finish() throws(FileError) {
        try flush()
        try file?.sync()
    }
}

/// The text that a file had when it was opened, compared piece by piece.
private struct ExistingText {
    private let file: PosixFile
    private let bytes: Int64
    private var offset: Int64 = 0
    private var buffer: ArraySlice<UInt8> = []

    private static let pieceBytes = 1 << 20

    init(_ file: PosixFile, bytes: Int64) {
        self.file = file
        self.bytes = bytes
    }

    /// Whether the text goes on with `line`; if so, it is passed.
    mutating func next(is line: [UInt8]) throws(FileError) -> Bool {
        guard offset + Int64(line.count) <= bytes else { return false }
        if buffer.count < line.count {
            let at = offset + Int64(buffer.count)
            buffer = ArraySlice(buffer + (try file.read(upTo: max(Self.pieceBytes, line.count), at: at)))
        }
        guard buffer.starts(with: line) else { return false }
        buffer.removeFirst(line.count)
        offset += Int64(line.count)
        return true
    }
}
