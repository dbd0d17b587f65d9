import Foundation
import Kernels

/// A Llama-shaped model of random weights, to time steps without a checkpoint.
struct BenchModel {
    var layers: Int
    var hidden: Int
    var heads: Int
    var keyValueHeads: Int
    var headWidth: Int
    var inner: Int
    var vocabulary: Int

    static let smolLM2 = BenchModel(
        layers: 30, hidden: 576, heads: 9, keyValueHeads: 3, headWidth: 64, inner: 1536, vocabulary: 49152)
}

/// Weights and buffers of a `BenchModel`.
final class BenchRunner {
    let device: CPUDevice
    let shape: BenchModel
    let layers: [(qkv: CPUMatrix, output: CPUMatrix, gateUp: CPUMatrix, down: CPUMatrix)]
    let head: CPUMatrix, norm: CPUVector, table: CPUTable, rotation: CPURotation, cache: CPUCache
    let x: CPUActivation, y: CPUActivation, qkv: CPUActivation, attended: CPUActivation, inner: CPUActivation
    let last: CPUActivation
    var seconds: [String: Seconds] = [:]
    static let logitRows = 64

    init(_ device: CPUDevice, _ shape: BenchModel, maxRows: Int, blockCount: Int) throws {
        self.device = device
        self.shape = shape
        let qkvWidth = (shape.heads + 2 * shape.keyValueHeads) * shape.headWidth
        func matrix(_ outputs: Int, _ inputs: Int, parts: Int = 1) throws -> CPUMatrix {
            try device.makeMatrix(
                stacking: (0..<parts).map { _ in MatrixSource(KernelBench.tensor(outputs / parts, inputs)) })
        }
        layers = try (0..<shape.layers).map { _ in
            (
                try matrix(qkvWidth, shape.hidden), try matrix(shape.hidden, shape.heads * shape.headWidth),
                try matrix(2 * shape.inner, shape.hidden, parts: 2), try matrix(shape.hidden, shape.inner)
            )
        }
        head = try matrix(shape.vocabulary, shape.hidden)
        norm = try device.makeVector([Float](repeating: 1, count: shape.hidden))
        table = try device.makeTable(KernelBench.tensor(1000, shape.hidden))
        rotation = try device.makeRotation(
            inverseFrequencies: (0..<shape.headWidth / 2).map {
                pow(1e-4, Float($0) / Float(shape.headWidth / 2))
            },
            scale: 1, maxPositions: 2048)
        cache = try device.makeCache(
            CacheShape(
                layers: shape.layers, keyValueHeads: shape.keyValueHeads, headWidth: shape.headWidth,
                blockCount: blockCount))
        x = try device.makeActivation(maxRows: maxRows, width: shape.hidden)
        y = try device.makeActivation(maxRows: maxRows, width: shape.hidden)
        qkv = try device.makeActivation(maxRows: maxRows, width: qkvWidth)
        attended = try device.makeActivation(maxRows: maxRows, width: shape.heads * shape.headWidth)
        inner = try device.makeActivation(maxRows: maxRows, width: shape.inner)
        last = try device.makeActivation(maxRows: Self.logitRows, width: shape.hidden)
    }

    private func time(_ name: String, _ body: () throws -> Void) rethrows {
        let start = Seconds.now
        try body()
        seconds[name, default: Seconds()] += Seconds.now - start
    }

    func step(_ batch: PackedBatch) throws {
        try time("begin") { try device.begin(batch) }
        time("embed") { device.embed(table, scale: 1, into: x) }
        let how = AttentionShape(
            queryHeads: shape.heads, keyValueHeads: shape.keyValueHeads, headWidth: shape.headWidth,
            scale: 1 / Float(shape.headWidth).squareRoot())
        for (index, layer) in layers.enumerated() {
            time("norm") { device.rmsNorm(x, weight: norm, epsilon: 1e-5, into: y) }
            time("qkv") { device.linear(y, layer.qkv, bias: nil, accumulate: false, into: qkv) }
            time("rotate") { device.rotateAndStore(qkv, rotation: rotation, cache: cache, layer: index) }
            time("attention") { device.attention(qkv, cache: cache, layer: index, how, into: attended) }
            time("output") { device.linear(attended, layer.output, bias: nil, accumulate: true, into: x) }
            time("norm") { device.rmsNorm(x, weight: norm, epsilon: 1e-5, into: y) }
            time("gate, up") { device.gatedLinear(y, layer.gateUp, bias: nil, function: .silu, into: inner) }
            time("down") { device.linear(inner, layer.down, bias: nil, accumulate: true, into: x) }
        }
        time("norm") { device.rmsNorm(x, weight: norm, epsilon: 1e-5, into: x) }
        for start in stride(from: 0, to: batch.logitRows.count, by: Self.logitRows) {
            let range = start..<min(start + Self.logitRows, batch.logitRows.count)
            try time("logits") {
                device.gatherLogitRows(x, range: range, into: last)
                _ = try device.logits(last, rows: range.count, head, bias: nil, softCap: nil)
            }
        }
    }
}

extension KernelBench {
    /// 200 prompts of 72 tokens, then 64 tokens for each; and a single sequence's decode.
    static func model(_ device: CPUDevice, _ shape: BenchModel) throws {
        var start = Seconds.now
        let runner = try BenchRunner(device, shape, maxRows: 512, blockCount: 200 * 9)
        print("packed in \((Seconds.now - start).text(device.threads))")
        start = Seconds.now
        for step in 0..<29 {
            try runner.step(batch(sequences: 7, chunk: 72, start: 0, blocks: 9, from: min(step * 7, 193) * 9))
        }
        report("29 prefill steps of 504 rows", since: start, runner)
        let decode = Seconds.now
        for token in 0..<64 { try runner.step(batch(sequences: 200, chunk: 1, start: 72 + token, blocks: 9)) }
        report("64 decode steps of 200 rows", since: decode, runner)
        print("200 requests in all: \((Seconds.now - start).text(device.threads))")
        start = Seconds.now
        for token in 0..<64 { try runner.step(batch(sequences: 1, chunk: 1, start: 72 + token)) }
        report("64 decode steps of 1 row", since: start, runner)
    }

    static func report(_ name: String, since start: Seconds, _ runner: BenchRunner) {
        print("\(name): \((Seconds.now - start).text(runner.device.threads))")
        for (part, time) in runner.seconds.sorted(by: { $0.value.processor > $1.value.processor }) {
            print("    \(part): \(time.text(runner.device.threads))")
        }
        runner.seconds = [:]
    }
}
