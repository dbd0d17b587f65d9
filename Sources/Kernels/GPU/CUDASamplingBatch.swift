/// What `mr_sample` (CUDA/sampling.cu) reads for the rows of one step, packed; and what it writes, unpacked.
///
/// Append the rows in the order of their logits, copy `write(to:)`'s bytes to the device, pass the pointers of `layout`
/// there. When `isPlainlyGreedy`, `mr_argmax` does the same for less.
package struct CUDASamplingBatch: Sendable {
    /// How a row's token is chosen; the words are vLLM's.
    package struct Row: Sendable {
        /// 0: the largest logit.
        package var temperature = 1.0
        package var topP = 1.0
        package var minP = 0.0
        package var repetitionPenalty = 1.0
        package var frequencyPenalty = 0.0
        package var presencePenalty = 0.0
        /// 0: off.
        package var topK = 0
        /// How many of the most likely tokens to report, at most `maxTopLogprobs`; nil: no log-probabilities.
        package var topLogprobs: Int?
        /// Only tokens with an entry may be chosen.
        package var listedOnly = false
        /// The sequence's draw for this token, in [0, 1).
        package var uniform = 0.0

        package init() {}

        /// The largest logit, and nothing else.
        package static let greedy: Row = {
            var row = Row()
            row.temperature = 0
            return row
        }()
    }

    /// A token whose logit is adjusted, or which is on the list of allowed ones.
    package struct Entry: Sendable {
        package var token: Int32
        /// Times in the output.
        package var count: Int32
        /// In the prompt or the output.
        package var isSeen: Bool
        package var isBanned: Bool
        package var bias: Double

        package init(token: Int32, count: Int32 = 0, isSeen: Bool = false, isBanned: Bool = false, bias: Double = 0) {
            self.token = token
            self.count = count
            self.isSeen = isSeen
            self.isBanned = isBanned
            self.bias = bias
        }
    }

    package static let maxTopLogprobs = 20

    private var settings: [Double] = []
    private var draws: [UInt64] = []
    private var biases: [Double] = []
    private var options: [Int32] = []
    private var entries: [Int32] = []
    package private(set) var hasBiases = false
    /// Every row takes the largest of its logits as they are, and wants nothing else.
    package private(set) var isPlainlyGreedy = true
    /// The most top logprobs that a row wants: the kernel's `width`.
    package private(set) var topWidth = 0

    package init() {}

    package var rowCount: Int { draws.count }
    /// What a row wants, as `append` was told, within `maxTopLogprobs`.
    package func topLogprobs(_ row: Int) -> Int? { options[5 * row + 1] < 0 ? nil : Int(options[5 * row + 1]) }
    package var entryCount: Int { biases.count }

    package mutating func removeAll() {
        settings.removeAll(keepingCapacity: true)
        draws.removeAll(keepingCapacity: true)
        biases.removeAll(keepingCapacity: true)
        options.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        (hasBiases, isPlainlyGreedy, topWidth) = (false, true, 0)
    }

    /// - Parameter entries: of distinct tokens, in any order.
    package mutating func append(_ row: Row, entries rowEntries: [Entry] = []) {
        let top = row.topLogprobs.map { min($0, Self.maxTopLogprobs) }
        settings += [
            row.temperature, row.topP, row.minP, row.repetitionPenalty, row.frequencyPenalty, row.presencePenalty,
        ]
        draws.append(Self.fraction(row.uniform))
        options += [
            Int32(clamping: row.topK), Int32(top ?? -1), Int32(entryCount), Int32(rowEntries.count),
            row.listedOnly ? 1 : 0,
        ]
        topWidth = max(topWidth, top ?? 0)
        isPlainlyGreedy =
            isPlainlyGreedy && row.temperature == 0 && top == nil && rowEntries.isEmpty && !row.listedOnly
        for entry in rowEntries.sorted(by: { $0.token < $1.token }) {
            entries.append(entry.token)
            entries.append(entry.count << 2 | (entry.isBanned ? 2 : 0) | (entry.isSeen ? 1 : 0))
            biases.append(entry.bias)
            hasBiases = hasBiases || entry.bias != 0
        }
    }

    /// A number of [0, 1), times 2^64.
    static func fraction(_ uniform: Double) -> UInt64 { UInt64(uniform * 0x1p53) << 11 }
}

extension CUDASamplingBatch {
    /// Where the kernel's arrays lie, in bytes from the start of what `write(to:)` writes.
    package struct Layout: Sendable {
        /// float64 `[rows][6]`
        package var settings: Int
        /// uint64 `[rows]`
        package var draws: Int
        /// float64 `[entries]`; pass null when `hasBiases` is false.
        package var biases: Int
        /// int32 `[rows][5]`
        package var options: Int
        /// int32 `[entries][2]`
        package var entries: Int
        package var byteCount: Int
    }

    package var layout: Layout {
        let draws = 8 * settings.count
        let biases = draws + 8 * rowCount
        let options = biases + 8 * entryCount
        let entries = options + 4 * self.options.count
        return Layout(
            settings: 0, draws: draws, biases: biases, options: options, entries: entries,
            byteCount: entries + 4 * self.entries.count)
    }

    /// Copies the arrays to the start of `target`, which holds at least `layout.byteCount` bytes.
    package func write(to target: UnsafeMutableRawBufferPointer) {
        let layout = layout
        func copy<Element>(_ values: [Element], to offset: Int) {
            values.withUnsafeBytes { target[offset..<offset + $0.count].copyBytes(from: $0) }
        }
        copy(settings, to: layout.settings)
        copy(draws, to: layout.draws)
        copy(biases, to: layout.biases)
        copy(options, to: layout.options)
        copy(entries, to: layout.entries)
    }

    /// int32 values that the kernel writes per row.
    package var resultStride: Int { Self.resultStride(topWidth: topWidth) }

    package static func resultStride(topWidth: Int) -> Int { 4 + 2 * topWidth }

    /// What was chosen for a row.
    package struct Choice: Sendable, Equatable {
        package enum Status: Int32, Sendable {
            case chosen = 0
            case nonFiniteLogits = 1
            case nothingAllowed = 2
        }

        package struct Scored: Sendable, Equatable {
            package var token: Int32
            package var logprob: Float
        }

        package var status: Status
        /// -1 when none could be chosen.
        package var token: Int32
        /// Tokens at least as likely, itself included; with `logprob` and `top`, only where log-probabilities were
        /// wanted.
        package var rank = 0
        package var logprob: Float = 0
        /// Best first, equal ones by id.
        package var top: [Scored] = []
    }

    /// Reads one row of the kernel's results, `resultStride(topWidth:)` values.
    /// - Parameter topLogprobs: how many the row wanted; nil: no log-probabilities.
    package static func choice(
        from result: some RandomAccessCollection<Int32>, topWidth: Int, topLogprobs: Int?, vocabulary: Int
    ) -> Choice {
        func at(_ offset: Int) -> Int32 { result[result.index(result.startIndex, offsetBy: offset)] }
        func float(_ offset: Int) -> Float { Float(bitPattern: UInt32(bitPattern: at(offset))) }
        guard let status = Choice.Status(rawValue: at(1)) else {
            preconditionFailure("a sampling kernel wrote status \(at(1))")
        }
        guard status == .chosen, let topLogprobs else { return Choice(status: status, token: at(0)) }
        let count = min(topLogprobs, topWidth, vocabulary)
        return Choice(
            status: status, token: at(0), rank: Int(at(2)), logprob: float(3),
            top: (0..<count).map { Choice.Scored(token: at(4 + $0), logprob: float(4 + topWidth + $0)) })
    }
}
