import Foundation
import JSON
import Kernels
import Models
import Testing

/// Prompts on real checkpoints against transformers in float32: `real/MODEL.VARIANT.json`.
@Suite(.serialized) struct RealModelReferenceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let file: URL
        let computeType: ComputeType
        var testDescription: String { "\(file.lastPathComponent) \(computeType.rawValue)" }
    }

    static let cases: [Case] = ReferenceFolder.entries("real").filter { url in
        url.pathExtension == "json" && url.lastPathComponent.split(separator: ".").count == 3
            && !url.lastPathComponent.contains("crosscheck")
    }.flatMap { file in RealModel.computeTypes.map { Case(file: file, computeType: $0) } }

    /// Largest differences seen over the prompts of a file.
    struct Differences {
        var logit: Float = 0
        var topLogProbability: Float = 0
        var tokenLogProbability: Float = 0
        var meanTokenLogProbability: Float = 0
    }

    @Test(arguments: cases)
    func promptsAgree(_ test: Case) throws {
        let reference = try ReferenceFolder.json(test.file)
        let prompts = reference["prompts"]?.array ?? []
        let longest =
            prompts.map { ($0["ids"]?.ids.count ?? 0) + ($0["greedy_ids"]?.ids.count ?? 0) }.max()
            ?? 0
        let total = prompts.reduce(0) { $0 + ($1["ids"]?.ids.count ?? 0) + 64 }
        let context = max(longest, total + 16 * prompts.count)
        guard let model = try RealModel.load(reference, test.computeType, context: context) else { return }
        var worst = Differences()
        for prompt in prompts {
            try compare(prompt, probes: reference["probe_ids"]?.ids ?? [], model.runner, &worst)
        }
        let divergences = try greedyDivergences(prompts, model.runner)
        print(
            "real \(test.testDescription): \(worst); greedy margins where it diverged: \(divergences)"
        )
        if test.computeType == .float32 {
            #expect(worst.logit <= 1e-3)
            #expect(worst.tokenLogProbability <= 5e-4)
            #expect(divergences.allSatisfy { $0 < 1e-3 })
        } else {
            #expect(worst.topLogProbability <= 0.55)
            #expect(worst.meanTokenLogProbability <= 0.1)
            #expect(divergences.allSatisfy { $0 < 0.5 })
        }
    }

    private func compare(
        _ prompt: JSON, probes: [Int32], _ runner: any ModelRunner, _ worst: inout Differences
    ) throws {
        let ids = prompt["ids"]?.ids ?? []
        let last = try #require(
            SequenceDriver.allLogits(ids, runner, chunk: runner.shape.maxRows).last)
        let expected =
            Array(zip(prompt["top10_ids"]?.ids ?? [], prompt["top10_logits"]?.floats ?? []))
            + Array(zip(probes, prompt["probe_logits"]?.floats ?? []))
        try #require(!expected.isEmpty)
        for (id, logit) in expected { worst.logit = max(worst.logit, abs(last[Int(id)] - logit)) }
        let wantedSum = Float(try #require(prompt["logsumexp"]?.double))
        let sum = last.withUnsafeBufferPointer { Float(RowOperations.logSumExp($0)) }
        for (id, logit) in expected.prefix(10) {
            worst.topLogProbability = max(
                worst.topLogProbability, abs((last[Int(id)] - sum) - (logit - wantedSum)))
        }
        let losses = try Perplexity.losses(ids, with: runner)
        let wanted = prompt["prompt_token_logprobs"]?.floats ?? []
        try #require(losses.count == wanted.count)
        let distances = zip(losses, wanted).map { abs(-$0 - $1) }
        worst.tokenLogProbability = max(worst.tokenLogProbability, distances.max() ?? 0)
        worst.meanTokenLogProbability = max(
            worst.meanTokenLogProbability, distances.reduce(0, +) / Float(max(distances.count, 1)))
    }

    /// Runs all prompts together. Where a continuation leaves the reference's, the reference's margin
    /// there.
    private func greedyDivergences(_ prompts: [JSON], _ runner: any ModelRunner) throws -> [Float] {
        let expected = prompts.map { $0["greedy_ids"]?.ids ?? [] }
        let count = expected.map(\.count).max() ?? 0
        var driver = SequenceDriver(
            runner, prompts: prompts.map { $0["ids"]?.ids ?? [] }, room: count)
        let result = try driver.greedy(count) { sequence, _ in 16 + 9 * sequence }
        return zip(prompts, zip(result.ids, expected)).compactMap { prompt, pair in
            let agreed = zip(pair.0, pair.1).prefix { $0 == $1 }.count
            guard agreed < pair.1.count else { return nil }
            return prompt["greedy_margins"]?.floats[agreed] ?? .infinity
        }
    }
}
