import DeviceChecks
import Foundation
import Testing

@testable import Kernels
@testable import Worker

/// Rows that nothing can be chosen from, large vocabularies, ties, and what must not make a difference.
@Suite struct SamplingEdgeTests {
    private func choose(_ logits: [Float], _ change: (inout SamplingRow) -> Void = { _ in }) throws
        -> CUDASamplingBatch.Choice
    {
        var row = SamplingRow(logits: logits)
        change(&row)
        return try EmulatedSampling([row]).choices[0]
    }

    @Test(arguments: [nil, 2], [0.0, 1.0])
    func rowsWithoutAChoiceSayWhy(_ top: Int?, _ temperature: Double) throws {
        func status(
            _ logits: [Float], allowed: [Int32]? = nil, bias: Double = 0
        ) throws -> CUDASamplingBatch.Choice.Status {
            let choice = try choose(logits) {
                $0.topLogprobs = top
                $0.parameters.temperature = temperature
                $0.parameters.allowedTokens = allowed
                if bias != 0 { $0.parameters.logitBias = [.init(token: 1, value: bias)] }
            }
            #expect((choice.token == -1) == (choice.status != .chosen))
            return choice.status
        }
        #expect(try status([1, .nan, 3]) == .nonFiniteLogits)
        #expect(try status([1, .infinity, 3]) == .nonFiniteLogits)
        #expect(try status([-.infinity, -.infinity]) == .nothingAllowed)
        #expect(try status([1, 2, 3], bias: .infinity) == .nonFiniteLogits)
        #expect(try status([1, -.infinity, 3], allowed: [1]) == .nothingAllowed)
        #expect(try status([1, 2, 3], allowed: []) == .nothingAllowed)
        // What is not on the list does not matter, but for log-probabilities.
        #expect(try status([.nan, 2, 3], allowed: [1, 2]) == (top == nil ? .chosen : .nonFiniteLogits))
        #expect(try status([-.infinity, 2]) == .chosen)
    }

    @Test func greedyTakesTheFirstMaximum() throws {
        let rows: [([Float], Int32)] = [
            ([3, 5, 5, 1], 1), ([-0.0, 0, -1], 0), ([0, -0.0, -1], 0), ([-9, -3], 1),
        ]
        for (logits, best) in rows {
            #expect(try choose(logits) { $0.parameters.temperature = 0 }.token == best)
        }
    }

    /// All equal, and nearly: every token falls into one bin of the first histogram.
    @Test(arguments: [1, 64, 5000, 70_000])
    func tiesStayInOrder(_ vocabulary: Int) throws {
        var rows: [SamplingRow] = []
        for (topK, topP) in [(0, 1.0), (3, 1.0), (0, 0.25), (3, 0.25), (0, 0.0)] {
            var row = SamplingRow(logits: [Float](repeating: -7.25, count: vocabulary), uniform: 0.7031, topLogprobs: 5)
            row.parameters.topK = topK
            row.parameters.topP = topP
            rows.append(row)
        }
        let sampling = try EmulatedSampling(rows)
        for (number, row) in rows.enumerated() {
            let choice = sampling.choices[number]
            // Of equal tokens, those with smaller ids are dropped first; at least one stays.
            let kept = max(1, Int((row.parameters.topP * Double(vocabulary)).rounded(.up)))
            let expected = vocabulary - kept + Int(0.7031 * Double(kept))
            #expect(choice.token == Int32(expected))
            #expect(choice.rank == vocabulary)
            #expect(choice.top.map(\.token) == (0..<Int32(min(5, vocabulary))).map { $0 })
        }
    }

    @Test func theLargestVocabulary() throws {
        var random = RandomNumbers(seed: 9)
        let vocabulary = 262_144
        let logits = (0..<vocabulary).map { _ in SamplingTests.normal(&random) * 3 }
        var rows = [SamplingRow](repeating: SamplingRow(logits: logits, topLogprobs: 20), count: 3)
        rows[0].parameters.topP = 0.9
        rows[1].parameters.topK = 4000
        let sampling = try EmulatedSampling(rows)
        for (number, row) in rows.enumerated() {
            let expected = try row.distribution()
            let found = sampling.probabilities[number]
            let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? 1
            #expect(worst < 1e-6)
            #expect(abs(found.count { $0 > 0 } - expected.count { $0 > 0 }) <= (number == 0 ? 8 : 0))
            var sampler = Sampler()
            let scored = try sampler.score(sampling.choices[number].token, in: logits.span, top: 20)
            #expect(sampling.choices[number].rank == scored.rank)
            #expect(abs(sampling.choices[number].logprob - scored.logprob) < 1e-5)
            #expect(sampling.choices[number].top.map(\.token) == scored.top.map(\.token))
        }
    }

    /// Draws follow the distribution: each token as often as its share of evenly spaced draws.
    @Test func drawsCoverTheDistribution() throws {
        let logits: [Float] = [0.3, -1, 2, 0.3, -.infinity, 1.1, -3, 0]
        let draws = 250
        let rows = (0..<draws).map { number in
            SamplingRow(logits: logits, uniform: (Double(number) + 0.5) / Double(draws))
        }
        let sampling = try EmulatedSampling(rows)
        let expected = try rows[0].distribution()
        #expect(zip(sampling.tokens, sampling.tokens.dropFirst()).allSatisfy { $0 <= $1 })
        for (token, share) in expected.enumerated() {
            let found = sampling.tokens.count { $0 == Int32(token) }
            #expect(abs(Double(found) - share * Double(draws)) <= 1)
        }
        // The ends of the unit interval.
        var ends = [SamplingRow(logits: logits, uniform: 0), SamplingRow(logits: logits, uniform: 1 - 0x1p-53)]
        #expect(try EmulatedSampling(ends).tokens == [0, 7])
        ends[0].logits[0] = -.infinity
        #expect(try EmulatedSampling(ends).tokens == [1, 7])
    }

    /// The same row among others, at other places, under every order of threads.
    @Test func choicesDependOnTheRowAlone() throws {
        for trial in [1, 2, 8, 13] {
            let rows = SamplingTests.rows(trial)
            let alone = try rows.map { try EmulatedSampling([$0]).choices[0] }
            for order in threadOrders {
                var broken = rows[0]
                broken.logits = broken.logits.map { _ in .nan }
                let mixed = [broken, rows[2], rows[0], broken, rows[1], rows[0]]
                let together = try inOrder(order) { try EmulatedSampling(mixed).choices }
                let found = [together[1], together[2], together[4], together[5]]
                #expect(found == [alone[2], alone[0], alone[1], alone[0]])
            }
        }
    }

    @Test(arguments: [1, 5, 4096, 20_001], [1, 3, 8])
    func argmaxOfGreedySteps(_ vocabulary: Int, _ split: Int) throws {
        var random = RandomNumbers(seed: UInt64(vocabulary))
        var rows = (0..<6).map { _ in (0..<vocabulary).map { _ in (SamplingTests.normal(&random) * 8).rounded() } }
        rows[1][vocabulary - 1] = .nan
        rows[2] = rows[2].map { _ in -.infinity }
        rows[3][vocabulary / 2] = .infinity
        rows[4] = rows[4].map { _ in -0.0 }
        let logits = EmulatedBuffer(rows.flatMap { $0 })
        let keys = EmulatedBuffer([UInt64](repeating: 0, count: rows.count))
        let arrived = EmulatedBuffer([UInt32](repeating: 0, count: rows.count))
        let first = { (row: Int) -> Int32 in Int32(rows[row].firstIndex(of: rows[row].max()!)!) }
        // Twice: it leaves its state as it found it.
        for _ in 0..<2 {
            let results = EmulatedBuffer<Int32>(count: 2 * rows.count)
            let tokens = EmulatedBuffer<Int32>(count: rows.count)
            try emulate(
                "mr_argmax", grid: (rows.count, split, 1), block: 256, .buffer(logits), .int(vocabulary), .buffer(keys),
                .buffer(arrived), .buffer(results), .buffer(tokens))
            #expect(results.values == [first(0), 0, -1, 1, -1, 2, -1, 1, 0, 0, first(5), 0])
            #expect(tokens.values == [first(0), 0, 0, 0, 0, first(5)])
        }
    }

    @Test func givenTokensAreScored() throws {
        var random = RandomNumbers(seed: 4)
        let logits = (0..<3).map { _ in (0..<777).map { _ in SamplingTests.normal(&random) * 4 } }
        let tokens: [Int32] = [5, 776, 0]
        let width = 4
        let stride = CUDASamplingBatch.resultStride(topWidth: width)
        let results = EmulatedBuffer<Int32>(count: 3 * stride)
        try emulate(
            "mr_score", grid: (3, 1, 1), block: 1024, .buffer(EmulatedBuffer(logits.flatMap { $0 })), .int(777),
            .buffer(EmulatedBuffer(tokens)), .buffer(EmulatedBuffer<Int32>([4, 0, 2])), .buffer(results), .int(width))
        for (row, top) in [4, 0, 2].enumerated() {
            let choice = CUDASamplingBatch.choice(
                from: results.values[row * stride..<(row + 1) * stride], topWidth: width, topLogprobs: top,
                vocabulary: 777)
            var sampler = Sampler()
            let own = logits[row]
            let expected = try sampler.score(tokens[row], in: own.span, top: top)
            #expect(choice.token == tokens[row] && choice.rank == expected.rank)
            #expect(abs(choice.logprob - expected.logprob) < 1e-5)
            #expect(choice.top.map(\.token) == expected.top.map(\.token))
        }
    }
}
