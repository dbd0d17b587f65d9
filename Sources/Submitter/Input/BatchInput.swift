/// How an input says its requests.
package enum BatchFormat: String, Sendable, CaseIterable {
    /// One JSON object a line.
    case jsonl
    /// One prompt a line.
    case text

    /// `.txt` files are prompts; everything else, standard input too, is JSON lines.
    package init(path: String) {
        self = path.lowercased().hasSuffix(".txt") ? .text : .jsonl
    }
}

/// An input that cannot be read as a whole; faults of single lines are those requests' outcomes.
package struct BatchInputError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

/// A whole input, read once to know its fingerprint and ready to be read again, line by line.
///
/// What can be read only once (standard input, pipes) is first copied into an unnamed file, because nothing
/// may be queued before it is known whether this is the input of a run that is to be resumed.
package struct BatchInput {
    /// As messages name it.
    package let name: String
    package let format: BatchFormat
    package let fingerprint: InputFingerprint
    private let file: PosixFile

    private static let pieceBytes = 1 << 20

    /// - Parameters:
    ///   - path: a file, or `-` for standard input.
    ///   - format: nil: known by the path.
    ///   - spoolFolder: where a copy of an input goes that can be read only once.
    package init(
        path: String, format: BatchFormat? = nil, spoolFolder: @autoclosure () -> String
    ) throws(BatchInputError) {
        name = path == "-" ? "stdin" : path
        self.format = format ?? BatchFormat(path: path)
        do {
            let source = path == "-" ? PosixFile.standardInput : try PosixFile.open(path, .read)
            (file, fingerprint) = try Self.readAll(of: source, name, spoolFolder)
        } catch let error as FileError {
            throw BatchInputError(description: error.description)
        } catch let error as BatchInputError {
            throw error
        } catch {
            throw BatchInputError(description: "\(name): \(error)")
        }
    }

    private static func readAll(
        of source: PosixFile, _ name: String, _ spoolFolder: () -> String
    ) throws -> (PosixFile, InputFingerprint) {
        let facts = try source.facts()
        guard !facts.isDirectory else {
            throw BatchInputError(description: "\(name) is a folder; name a file of requests")
        }
        // Standard input that is a file is copied as well: it may stand anywhere but at its start.
        let isSeekable = facts.isRegular && name != "stdin"
        let spool = isSeekable ? nil : try PosixFile.temporary(in: spoolFolder())
        var hasher = FingerprintHasher()
        var offset: Int64 = 0
        while true {
            let piece = try isSeekable
                ? source.read(upTo: pieceBytes, at: offset) : source.read(upTo: pieceBytes)
            if offset == 0 { try refuseForeignFormats(piece, name) }
            guard !piece.isEmpty else { break }
            if let failure = spool?.write(piece).failure { throw failure }
            hasher.update(piece)
            offset += Int64(piece.count)
        }
        return (spool ?? source, hasher.fingerprint)
    }

    /// What would otherwise give one puzzling error for each line.
    private static func refuseForeignFormats(_ start: [UInt8], _ name: String) throws(BatchInputError) {
        let known: [(magic: [UInt8], hint: String)] = [
            ([0x1F, 0x8B], "is gzip-compressed; unpack it, or: zcat \(name) | millrace run -"),
            ([0x28, 0xB5, 0x2F, 0xFD], "is zstd-compressed; unpack it, or: zstdcat \(name) | millrace run -"),
            (Array("PK\u{3}\u{4}".utf8), "is a zip archive; unpack it first"),
            (Array("PAR1".utf8), "is a Parquet file; export it as JSON lines"),
            ([0xFF, 0xFE], "is UTF-16; save it as UTF-8"), ([0xFE, 0xFF], "is UTF-16; save it as UTF-8"),
        ]
        for (magic, hint) in known where start.starts(with: magic) {
            throw BatchInputError(description: "\(name) \(hint)")
        }
    }

    /// Finds an input that cannot be opened, before anything is made for it.
    package static func check(_ path: String) throws(BatchInputError) {
        guard path != "-" else { return }
        do throws(FileError) {
            try PosixFile.checkCanRead(path)
        } catch {
            throw BatchInputError(description: error.description)
        }
    }

    /// True when both are one file, whatever their paths: such a file must not be written to.
    package func isFile(at path: String) -> Bool {
        guard let other = try? PosixFile.facts(of: path), let own = try? file.facts() else { return false }
        return own.identity == other.identity
    }

    /// The requests, from the first line on.
    package func requests(
        defaults: RequestDefaults = RequestDefaults(), lineBytesMax: Int = BatchFile.lineBytesMax
    ) -> BatchFile {
        BatchFile(
            LineReader(file, lineBytesMax: lineBytesMax), name: name, format: format, defaults: defaults,
            lineBytesMax: lineBytesMax)
    }
}
