import JSON
import Kernels
import Models

/// Times a model's kernels one by one, on random weights of its shape, beside what the machine could do.
package struct KernelTimes {
    private let device: CPUDevice
    private let work: DecoderWork
    private let weights: RandomWeights
    private let seconds: Double
    private let roofline: Roofline

    package static let rowCounts = [1, 4, 16, 64, 256]
    /// Weights that are read in turn, so that each comes from memory as in a step: beyond any cache together.
    private static let coldBytes = 192 << 20
    /// Of a matrix; a larger one is measured by this part of it.
    private static let elementsMax = 16 << 20

    /// - Parameter seconds: spent on each figure.
    package init(
        _ configuration: DecoderConfiguration, on device: CPUDevice, peaks: CPUPeaks, seconds: Double = 0.4
    ) {
        self.device = device
        self.seconds = seconds
        work = DecoderWork(
            configuration, computeType: device.computeType, quantizesWeights: device.quantizesWeights)
        weights = RandomWeights(count: Self.elementsMax)
        roofline = Roofline(peaks, computing: device.computeType)
    }

    /// One kernel at one size.
    package struct Figure: Sendable {
        package var kernel: String
        package var rows: Int
        package var seconds: Double
        package var work: Work
    }

    /// - Parameter each: called with each figure as it is found.
    package func measure(each: (Figure) -> Void) throws {
        for matrix in work.layerMatrices + [work.head] { try measure(matrix, each) }
        for (name, sequences, rows, start) in [
            ("attention, decode, context 200", 64, 1, 199), ("attention, decode, context 200", 256, 1, 199),
            ("attention, prefill of 512", 1, 512, 0),
        ] {
            each(try attention(name, sequences: sequences, rows: rows, start: start))
        }
    }

    private func measure(_ matrix: DecoderWork.Matrix, _ each: (Figure) -> Void) throws {
        var matrix = matrix
        let most = Self.elementsMax / matrix.inputs / (32 * matrix.parts) * 32 * matrix.parts
        matrix.outputs = min(matrix.outputs, most)
        let copies = max(1, Self.coldBytes / Int(work.work(matrix, rows: 1).bytes))
        var part = MatrixSource(weights.tensor(matrix.outputs / matrix.parts, matrix.inputs))
        part.keepsPrecision = !matrix.isOfBytes
        let matrices = try (0..<copies).map { _ in
            try device.makeMatrix(stacking: Array(repeating: part, count: matrix.parts))
        }
        let outputs = matrix.outputs / matrix.parts
        for rows in Self.rowCounts {
            let x = try device.makeActivation(maxRows: rows, width: matrix.inputs)
            let y = try device.makeActivation(maxRows: rows, width: outputs)
            try device.begin(Self.batch(sequences: rows, rows: 1, start: 0, end: 1))
            let turn = Samples.take(atLeast: 3, seconds: seconds) {
                for copy in matrices {
                    if matrix.parts == 2 {
                        device.gatedLinear(x, copy, bias: nil, function: work.configuration.activation, into: y)
                    } else {
                        device.linear(x, copy, bias: nil, accumulate: false, into: y)
                    }
                }
            }
            each(
                Figure(
                    kernel: matrix.name, rows: rows, seconds: turn.best / Double(copies),
                    work: work.work(matrix, rows: rows)))
        }
    }

    /// Over as many layers as make the cache exceed the machine's.
    private func attention(_ name: String, sequences: Int, rows: Int, start: Int) throws -> Figure {
        let c = work.configuration
        let blocks = sequences * ((start + rows + 15) / 16)
        let shape = c.cacheShape(blockCount: blocks, blockSize: 16)
        let layers = min(max(1, Self.coldBytes / max(1, device.cacheBlockBytes(shape) * blocks / shape.layers)), 64)
        let cache = try device.makeCache(
            CacheShape(
                layers: layers, keyValueHeads: c.keyValueHeads, headWidth: c.headWidth, blockCount: blocks))
        let all = sequences * rows
        let qkv = try device.makeActivation(maxRows: all, width: c.queryKeyValueWidth)
        let y = try device.makeActivation(maxRows: all, width: c.heads * c.headWidth)
        // Every position is written once: pages that nobody wrote are all the same one.
        for position in stride(from: 0, through: start, by: rows) {
            try device.begin(Self.batch(sequences: sequences, rows: rows, start: position, end: start + rows))
            for layer in 0..<layers { device.rotateAndStore(qkv, rotation: nil, cache: cache, layer: layer) }
        }
        let how = AttentionShape(
            queryHeads: c.heads, keyValueHeads: c.keyValueHeads, headWidth: c.headWidth,
            scale: c.layers[0].attentionScale)
        let turn = Samples.take(atLeast: 3, seconds: seconds) {
            for layer in 0..<layers { device.attention(qkv, cache: cache, layer: layer, how, into: y) }
        }
        // Every key and value is read once for all rows that see it.
        let seen = Double(sequences * (start + rows))
        let pairs = Double(sequences * rows) * (Double(start) + Double(rows + 1) / 2)
        let total = Work(
            bytes: seen * Double(2 * c.keyValueHeads * c.headWidth * work.elementBytes),
            operations: pairs * Double(4 * c.heads * c.headWidth))
        return Figure(kernel: name, rows: all, seconds: turn.best / Double(layers), work: total)
    }

    /// `sequences` runs of `rows` tokens from position `start`, each in blocks of its own, enough for positions up to
    /// `end`.
    static func batch(sequences: Int, rows: Int, start: Int, end: Int) -> PackedBatch {
        var batch = PackedBatch()
        let blocks = (end + 15) / 16
        for sequence in 0..<sequences {
            batch.append(
                Array(repeating: Int32(0), count: rows), at: start,
                blocks: Int32(sequence * blocks)..<Int32((sequence + 1) * blocks), blockSize: 16, logits: .last)
        }
        return batch
    }

    /// The figures as a table, for text and JSON.
    package func report(_ figures: [Figure], facts: [(name: String, value: JSON)]) -> Report {
        var report = Report(
            title: "kernels", facts: facts,
            columns: [
                Report.Column("kernel", "KERNEL"), Report.Column("rows", "ROWS"),
                Report.Column("microseconds", "US"), Report.Column("gflop_per_second", "GFLOP/S"),
                Report.Column("operations_percent", "% OF PEAK", digits: 0),
                Report.Column("gbyte_per_second", "GB/S"),
                Report.Column("bandwidth_percent", "% OF PEAK", digits: 0),
                Report.Column("times_floor", "X FLOOR", digits: 2),
            ])
        for figure in figures {
            let operations = figure.work.allOperations / figure.seconds
            let bytes = figure.work.bytes / figure.seconds
            report.add([
                .text(figure.kernel), .count(figure.rows), .number(figure.seconds * 1e6), .number(operations / 1e9),
                .number(roofline.computingSeconds(figure.work) / figure.seconds * 100), .number(bytes / 1e9),
                .number(roofline.movingSeconds(figure.work) / figure.seconds * 100),
                .number(figure.seconds / roofline.floorSeconds(figure.work)),
            ])
        }
        return report
    }

    /// Rates over rows, one line for each matrix, under the machine's peak.
    package func plot(_ figures: [Figure], title: String) -> Plot {
        let names = figures.map(\.kernel).filter { !$0.hasPrefix("attention, ") }
        var series: [Plot.Series] = []
        for name in names where !series.contains(where: { $0.name == name }) {
            let points = figures.filter { $0.kernel == name }
            series.append(
                Plot.Series(name, points.map { (x: Double($0.rows), y: $0.work.allOperations / $0.seconds / 1e9) }))
        }
        let peak = roofline.operationsPerSecond / 1e9
        let ends = [Self.rowCounts.first ?? 1, Self.rowCounts.last ?? 1]
        series.append(Plot.Series("peak", ends.map { (x: Double($0), y: peak) }, isLimit: true))
        return Plot(title: title, x: Plot.Axis("rows"), y: Plot.Axis("GFLOP/s"), series: series)
    }
}
