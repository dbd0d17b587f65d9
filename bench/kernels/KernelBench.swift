import Foundation
import Kernels

/// Times the kernels by themselves and in the order of a forward pass, on random weights.
///
///     swift run -c release kernel-bench [gemm|attention|model] [float32|bfloat16] [threads]
@main
struct KernelBench {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        let threads = arguments.compactMap { Int($0) }.first
        let device = try CPUDevice(
            computeType: arguments.compactMap { ComputeType(rawValue: $0) }.first, threads: threads)
        print(device.description)
        let all = !arguments.contains { ["gemm", "attention", "model", "small"].contains($0) }
        if all || arguments.contains("gemm") { try gemm(device) }
        if all || arguments.contains("attention") { try attention(device) }
        if all || arguments.contains("model") { try model(device, .smolLM2) }
    }

    /// Processor seconds a thread of the fastest of some runs.
    static func best(_ device: CPUDevice, _ runs: Int = 7, _ body: () throws -> Void) rethrows -> Double {
        var best = Double.infinity
        for _ in 0..<runs {
            let start = Seconds.now
            try body()
            best = min(best, (Seconds.now - start).processor / Double(device.threads))
        }
        return best
    }

    static func tensor(_ rows: Int, _ columns: Int) -> WeightTensor {
        WeightTensor(
            name: "random", type: .f32, shape: [rows, columns],
            bytes: RandomBytes.shared.bytes(rows * columns * 4),
            owner: RandomBytes.shared)
    }

    static func gemm(_ device: CPUDevice) throws {
        for (inputs, outputs) in [(576, 960), (576, 3072), (1536, 576), (640, 2048), (2048, 8192)] {
            let matrix = try device.makeMatrix(stacking: [MatrixSource(tensor(outputs, inputs))])
            for rows in [1, 2, 4, 8, 16, 64, 200, 512] {
                let x = try device.makeActivation(maxRows: rows, width: inputs)
                let y = try device.makeActivation(maxRows: rows, width: outputs)
                try device.begin(batch(sequences: rows, chunk: 1, start: 0))
                let times = max(1, 200_000_000 / (rows * inputs * outputs))
                let seconds = best(device) {
                    for _ in 0..<times { device.linear(x, matrix, bias: nil, accumulate: false, into: y) }
                }
                let flops = 2 * Double(rows * inputs * outputs * times) / seconds
                print(
                    "linear \(rows) x \(inputs) x \(outputs): \(format(flops / 1e9)) GFLOP/s, "
                        + "\(format(seconds / Double(times) * 1e6)) us")
            }
        }
    }

    static func attention(_ device: CPUDevice) throws {
        for (name, heads, kvHeads, width) in [("SmolLM2 135M", 9, 3, 64), ("Gemma 3 270M", 4, 1, 256)] {
            for (sequences, chunk, start) in [
                (200, 1, 100), (1, 1, 2000), (7, 72, 0), (1, 512, 0), (1, 512, 1536),
            ] {
                let rows = sequences * chunk
                let blocks = sequences * ((start + chunk + 15) / 16)
                let cache = try device.makeCache(
                    CacheShape(layers: 1, keyValueHeads: kvHeads, headWidth: width, blockCount: blocks))
                let qkv = try device.makeActivation(maxRows: rows, width: (heads + 2 * kvHeads) * width)
                let y = try device.makeActivation(maxRows: rows, width: heads * width)
                try device.begin(batch(sequences: sequences, chunk: chunk, start: start))
                let shape = AttentionShape(
                    queryHeads: heads, keyValueHeads: kvHeads, headWidth: width,
                    scale: 1 / Float(width).squareRoot())
                let store = best(device) { device.rotateAndStore(qkv, rotation: nil, cache: cache, layer: 0) }
                let seconds = best(device) { device.attention(qkv, cache: cache, layer: 0, shape, into: y) }
                let positions = Double(sequences) * (Double(chunk * start) + Double(chunk * (chunk + 1)) / 2)
                let flops = positions * Double(4 * heads * width)
                print(
                    "attention \(name) \(sequences) x \(chunk) at \(start): "
                        + "\(format(flops / seconds / 1e9)) GFLOP/s, "
                        + "\(format(seconds * 1e6)) us; store \(format(store * 1e6)) us")
            }
        }
    }

    static func format(_ value: Double) -> String { String(format: "%.1f", value) }

    /// `sequences` runs of `chunk` rows at positions from `start`, each in `blocks` blocks of its own (nil: just
    /// enough) from `firstBlock`.
    static func batch(sequences: Int, chunk: Int, start: Int, blocks: Int? = nil, from firstBlock: Int = 0)
        -> PackedBatch
    {
        var batch = PackedBatch()
        let blocks = blocks ?? (start + chunk + 15) / 16
        for sequence in 0..<sequences {
            let first = batch.tokens.count
            batch.sequences.append(
                .init(rows: first..<first + chunk, start: start, blockTableOffset: batch.blockTables.count))
            batch.blockTables += (0..<blocks).map { Int32(firstBlock + sequence * blocks + $0) }
            for position in start..<start + chunk {
                batch.tokens.append(Int32(position % 100))
                batch.positions.append(Int32(position))
                batch.slots.append(
                    Int32((firstBlock + sequence * blocks + position / 16) * 16 + position % 16))
            }
            batch.logitRows.append(Int32(first + chunk - 1))
        }
        return batch
    }
}

/// One span of random floats that all tensors share.
final class RandomBytes: @unchecked Sendable {
    // @unchecked: written once, in init.
    static let shared = RandomBytes()
    private let floats: UnsafeMutableBufferPointer<Float>

    private init() {
        floats = .allocate(capacity: 64 << 20)
        var state: UInt32 = 1
        for index in floats.indices {
            state = state &* 1_664_525 &+ 1_013_904_223
            floats.initializeElement(at: index, to: Float(Int32(bitPattern: state)) * 0x1p-31 * 0.05)
        }
    }

    func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(floats)[..<count])
    }
}
