import Foundation
import JobQueue
import Kernels
import Models
import Scheduler
import Testing
import Worker

/// The engine over the whole of the CUDA device, on the emulation: running a step ahead changes nothing.
@Suite(.serialized) struct EngineAheadTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/tiny")

    /// Short and long, greedy and sampled, with penalties, stops, log-probabilities, scores of the prompt, and one that
    /// no token can be chosen for.
    static let specs: [GenerationSpec] = (0..<14).map { index in
        var sampling = SamplingParameters()
        sampling.temperature = index % 3 == 0 ? 0 : 0.9
        if index % 4 == 1 { sampling.topP = 0.8 }
        if index % 5 == 2 { sampling.repetitionPenalty = 1.3 }
        if index == 9 { sampling.allowedTokens = [] }
        var spec = GenerationSpec(
            id: GenerationID(request: RequestKey(batch: BatchID("batch"), ordinal: index), choice: 0),
            prompt: (0..<(2 + index * 5 % 23)).map { Int32(($0 * 31 + index * 7) % 200 + 5) }, sampling: sampling,
            maxTokens: index % 2 == 0 ? 30 : 3 + index * 7 % 12, seed: RequestSeed(key: UInt64(index)))
        if index % 4 == 2 { spec.topLogprobs = 2 }
        if index == 5 { spec.promptTopLogprobs = 1 }
        if index == 6 { spec.topLogprobs = 30 }
        // A third of all tokens.
        if index % 4 == 3 { spec.stops.tokens = (0..<500).filter { $0 % 3 == 0 }.map { Int32($0) } }
        return spec
    }

    private enum Fate: Equatable {
        case finished(GeneratedSequence)
        case failed(OutcomeError)
    }

    /// - Parameter chooses: false: logits come to the host, and nothing runs ahead.
    private func run(
        _ name: String, chooses: Bool, together: Bool, blocks: Int = 64
    ) async throws -> (fates: [Fate], counts: SchedulerStatistics.Counts) {
        let (events, sink) = AsyncStream<EngineEvent>.makeStream()
        let engine = Engine()
        let path = Self.folder.appending(path: name).path
        let tokenizer = try TokenizerLoader.make(Checkpoint(path: path).tokenizer)
        _ = try await engine.start(
            Engine.Settings(maxSequences: 8), tokenizer: tokenizer,
            load: {
                let device = CUDADevice(EmulatedRuntime(isLate: true))
                let model = try ModelLoader.load(
                    path: path, on: device, budget: .blocks(blocks), maxRows: 40, maxLogitRows: 16)
                return chooses ? model.runner : HostChoice(model.runner)
            }, onEvent: { sink.yield($0) })
        let jobs = Self.specs.enumerated().map { index, spec in
            EngineJob(id: SequenceID(UInt64(index)), tenant: TenantID(0), spec: spec, cacheSalt: UInt64(index))
        }
        engine.submit(together ? jobs : [jobs[0]])
        var fates: [Int: Fate] = [:]
        for await event in events {
            switch event {
            case .finished(let id, var generation):
                generation.sequence.cachedTokens = 0
                fates[Int(id.rawValue)] = .finished(generation.sequence)
            case .failed(let id, let error): fates[Int(id.rawValue)] = .failed(error)
            case .returned: break
            case .stopped(let why):
                #expect(why == nil)
                sink.finish()
            }
            if fates.count == jobs.count { engine.stop() } else if !together { engine.submit([jobs[fates.count]]) }
        }
        let counts = try #require(engine.snapshot).statistics.counts
        return (jobs.indices.compactMap { fates[$0] }, counts)
    }

    @Test(arguments: ["llama", "gemma3"])
    func changesNothing(_ name: String) async throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).sorted()
        let checkpoint = try #require(names.first { $0.hasPrefix(name) })
        let expected = try await run(checkpoint, chooses: false, together: true).fates
        try #require(expected.count == Self.specs.count)
        #expect(expected.contains { if case .failed = $0 { true } else { false } })
        #expect(
            expected.contains {
                if case .finished(let sequence) = $0, case .stopToken = sequence.finish { true } else { false }
            })
        let alone = try await run(checkpoint, chooses: true, together: false).fates
        let together = try await run(checkpoint, chooses: true, together: true).fates
        let scarce = try await run(checkpoint, chooses: true, together: true, blocks: 8)
        #expect(Self.differing(alone, expected, by: Self.isAlike) == [], "host and device")
        #expect(Self.differing(together, alone) == [], "together")
        #expect(Self.differing(scarce.fates, alone) == [], "with preemption")
        #expect(scarce.counts.preemptions > 0)
    }

    /// Which differ, and the tokens of both: a fate in words takes pages.
    private static func differing(
        _ found: [Fate], _ expected: [Fate], by isEqual: (Fate, Fate) -> Bool = (==)
    ) -> [String] {
        guard found.count == expected.count else { return ["\(found.count) fates, not \(expected.count)"] }
        return found.indices.filter { !isEqual(found[$0], expected[$0]) }.map { index in
            let outputs = [found, expected].map { fates in
                if case .finished(let sequence) = fates[index] { "\(sequence.output)" } else { "failed" }
            }
            return "\(index): \(outputs[0]), not \(outputs[1])"
        }
    }

    /// Equal but for the last digits of log-probabilities, which host and device add up differently, and for what is
    /// drawn: the host draws from another order of tokens, so that a draw means another of them.
    private static func isAlike(_ a: Fate, _ b: Fate) -> Bool {
        guard case .finished(var first) = a, case .finished(var second) = b else { return a == b }
        guard first.spec.sampling.isGreedy else { return true }
        let pairs = zip(first.logprobs, second.logprobs).flatMap { one, other in
            zip([one.logprob] + one.top.map(\.logprob), [other.logprob] + other.top.map(\.logprob))
        }
        let sameTokens = zip(first.logprobs, second.logprobs).allSatisfy {
            $0.token == $1.token && $0.rank == $1.rank && $0.top.map(\.token) == $1.top.map(\.token)
        }
        let counts = (first.logprobs.count, second.logprobs.count)
        (first.logprobs, second.logprobs) = ([], [])
        return first == second && counts.0 == counts.1 && sameTokens && pairs.allSatisfy { abs($0 - $1) < 1e-4 }
    }

    /// A device that is lost in the middle of it all, wherever that is: the engine ends and says what was lost, and no
    /// sequence is told twice.
    @Test(arguments: [0, 1, 2, 40, 41, 42, 43, 44, 45, 300, 301, 302, 303, 304, 305, 306, 307, 308])
    func aLostDeviceEndsTheEngine(after launches: Int) async throws {
        let (events, sink) = AsyncStream<EngineEvent>.makeStream()
        let engine = Engine()
        let path = Self.folder.appending(path: "llama-bias-a").path
        let tokenizer = try TokenizerLoader.make(Checkpoint(path: path).tokenizer)
        _ = try await engine.start(
            Engine.Settings(maxSequences: 8), tokenizer: tokenizer,
            load: {
                let runtime = EmulatedRuntime(isLate: true)
                let runner = try ModelLoader.load(
                    path: path, on: CUDADevice(runtime), budget: .blocks(64), maxRows: 40, maxLogitRows: 16
                ).runner
                runtime.launchesLeft = launches
                return runner
            }, onEvent: { sink.yield($0) })
        var told: Set<SequenceID> = []
        engine.submit(
            Self.specs.enumerated().map { index, spec in
                EngineJob(id: SequenceID(UInt64(index)), tenant: TenantID(0), spec: spec)
            })
        for await event in events {
            switch event {
            case .finished(let id, _), .failed(let id, _): #expect(told.insert(id).inserted)
            case .returned: Issue.record("nothing was to be returned")
            case .stopped(let why):
                #expect(why?.contains("cuda: an illegal memory access") == true, "\(why ?? "no reason")")
                sink.finish()
            }
        }
        #expect(told.count < Self.specs.count)
    }
}

/// A runner whose tokens are chosen by the host.
private final class HostChoice: ModelRunner {
    private let runner: any ModelRunner

    init(_ runner: any ModelRunner) { self.runner = runner }

    var shape: ModelShape { runner.shape }
    func forward(_ batch: PackedBatch) throws { try runner.forward(batch) }
    func logits(_ range: Range<Int>) throws -> Logits { try runner.logits(range) }
}
