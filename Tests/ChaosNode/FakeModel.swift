import Glibc
import Kernels
import Models

/// A model that repeats the last token it was given. Its tokens are bytes, and one of them kills the process.
final class FakeModel: ModelRunner {
    /// A prompt with this byte is poison (I7).
    static let poison = Int32(UInt8(ascii: "!"))

    let shape = ModelShape(
        vocabulary: ByteTokenizer.vocabularySize, contextLength: 1024, blockSize: 16, blockCount: 512, maxRows: 256,
        maxLogitRows: 16)
    private let stepUs: UInt32
    private var batch = PackedBatch()
    private let rows: UnsafeMutableBufferPointer<Float>

    /// - Parameter stepUs: how long each step takes.
    init(stepUs: UInt32) {
        self.stepUs = stepUs
        rows = .allocate(capacity: shape.maxLogitRows * shape.vocabulary)
    }

    deinit { rows.deallocate() }

    func forward(_ batch: PackedBatch) {
        if batch.tokens.contains(Self.poison) { kill(getpid(), SIGKILL) }
        // On the engine's own thread.
        usleep(stepUs)
        self.batch = batch
    }

    /// `[range.count, vocabulary]`: 1 at the token to choose, 0 elsewhere.
    func logits(_ range: Range<Int>) -> Logits {
        rows.initialize(repeating: 0)
        for (place, index) in range.enumerated() {
            rows[place * shape.vocabulary + Int(batch.tokens[Int(batch.logitRows[index])])] = 1
        }
        return Logits(rows: range.count, vocabulary: shape.vocabulary, base: UnsafePointer(rows.baseAddress!))
    }
}

/// A token for each byte, and one that ends a sequence.
struct ByteTokenizer: Tokenizer {
    static let vocabularySize = 257

    var vocabularySize: Int { Self.vocabularySize }
    var special: SpecialTokens { SpecialTokens(eos: 256, ends: [256]) }

    func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [Int32] { text.utf8.map(Int32.init) }

    func decodeBytes(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> [UInt8] {
        ids.compactMap { UInt8(exactly: $0) }
    }

    func bytes(of id: Int32) -> [UInt8] { decodeBytes([id], skipSpecial: false) }
    func makeStreamDecoder(skipSpecial: Bool) -> any StreamDecoder { Decoder() }

    /// Prompts here are ASCII, so that each byte is a whole character.
    private struct Decoder: StreamDecoder {
        mutating func push(_ id: Int32) -> String {
            String(decoding: ByteTokenizer().bytes(of: id), as: UTF8.self)
        }

        mutating func finish() -> String { "" }
    }
}
