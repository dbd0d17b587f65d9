import DeviceChecks
import Foundation
import Kernels
import Models

/// What a machine with a GPU and no Swift can check; scripts/gpu-check carries this there.
@main struct GPUCheck {
    private static let usage = """
        usage: GPUCheck kernels [SEED]     every kernel against the CPU's, at random shapes
               GPUCheck peaks              copy bandwidth and matrix rate
               GPUCheck invariance MODEL   the same bits whatever shares the step
               GPUCheck logits MODEL       logits beside the CPU's
               GPUCheck steps MODEL        times of prefill and decode steps
               GPUCheck engine MODEL       the engine's steps beside the device's own time
          --own      by our own matrix products, not NVIDIA's
          --stored   quantised weights stay as they are
          --fp8      8-bit KV cache
          --float32  nothing is rounded
        """

    static func main() async {
        do { try await run() } catch {
            print("FAIL \(error)")
            exit(1)
        }
    }

    private static func run() async throws {
        var arguments = Array(CommandLine.arguments.dropFirst())
        let own = arguments.contains("--own")
        let stored = arguments.contains("--stored")
        let narrow = arguments.contains("--fp8")
        let float32 = arguments.contains("--float32")
        arguments.removeAll { $0.hasPrefix("--") }
        if arguments.first == "engine", arguments.count > 1 {
            return try await EngineTimes(arguments[1]).report(sequences: arguments.dropFirst(2).compactMap { Int($0) })
        }
        let runtime = try CUDADriver(ordinal: 0, products: own ? .own : .automatic)
        // Graphs take it that a device runs one model.
        let check = GPUCheck(
            runtime: runtime,
            device: CUDADevice(
                runtime, computeType: float32 ? .float32 : .bfloat16, graphs: arguments.first != "kernels",
                keepsQuantised: stored, cacheType: narrow ? .fp8 : nil))
        print(check.device.description)
        switch (arguments.first, arguments.dropFirst().first) {
        case ("kernels", let seed): try check.kernels(seed: seed.flatMap { UInt64($0) })
        case ("peaks", _): try check.peaks()
        case ("invariance", let model?): try check.invariance(model)
        case ("logits", let model?): try check.logits(model)
        case ("steps", let model?): try check.steps(model, only: arguments.dropFirst(2))
        default:
            print(usage)
            exit(64)
        }
    }

    let runtime: CUDADriver
    let device: CUDADevice

    private func kernels(seed: UInt64?) throws {
        let seed = seed ?? UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        let results = try KernelChecks.run(device, seed: seed, large: true)
        for result in results { print("\(result.passed ? "ok  " : "FAIL") \(result.name): \(result.error)") }
        end(passed: results.count(where: \.passed), failed: results.count { !$0.passed })
    }

    private func end(passed: Int, failed: Int) {
        print("\(passed) passed, \(failed) failed")
        if failed > 0 { exit(1) }
    }

    private func peaks() throws {
        print("copy \(try measuredBandwidth()) GB/s, read and written together")
        print("matrix product \(try measuredRate()) TFLOP/s")
    }

    /// GB/s of a large copy, bytes read plus bytes written.
    private func measuredBandwidth() throws -> Double {
        let bytes = 2 << 30
        let from = try runtime.allocate(bytes, for: "a copy")
        let to = try runtime.allocate(bytes, for: "a copy")
        defer {
            runtime.free(from)
            runtime.free(to)
        }
        try runtime.fill(from, with: 1, count: bytes)
        let stopwatch = try runtime.makeStopwatch()
        let best = try (0..<6).map { _ in try stopwatch.time { try runtime.copy(from, to: to, bytes) } }.min()!
        return Double(2 * bytes) / best / 1e6
    }

    /// TFLOP/s of an 8192 x 8192 x 8192 product of random numbers.
    private func measuredRate() throws -> Double {
        let size = 8192
        var draws = SystemRandomNumberGenerator()
        let block = (0..<size * 64).map { _ in
            UInt16(truncatingIfNeeded: Float.random(in: -1...1, using: &draws).bitPattern >> 16)
        }
        let (x, w, y) = (
            try runtime.allocate(size * size * 2, for: "a product"),
            try runtime.allocate(size * size * 2, for: "a product"),
            try runtime.allocate(size * size * 4, for: "a product")
        )
        defer { for address in [x, w, y] { runtime.free(address) } }
        for target in [x, w] {
            for part in 0..<size / 64 {
                try block.withUnsafeBytes { try runtime.upload($0, to: target + CUDAAddress(part * size * 128)) }
                try runtime.synchronize()
            }
        }
        guard let products = runtime.products else { return 0 }
        let stopwatch = try runtime.makeStopwatch()
        let times = try (0..<8).map { _ in
            try stopwatch.time {
                _ = try products.multiply(
                    x, rows: size, by: w, inputs: size, outputs: size, accumulate: false, into: y)
            }
        }
        return 2 * Double(size * size) * Double(size) / times.sorted()[4] / 1e9
    }

    private func load(_ path: String, maxRows: Int) throws -> LoadedModel {
        let start = ContinuousClock.now
        let model = try ModelLoader.load(
            path: path, on: device, budget: .available(share: 0.9), maxRows: maxRows, maxLogitRows: 256)
        print("loaded in \(ContinuousClock.now - start), \(model.shape.blockCount) KV blocks")
        return model
    }

    private func invariance(_ path: String) throws {
        let model = try load(path, maxRows: 2048)
        let steps = ModelSteps(model.runner, positions: 700)
        let found = try InvarianceChecks.run(steps, length: 600, seed: 5)
        for (how, differences) in found { print("\(differences == 0 ? "ok  " : "FAIL") \(how): \(differences) differ") }
        end(passed: found.count { $0.1 == 0 }, failed: found.count { $0.1 != 0 })
    }

    private func logits(_ path: String) throws {
        let model = try load(path, maxRows: 2048)
        let cpu = try ModelLoader.load(
            path: path, on: CPUDevice(computeType: device.computeType), budget: .blocks(64), maxRows: 512)
        let tokens = (0..<200).map { Int32(($0 * 7919 + 13) % model.shape.vocabulary) }
        let found = try ModelSteps(model.runner, positions: 400).runAll(tokens)
        let expected = try ModelSteps(cpu.runner, positions: 400).runAll(tokens)
        let error = LogitComparison(found: found, expected: expected)
        print(error)
        end(passed: error.passes ? 1 : 0, failed: error.passes ? 0 : 1)
    }

    /// - Parameter only: "decode SEQUENCES" or "prefill SEQUENCES" alone, for a profiler.
    private func steps(_ path: String, only: ArraySlice<String>) throws {
        let one = only.dropFirst().first.flatMap { Int($0) }
        let decodes =
            only.first == "decode"
            ? [(one ?? 1, 600)]
            : only.first == "prefill"
                ? [] : [(1, 600), (8, 600), (32, 600), (64, 600), (128, 600), (256, 600), (512, 600), (1, 1000)]
        let prefills =
            only.first == "prefill"
            ? [(one ?? 1, 512)] : only.first == "decode" ? [] : [(1, 512), (4, 512), (8, 512), (16, 512)]
        let model = try load(path, maxRows: 8192)
        let steps = ModelSteps(model.runner, positions: 1024)
        let times = StepTimes(steps: steps, stopwatch: try runtime.makeStopwatch())
        for (sequences, context) in decodes where sequences <= steps.capacity {
            print("decode \(sequences) at \(context): \(try times.decode(sequences, context: context)) ms")
        }
        for (sequences, length) in prefills where sequences <= steps.capacity {
            print("prefill \(sequences) of \(length): \(try times.prefill(sequences, length: length)) ms")
        }
    }
}
