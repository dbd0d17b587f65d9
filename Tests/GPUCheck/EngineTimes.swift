import DeviceChecks
import JobQueue
import Kernels
import Models
import Scheduler
import Synchronization
import Worker

/// The engine's decode steps beside the same steps without it: what the host's work around a step costs.
struct EngineTimes {
    private let path: String
    /// Short prompts, so that almost all steps are decode steps of every sequence.
    private let promptTokens = 32
    private let newTokens = 160
    /// The engine's model may still be there when the other is loaded.
    private static let cacheBytes = 8 << 30

    init(_ path: String) { self.path = path }

    func report(sequences: [Int]) async throws {
        for count in sequences.isEmpty ? [32, 256, 512] : sequences {
            let engine = try await engineMs(count)
            let bare = try bareMs(count)
            print(
                "\(count) sequences: \(engine) ms a step in the engine, \(bare) ms without it, "
                    + "\((100 * (engine - bare) / engine).rounded())% host")
        }
    }

    /// Median milliseconds of the engine's last steps while all sequences decode.
    private func engineMs(_ count: Int) async throws -> Double {
        var settings = LocalModel.Settings()
        settings.device = .cuda(0)
        settings.maxSequences = count
        settings.cacheBytes = Self.cacheBytes
        let ended = Counter()
        let (engine, _) = try await LocalModel(path: path).start(settings) { event in
            if case .finished = event { ended.add() }
        }
        engine.submit((0..<count).map { job($0) })
        var steps: [Double] = []
        while ended.value < count {
            try await Task.sleep(for: .milliseconds(20))
            if let snapshot = engine.snapshot, snapshot.statistics.running == count { steps.append(snapshot.stepMs) }
        }
        engine.stop()
        return steps.isEmpty ? 0 : steps[steps.count / 2]
    }

    private func job(_ number: Int) -> EngineJob {
        let request = RequestKey(batch: BatchID("check"), ordinal: number)
        var spec = GenerationSpec(
            id: GenerationID(request: request, choice: 0),
            prompt: (0..<promptTokens).map { Int32(10 + (number * 31 + $0 * 7) % 1000) },
            maxTokens: newTokens, seed: RequestSeed(key: 5))
        spec.sampling.temperature = 0
        spec.stops.ignoresEnds = true
        return EngineJob(id: SequenceID(UInt64(number)), tenant: TenantID(0), spec: spec)
    }

    /// Median milliseconds of a forward pass and the choice of its tokens, one after another.
    private func bareMs(_ count: Int) throws -> Double {
        let device = CUDADevice(try CUDADriver(ordinal: 0))
        let model = try ModelLoader.load(
            path: path, on: device, budget: .bytes(Self.cacheBytes), maxRows: 4096, maxLogitRows: 512)
        let steps = ModelSteps(model.runner, positions: promptTokens + newTokens)
        let batch = steps.batch((0..<count).map { ($0, [Int32(5)], promptTokens + newTokens / 2) })
        var choices = CUDASamplingBatch()
        for _ in 0..<count { choices.append(.greedy) }
        let clock = ContinuousClock()
        var times = try (0..<40).map { _ in
            try clock.measure {
                try model.runner.forward(batch)
                _ = try model.runner.choose(0..<count, choices)
            } / .milliseconds(1)
        }
        times = times.dropFirst(5).sorted()
        return times[times.count / 2]
    }
}

private final class Counter: Sendable {
    private let count = Mutex(0)
    func add() { count.withLock { $0 += 1 } }
    var value: Int { count.withLock { $0 } }
}
