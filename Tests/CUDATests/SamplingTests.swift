import DeviceChecks
import Foundation
import Testing

@testable import Kernels
@testable import Worker

/// `mr_sample` on the emulation against the reference and the CPU's sampler.
@Suite struct SamplingTests {
    /// Tokens less likely than this, relative to the most likely one, weigh nothing on a device.
    static let vanishing = 1e-13

    @Test(.enabled(if: !SamplingCase.all.isEmpty, "no sampling/sampling.json"), arguments: SamplingCase.all)
    func distributionIsTheReferences(_ example: SamplingCase) throws {
        var row = SamplingRow(
            logits: example.logits, parameters: example.parameters, adjustments: example.adjustments,
            generated: example.output.count)
        let sampling = try EmulatedSampling([row])
        #expect(sampling.choices[0].status == .chosen)
        if example.parameters.isGreedy {
            #expect(Int(sampling.choices[0].token) == example.argmax)
            return
        }
        var (found, expected) = (sampling.probabilities[0], example.probabilities)
        if example.hasTies {
            // Tied tokens are interchangeable: compare what is left, not who.
            found.sort()
            expected.sort()
        }
        let peak = expected.max() ?? 0
        for (a, b) in zip(found, expected) {
            // An error of d in two logits moves p by up to p (1 - p) 2 d / temperature; adjusted logits are float32.
            let error = example.rounding + 1e-6
            #expect(abs(a - b) <= 1e-6 + b * (1 - b) * 2 * error / example.parameters.temperature)
            #expect((a > 0) == (b > 0) || b < Self.vanishing * peak)
        }
        row.parameters.temperature = 0
        #expect(Int(try EmulatedSampling([row]).choices[0].token) == example.argmax)
    }

    static func normal(_ random: inout RandomNumbers) -> Float {
        let (a, b) = (Double(random.float(in: 0...1)), Double(random.float(in: 0...1)))
        return Float((-2 * log(max(a, 1e-9))).squareRoot() * cos(2 * .pi * b))
    }

    static func pick<T>(_ choices: [T], _ random: inout RandomNumbers) -> T { choices[random.below(choices.count)] }

    /// Rows of several shapes, with and without adjustments and cuts; those of one trial have one vocabulary.
    static func rows(_ trial: Int) -> [SamplingRow] {
        var random = RandomNumbers(seed: UInt64(trial))
        let vocabulary = pick([1, 7, 33, 500, 3001, 9000], &random)
        return (0..<3).map { number in
            let spread = pick([0.01, 1, 3, 12] as [Float], &random)
            var logits = (0..<vocabulary).map { _ in normal(&random) * spread }
            if trial % 5 == 0 { logits.sort() }
            if trial % 7 == 0 { for i in logits.indices where i % 3 == 1 { logits[i] = -.infinity } }
            if trial % 4 == 0 { logits = logits.map { ($0 * 4).rounded() / 4 } }
            var parameters = SamplingParameters()
            parameters.temperature = pick([0.2, 0.8, 1, 1.9, 0], &random)
            parameters.topP = pick([0.05, 0.5, 0.95, 0.999999, 1, 1], &random)
            parameters.topK = pick([0, 0, 1, 5, 50, vocabulary], &random)
            parameters.minP = pick([0, 0, 0, 0.01, 0.3, 1], &random)
            var row = SamplingRow(logits: logits, topLogprobs: [nil, 0, 20, 3][(trial + number) % 4])
            row.uniform = Double(random.bits() >> 11) * 0x1p-53
            row.generated = random.below(4)
            if trial % 2 == 0 { adjust(&row, &parameters, &random) }
            row.parameters = parameters
            return row
        }
    }

    private static func adjust(
        _ row: inout SamplingRow, _ parameters: inout SamplingParameters, _ random: inout RandomNumbers
    ) {
        let vocabulary = row.logits.count
        func tokens(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(random.below(vocabulary)) } }
        parameters.repetitionPenalty = pick([1, 1.3, 0.8], &random)
        parameters.frequencyPenalty = pick([0, 0.5, -0.25], &random)
        parameters.presencePenalty = pick([0, 1, -1], &random)
        parameters.logitBias = tokens(random.below(4)).map { .init(token: $0, value: Double(random.float(in: -3...3))) }
        if random.below(3) == 0 { parameters.allowedTokens = tokens(1 + random.below(40)) }
        var adjustments = TokenAdjustments(
            parameters, prompt: tokens(10), badWords: [tokens(1), tokens(2)], ends: tokens(1), minTokens: 3)
        var output: [Int32] = []
        for token in tokens(row.generated) {
            output.append(token)
            adjustments.append(token, output: output)
        }
        row.adjustments = adjustments
    }

    @Test(arguments: 0..<40)
    func choicesAreTheCPUs(_ trial: Int) throws {
        let rows = Self.rows(trial)
        let sampling = try inOrder(threadOrders[trial % 3]) { try EmulatedSampling(rows) }
        #expect(sampling.logitsAfter.map(\.bitPattern) == rows.flatMap { $0.logits.map(\.bitPattern) })
        for (number, row) in rows.enumerated() {
            let choice = sampling.choices[number]
            let expected: [Double]
            do {
                expected = try row.distribution()
            } catch SamplingError.nothingAllowed {
                #expect(choice.status == .nothingAllowed && choice.token == -1 && sampling.tokens[number] == 0)
                continue
            }
            try #require(choice.status == .chosen)
            #expect(sampling.tokens[number] == choice.token)
            try compare(sampling.probabilities[number], expected, row)
            try checkDraw(choice.token, expected, row)
            if let topLogprobs = row.topLogprobs { try checkLogprobs(choice, row, topLogprobs) }
        }
    }

    private func compare(_ found: [Double], _ expected: [Double], _ row: SamplingRow) throws {
        guard !row.parameters.isGreedy else { return }
        let peak = expected.max() ?? 0
        var shifted = 0.0
        for (a, b) in zip(found, expected) {
            // A token at the very edge of a cut may fall to either side: float32 weights are good to about 1e-6.
            let isEdge = (a > 0) != (b > 0) && max(a, b) > 1e-6
            if isEdge { shifted += max(a, b) }
            try #require(abs(a - b) <= 3e-6 || isEdge)
            try #require((a > 0) == (b > 0) || b < Self.vanishing * peak || row.parameters.topP < 1)
        }
        #expect(shifted == 0 || row.parameters.topP < 1)
        #expect(shifted < 1e-3)
    }

    /// The token's span of the cumulative distribution, by id, holds the draw.
    private func checkDraw(_ token: Int32, _ expected: [Double], _ row: SamplingRow) throws {
        if row.parameters.isGreedy {
            #expect(expected[Int(token)] == 1)
            return
        }
        let before = expected[..<Int(token)].reduce(0, +)
        let slack = row.parameters.topP < 1 ? 1e-3 : 1e-5
        #expect(before - slack <= row.uniform && row.uniform <= before + expected[Int(token)] + slack)
    }

    private func checkLogprobs(_ choice: CUDASamplingBatch.Choice, _ row: SamplingRow, _ top: Int) throws {
        var sampler = Sampler()
        let expected = try sampler.score(choice.token, in: row.logits.span, top: top)
        #expect(choice.rank == expected.rank)
        // The logarithm of 0 is -infinity on both sides.
        let slack = 2e-6 * max(1, abs(expected.logprob))
        #expect(choice.logprob == expected.logprob || abs(choice.logprob - expected.logprob) <= slack)
        #expect(choice.top.map(\.token) == expected.top.map(\.token))
        for (a, b) in zip(choice.top, expected.top) {
            #expect(a.logprob == b.logprob || abs(a.logprob - b.logprob) <= 2e-6 * max(1, abs(b.logprob)))
        }
    }
}
