import Glibc
import Kernels
import Models
import Synchronization

/// A model that repeats the last token it was given, so that a step's tokens tell whose sequences it runs. What
/// happens in a step is the test's to say.
final class EchoRunner: ModelRunner {
    let shape: ModelShape
    private let onStep: @Sendable ([Int32]) throws -> Void
    private var batch = PackedBatch()
    private let rows: UnsafeMutableBufferPointer<Float>

    /// - Parameter onStep: called with the tokens of each step, before it is computed.
    init(
        vocabulary: Int, blockCount: Int = 256, maxRows: Int = 64, onStep: @escaping @Sendable ([Int32]) throws -> Void
    ) {
        shape = ModelShape(
            vocabulary: vocabulary, contextLength: 1024, blockSize: 16, blockCount: blockCount, maxRows: maxRows,
            maxLogitRows: 8)
        self.onStep = onStep
        rows = .allocate(capacity: 8 * vocabulary)
    }

    deinit { rows.deallocate() }

    func forward(_ batch: PackedBatch) throws {
        try onStep(batch.tokens)
        self.batch = batch
    }

    func logits(_ range: Range<Int>) -> Logits {
        rows.initialize(repeating: 0)
        for (place, index) in range.enumerated() {
            let token = batch.tokens[Int(batch.logitRows[index])]
            rows[place * shape.vocabulary + Int(token)] = 1
        }
        return Logits(rows: range.count, vocabulary: shape.vocabulary, base: UnsafePointer(rows.baseAddress!))
    }
}

/// Lets the engine's thread take steps only when the test says so.
final class StepGate: Sendable {
    private struct State {
        var permits = Int.max
        var seen: [[Int32]] = []
        var isWaiting = false
    }

    private let state = Mutex(State())

    /// - Parameter open: false: no step begins before `allow`.
    init(open: Bool = true) { if !open { state.withLock { $0.permits = 0 } } }

    func allow(_ steps: Int = .max) {
        state.withLock { $0.permits = steps == .max ? .max : $0.permits + steps }
    }

    func close() { state.withLock { $0.permits = 0 } }

    /// Tokens of each step so far.
    var steps: [[Int32]] { state.withLock { $0.seen } }
    /// A step has begun and is held up.
    var isWaiting: Bool { state.withLock { $0.isWaiting } }

    /// For the runner: returns when the step may go on.
    func pass(_ tokens: [Int32]) {
        state.withLock { $0.seen.append(tokens) }
        while true {
            let passes = state.withLock { state in
                state.isWaiting = state.permits == 0
                if state.permits > 0, state.permits < .max { state.permits -= 1 }
                return !state.isWaiting
            }
            if passes { return }
            // The engine's own thread, which has nothing else to do.
            usleep(200)
        }
    }
}
