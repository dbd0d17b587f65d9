import JSON
import Kernels
import Models

/// Times decode steps of a loaded model, and the prefill of long prompts, beside their floors. A step is what the
/// engine's is: the forward pass, and every row's logits with their best token.
package struct StepTimes {
    private let runner: any ModelRunner
    private let work: DecoderWork
    private let roofline: Roofline
    private let seconds: Double
    package let context: Int

    /// Contexts that fit a step of the model's buffers.
    package static let contexts = 1...rowsMax
    package static let batchSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    private static let blockSize = 16

    /// The best one's time: what other programs take only ever adds to it.
    package struct Figure: Sendable {
        package var rows: Int
        package var seconds: Double
        /// Nil where no floor is known.
        package var floorSeconds: Double?
    }

    /// - Parameters:
    ///   - context: positions that each sequence has, its new token included.
    ///   - maxLogitRows: rows of logits at a time, as the engine takes them.
    ///   - seconds: spent on each figure.
    package init(
        _ checkpoint: Checkpoint, on device: CPUDevice, peaks: CPUPeaks, context: Int = 200, maxLogitRows: Int = 64,
        seconds: Double = 2
    ) throws {
        precondition(Self.contexts.contains(context))
        self.context = context
        self.seconds = seconds
        work = DecoderWork(
            checkpoint.configuration, computeType: device.computeType, quantizesWeights: device.quantizesWeights,
            storedBytes: device.keepsQuantised ? Self.storedBytes(checkpoint, device) : nil)
        roofline = Roofline(peaks, computing: device.computeType)
        let blocks = (context + Self.blockSize - 1) / Self.blockSize
        runner = try ModelLoader.load(
            checkpoint, on: device, budget: .blocks(blocks * (Self.batchSizes.last ?? 1)), maxRows: Self.rowsMax,
            maxLogitRows: maxLogitRows
        ).runner
    }

    /// Of a weight where it lies: those that are not of blocks are widened.
    private static func storedBytes(_ checkpoint: Checkpoint, _ device: CPUDevice) -> Double {
        checkpoint.mean { CPUDevice.storedBytes($0) ?? (device.computeType == .bfloat16 ? 2 : 4) }
    }

    private static let rowsMax = 512

    /// - Parameter each: called with each figure as it is found.
    package func measure(each: (Figure) -> Void) throws {
        try fill()
        for rows in Self.batchSizes {
            let batch = KernelTimes.batch(sequences: rows, rows: 1, start: context - 1, end: context)
            let taken = try Samples.take(atLeast: 5, seconds: seconds) { try step(batch) }
            each(
                Figure(
                    rows: rows, seconds: taken.best,
                    floorSeconds: work.decodeStep(rows: rows, positions: context).map(roofline.floorSeconds)))
        }
    }

    /// Writes every position that the steps read; what nobody wrote costs nothing to read.
    private func fill() throws {
        let sequences = Self.rowsMax / context
        let blocks = Int32((context + Self.blockSize - 1) / Self.blockSize)
        for first in stride(from: 0, to: Self.batchSizes.last ?? 1, by: sequences) {
            var batch = PackedBatch()
            for sequence in first..<min(first + sequences, Self.batchSizes.last ?? 1) {
                let tokens = (0..<context).map { Int32(($0 * 37 + sequence * 11) % 1000) }
                batch.append(
                    tokens, at: 0, blocks: Int32(sequence) * blocks..<Int32(sequence + 1) * blocks,
                    blockSize: Self.blockSize, logits: .none)
            }
            try runner.forward(batch)
        }
    }

    private func step(_ batch: PackedBatch) throws {
        try runner.forward(batch)
        for first in stride(from: 0, to: batch.logitRows.count, by: runner.shape.maxLogitRows) {
            let range = first..<min(first + runner.shape.maxLogitRows, batch.logitRows.count)
            let logits = try runner.logits(range)
            for row in 0..<range.count {
                let best = logits.withRow(row) { RowOperations.argmax($0) }
                precondition(best != nil, "a model computed no number at all")
            }
        }
    }

    package static func report(_ figures: [Figure], facts: [(name: String, value: JSON)]) -> Report {
        var report = Report(
            title: "decode steps", facts: facts,
            columns: [
                Report.Column("sequences", "SEQUENCES"), Report.Column("milliseconds", "MS", digits: 2),
                Report.Column("floor_milliseconds", "FLOOR MS", digits: 2),
                Report.Column("times_floor", "X FLOOR", digits: 2),
                Report.Column("tokens_per_second", "TOKENS/S", digits: 0),
            ])
        for figure in figures {
            report.add([
                .count(figure.rows), .number(figure.seconds * 1e3),
                figure.floorSeconds.map { .number($0 * 1e3) } ?? .none,
                figure.floorSeconds.map { .number(figure.seconds / $0) } ?? .none,
                .number(Double(figure.rows) / figure.seconds),
            ])
        }
        return report
    }

    package static func plot(_ figures: [Figure], title: String) -> Plot {
        let floors = figures.compactMap { figure in
            figure.floorSeconds.map { (x: Double(figure.rows), y: $0 * 1e3) }
        }
        return Plot(
            title: title, x: Plot.Axis("sequences in the step"), y: Plot.Axis("milliseconds"),
            series: [
                Plot.Series("step", figures.map { (x: Double($0.rows), y: $0.seconds * 1e3) }),
                Plot.Series("floor", floors, isLimit: true),
            ])
    }
}
