import Foundation
import JobQueue
import Kernels
import Models
import Scheduler
import Synchronization
import Worker

/// Runs sequences through a real engine on a tiny checkpoint and waits for what becomes of them.
struct EngineHarness {
    enum Fate: Sendable, Equatable {
        case finished(GeneratedSequence)
        case failed(OutcomeError)
    }

    static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures")

    /// Of the tokens of a tiny checkpoint; their texts do not matter here.
    static let tokenizer = ToyTokenizer((0..<400).map { Array("<\($0)>".utf8) })

    var checkpoint: String
    var computeType = ComputeType.float32
    var quantizesWeights = false
    var blockCount = 512
    var maxRows = 256
    var maxSequences = 64
    /// False gives every sequence a salt of its own, so that none finds another's blocks.
    var sharesPrefixes = true
    /// Submits the next job when the one before has ended.
    var oneAtATime = false

    init(_ checkpoint: String) { self.checkpoint = checkpoint }

    var path: String { Self.fixtures.appending(path: checkpoint).path }

    /// - Returns: fates in the order of `specs`, and the engine's last snapshot.
    func run(_ specs: [GenerationSpec]) async throws -> (fates: [Fate], snapshot: EngineSnapshot) {
        let (events, sink) = AsyncStream<EngineEvent>.makeStream()
        let engine = Engine()
        _ = try await engine.start(
            Engine.Settings(maxSequences: maxSequences), tokenizer: Self.tokenizer,
            load: { [self] in
                let set = quantizesWeights && !CPUFeatures.best.multipliesBytes ? .scalar : CPUFeatures.best
                let device = try CPUDevice(
                    computeType: computeType, threads: 2, instructionSet: set, quantizesWeights: quantizesWeights)
                return try ModelLoader.load(
                    path: path, on: device, budget: .blocks(blockCount), maxRows: maxRows, maxLogitRows: 16
                ).runner
            },
            onEvent: { sink.yield($0) })
        let jobs = specs.enumerated().map { index, spec in
            EngineJob(
                id: SequenceID(UInt64(index)), tenant: TenantID(0), spec: spec,
                cacheSalt: sharesPrefixes ? 0 : UInt64(index + 1))
        }
        if oneAtATime { engine.submit([jobs[0]]) } else { engine.submit(jobs) }
        var fates: [Int: Fate] = [:]
        for await event in events {
            switch event {
            case .finished(let id, let generation): fates[Int(id.rawValue)] = .finished(generation.sequence)
            case .failed(let id, let error): fates[Int(id.rawValue)] = .failed(error)
            case .returned: break
            case .stopped: sink.finish()
            }
            if fates.count == specs.count { engine.stop() } else if oneAtATime { engine.submit([jobs[fates.count]]) }
        }
        guard let snapshot = engine.snapshot else { throw EngineFailure(reason: "no snapshot") }
        return (specs.indices.compactMap { fates[$0] }, snapshot)
    }
}
