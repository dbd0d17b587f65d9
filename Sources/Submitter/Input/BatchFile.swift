import JobQueue

/// Reads requests out of an input's lines. Memory is bounded by the longest line allowed, whatever the file has.
///
/// Every line that is not blank gives exactly one request, accepted or refused, so that all are accounted for alike.
package struct BatchFile: ~Copyable {
    package static let lineBytesMax = 16 << 20

    private var lines: LineReader
    private var parser: BatchLine
    private let name: String
    private let format: BatchFormat
    private let lineBytesMax: Int

    init(
        _ lines: LineReader, name: String, format: BatchFormat, defaults: RequestDefaults, lineBytesMax: Int
    ) {
        self.lines = lines
        self.name = name
        self.format = format
        self.lineBytesMax = lineBytesMax
        parser = BatchLine(file: name, defaults: defaults)
    }

    /// Of what was read so far; of the whole input once `next` has returned nil.
    package var fingerprint: InputFingerprint { lines.fingerprint }

    /// The next line's request; nil at the end.
    package mutating func next() throws(BatchInputError) -> AppendedRequest? {
        do throws(FileError) {
            while let (number, content) = try lines.next() {
                switch content {
                case .tooLong(let bytes):
                    return parser.tooLong(bytes: bytes, limit: lineBytesMax, number: number)
                case .text(let line) where Self.isBlank(line): continue
                case .text(let line):
                    return switch format {
                    case .jsonl: parser.request(json: line, number: number)
                    case .text: parser.request(prompt: line, number: number)
                    }
                }
            }
            return nil
        } catch {
            throw BatchInputError(description: error.description)
        }
    }

    private static func isBlank(_ line: [UInt8]) -> Bool {
        line.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
    }
}
