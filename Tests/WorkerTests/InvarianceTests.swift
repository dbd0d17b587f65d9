import JobQueue
import Kernels
import Scheduler
import Testing
import Worker

/// I8: what a request comes to does not depend on what shared the batch, on chunking, preemption or prefix hits;
/// token ids and log-probabilities are equal bit for bit. (That a kill and a resume change nothing either is an
/// end-to-end test.)
@Suite struct InvarianceTests {
    static let checkpoints = ["tiny_gguf/llama-rope3-a.f32.gguf", "tiny_gguf/gemma3-a.f32.gguf"]

    /// Forty requests: greedy and sampled, short and long, some beginning alike, some with prompt log-probabilities.
    static let specs: [GenerationSpec] = {
        var random = SplitMix(state: 7)
        let shared = (0..<48).map { _ in Int32(random.next() % 300) }
        return (0..<40).map { index in
            let own = (0..<(3 + Int(random.next() % 60))).map { _ in Int32(random.next() % 300) }
            var sampling = SamplingParameters()
            sampling.temperature = index % 3 == 0 ? 0 : 0.9
            if index % 4 == 1 { sampling.topP = 0.8 }
            if index % 5 == 2 { sampling.repetitionPenalty = 1.2 }
            var spec = GenerationSpec(
                id: GenerationID(request: RequestKey(batch: BatchID("batch"), ordinal: index), choice: 0),
                prompt: index % 2 == 0 ? shared + own : own, sampling: sampling,
                maxTokens: 5 + Int(random.next() % 30), seed: RequestSeed(key: UInt64(index)))
            spec.topLogprobs = 3
            if index % 7 == 0 { spec.promptTopLogprobs = 2 }
            return spec
        }
    }()

    /// What products are computed with.
    enum Numbers: CaseIterable, Sendable {
        case float32, bfloat16, int8

        func apply(to harness: inout EngineHarness) {
            harness.computeType = self == .float32 ? .float32 : .bfloat16
            harness.quantizesWeights = self == .int8
        }
    }

    /// What must be equal: everything but how much the prefix cache served.
    static func comparable(_ fates: [EngineHarness.Fate]) -> [GeneratedSequence] {
        fates.compactMap { fate in
            guard case .finished(var sequence) = fate else { return nil }
            sequence.cachedTokens = 0
            return sequence
        }
    }

    @Test(arguments: checkpoints, Numbers.allCases)
    func companyChangesNothing(_ checkpoint: String, _ numbers: Numbers) async throws {
        var alone = EngineHarness(checkpoint)
        numbers.apply(to: &alone)
        alone.oneAtATime = true
        alone.sharesPrefixes = false
        let expected = Self.comparable(try await alone.run(Self.specs).fates)
        try #require(expected.count == Self.specs.count)

        var together = EngineHarness(checkpoint)
        numbers.apply(to: &together)
        together.sharesPrefixes = false
        let all = try await together.run(Self.specs)
        #expect(Self.comparable(all.fates) == expected, "all at once")

        var prefixes = together
        prefixes.sharesPrefixes = true
        let hits = try await prefixes.run(Self.specs)
        #expect(Self.comparable(hits.fates) == expected, "with prefix hits")
        #expect(hits.snapshot.statistics.counts.prefixHitTokens > 0)

        var chunks = together
        chunks.maxRows = 7
        chunks.maxSequences = 5
        #expect(Self.comparable(try await chunks.run(Self.specs).fates) == expected, "tiny chunks")

        var scarce = together
        scarce.blockCount = 12
        let preempted = try await scarce.run(Self.specs)
        #expect(Self.comparable(preempted.fates) == expected, "with preemption")
        #expect(preempted.snapshot.statistics.counts.preemptions > 0)

        var crowded = prefixes
        crowded.blockCount = 12
        crowded.maxRows = 24
        crowded.maxSequences = 16
        #expect(Self.comparable(try await crowded.run(Self.specs).fates) == expected, "all of it together")
    }
}

/// SplitMix64 (https://prng.di.unimi.it/splitmix64.c).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
