import Glibc
import Testing

@testable import Worker

@Suite struct SamplerTests {
    static func parameters(_ change: (inout SamplingParameters) -> Void) -> SamplingParameters {
        var parameters = SamplingParameters()
        change(&parameters)
        return parameters
    }

    static func distribution(
        _ logits: [Float], _ parameters: SamplingParameters, _ adjustments: TokenAdjustments? = nil,
        generated: Int = 0
    ) throws -> [Double] {
        var logits = logits
        var row = logits.mutableSpan
        var sampler = Sampler()
        return try sampler.distribution(
            &row, parameters, adjustments: adjustments ?? TokenAdjustments(parameters), generated: generated)
    }

    static func sample(
        _ logits: inout [Float], _ parameters: SamplingParameters, _ adjustments: TokenAdjustments? = nil,
        uniform: Double = 0.5, generated: Int = 0, top: Int? = nil, sampler: inout Sampler
    ) throws -> SampledToken {
        var row = logits.mutableSpan
        return try sampler.sample(
            &row, parameters, adjustments: adjustments ?? TokenAdjustments(parameters), generated: generated,
            uniform: uniform, topLogprobs: top)
    }

    /// The definition, word for word, by sorting everything.
    static func definition(_ logits: [Double], _ p: SamplingParameters) -> [Double] {
        func softmax(_ x: [Double]) -> [Double] {
            let peak = x.max() ?? 0
            let e = x.map { exp($0 - peak) }
            let sum = e.reduce(0, +)
            return e.map { $0 / sum }
        }
        var x = logits.map { $0 / p.temperature }
        let likely = softmax(x)
        let most = likely.max() ?? 0
        for i in x.indices where likely[i] < p.minP * most { x[i] = -.infinity }
        if p.topK > 0, p.topK < x.count {
            let last = x.sorted(by: >)[p.topK - 1]
            for i in x.indices where x[i] < last { x[i] = -.infinity }
        }
        if p.topP < 1 {
            let shares = softmax(x)
            let ascending = x.indices.sorted { x[$0] != x[$1] ? x[$0] < x[$1] : $0 < $1 }
            var sum = 0.0
            for i in ascending.dropLast() {
                sum += shares[i]
                if sum <= 1 - p.topP { x[i] = -.infinity }
            }
        }
        return softmax(x)
    }

    /// Rows of several shapes and sizes: every path through the cuts, against the definition.
    @Test(arguments: 0..<60)
    func cutsAreTheDefinitions(_ trial: Int) throws {
        var random = TestRandom(UInt64(trial))
        let count = [7, 33, 500, 3001].randomElement(using: &random)!
        let spread = [0.01, 1, 3, 12].randomElement(using: &random)!
        var logits = (0..<count).map { _ in Float(random.normal() * spread) }
        if trial % 5 == 0 { logits.sort() }
        if trial % 7 == 0 { for i in logits.indices where i % 3 == 0 { logits[i] = -.infinity } }
        if trial % 11 == 0 { logits = logits.map { ($0 * 4).rounded() / 4 } }
        let parameters = Self.parameters {
            $0.temperature = [0.2, 0.8, 1, 1.9].randomElement(using: &random)!
            $0.topP = [0.05, 0.5, 0.95, 0.999999, 1, 1].randomElement(using: &random)!
            $0.topK = [0, 0, 1, 5, 50, count].randomElement(using: &random)!
            $0.minP = [0, 0, 0, 0.01, 0.3, 1].randomElement(using: &random)!
        }
        let found = try Self.distribution(logits, parameters)
        let expected = Self.definition(logits.map(Double.init), parameters)
        #expect(found.indices.filter { (found[$0] > 0) != (expected[$0] > 0) } == [])
        for (a, b) in zip(found, expected) where abs(a - b) > 1e-9 { Issue.record("\(a) is not \(b)") }
    }

    /// Rows too large to be weighed whole, with touched tokens among them and ties.
    @Test(arguments: 0..<40)
    func nucleiOfLargeRowsAreTheDefinitions(_ trial: Int) throws {
        var random = TestRandom(UInt64(1000 + trial))
        let spread = [0.001, 0.5, 2, 6].randomElement(using: &random)!
        var logits = (0..<4000).map { _ in Float(random.normal() * spread) }
        if trial % 3 == 0 { logits = logits.map { ($0 * 8).rounded() / 8 } }
        if trial % 4 == 0 { logits[7] = 20 }
        let parameters = Self.parameters {
            $0.temperature = [0.3, 0.8, 1.5].randomElement(using: &random)!
            $0.topP = [0.01, 0.3, 0.9, 0.95, 0.99, 0.9995].randomElement(using: &random)!
            if trial % 2 == 0 {
                $0.logitBias = [
                    .init(token: 3, value: 5), .init(token: 9, value: -3), .init(token: 7, value: -4),
                ]
            }
        }
        var adjusted = logits.map(Double.init)
        for bias in parameters.logitBias { adjusted[Int(bias.token)] += bias.value }
        let found = try Self.distribution(logits, parameters)
        let expected = Self.definition(adjusted, parameters)
        #expect(found.indices.filter { (found[$0] > 0) != (expected[$0] > 0) } == [])
        for (a, b) in zip(found, expected) where abs(a - b) > 1e-9 { Issue.record("\(a) is not \(b)") }
    }

    /// Draws at evenly spread points must follow the distribution as closely as their spacing.
    @Test(arguments: [
        parameters { _ in }, parameters { $0.temperature = 1.7 }, parameters { $0.topP = 0.8 },
        parameters { $0.topK = 9 }, parameters { $0.minP = 0.05 },
        parameters {
            $0.temperature = 0.6
            $0.logitBias = [
                .init(token: 3, value: 4), .init(token: 8, value: -100), .init(token: 9, value: 2),
            ]
        },
        parameters { $0.allowedTokens = [1, 5, 250, 77] },
    ])
    func drawsFollowTheDistribution(_ parameters: SamplingParameters) throws {
        var random = TestRandom(5)
        var logits = (0..<300).map { _ in Float(random.normal() * 4) }
        let before = logits
        let expected = try Self.distribution(logits, parameters)
        var counts = [Double](repeating: 0, count: logits.count)
        var sampler = Sampler()
        let draws = 1500
        for i in 0..<draws {
            let uniform = (Double(i) + 0.5) / Double(draws)
            counts[Int(try Self.sample(&logits, parameters, uniform: uniform, sampler: &sampler).token)] += 1
        }
        for i in counts.indices {
            #expect(abs(counts[i] / Double(draws) - expected[i]) <= 1.01 / Double(draws))
        }
        #expect(logits == before, "the row is left as it was")
    }

    /// Pearson's chi-square over draws of many seeds, at 5 standard deviations.
    @Test func seededDrawsFollowTheDistribution() throws {
        var random = TestRandom(11)
        var logits = (0..<40).map { _ in Float(random.normal()) }
        let parameters = Self.parameters {
            $0.temperature = 0.9
            $0.topP = 0.9
        }
        let expected = try Self.distribution(logits, parameters)
        var counts = [Double](repeating: 0, count: logits.count)
        var sampler = Sampler()
        let draws = 10_000
        for i in 0..<draws {
            let seed = RequestSeed.derive(batchSeed: 1, customID: "request-\(i / 50)", choice: i % 5)
            let uniform = seed.uniform(at: i % 50 / 5)
            counts[Int(try Self.sample(&logits, parameters, uniform: uniform, sampler: &sampler).token)] += 1
        }
        var chiSquare = 0.0
        var freedom = -1.0
        for i in counts.indices {
            if expected[i] == 0 {
                #expect(counts[i] == 0)
            } else {
                let mean = expected[i] * Double(draws)
                chiSquare += (counts[i] - mean) * (counts[i] - mean) / mean
                freedom += 1
            }
        }
        #expect(chiSquare < freedom + 5 * (2 * freedom).squareRoot())
    }

    @Test func greedyTakesTheFirstMaximum() throws {
        var sampler = Sampler()
        var logits: [Float] = [1, 3, 3, -1, 3]
        let greedy = Self.parameters { $0.temperature = 0 }
        #expect(try Self.sample(&logits, greedy, sampler: &sampler).token == 1)
        var biased = greedy
        biased.logitBias = [.init(token: 0, value: 2)]
        #expect(try Self.sample(&logits, biased, sampler: &sampler).token == 0)
        biased.logitBias = [.init(token: 4, value: 0)]
        #expect(try Self.sample(&logits, biased, sampler: &sampler).token == 1)
    }

    @Test(arguments: [Float.nan, Float.infinity], [0, 5, 8])
    func whatIsNoNumberIsAnError(_ value: Float, _ place: Int) throws {
        for temperature in [0, 1.0] {
            for bias in [[], [SamplingParameters.Bias(token: Int32(place), value: 1)]] {
                for top in [nil, 3] as [Int?] {
                    var logits = (0..<9).map { Float($0) }
                    logits[place] = value
                    let parameters = Self.parameters {
                        $0.temperature = temperature
                        $0.logitBias = bias
                    }
                    var sampler = Sampler()
                    #expect(throws: SamplingError.nonFiniteLogits) {
                        try Self.sample(&logits, parameters, top: top, sampler: &sampler)
                    }
                }
            }
        }
    }

    @Test func nothingLeftIsAnError() throws {
        var sampler = Sampler()
        var logits: [Float] = [0, 1, -.infinity]
        let only = Self.parameters { $0.allowedTokens = [2] }
        #expect(throws: SamplingError.nothingAllowed) { try Self.sample(&logits, only, sampler: &sampler) }
        let banned = TokenAdjustments(SamplingParameters(), ends: [0, 1], minTokens: 1)
        #expect(throws: SamplingError.nothingAllowed) {
            try Self.sample(&logits, SamplingParameters(), banned, sampler: &sampler)
        }
        #expect(logits == [0, 1, -.infinity])
    }

    @Test func logprobsAreTheModelsOwn() throws {
        var sampler = Sampler()
        var logits: [Float] = [1, 2, 2, 0, -.infinity]
        let parameters = Self.parameters {
            $0.temperature = 0
            $0.logitBias = [.init(token: 3, value: 50)]
        }
        let sampled = try Self.sample(&logits, parameters, top: 5, sampler: &sampler)
        let total = log(exp(1.0) + 2 * exp(2.0) + 1)
        let scored = try #require(sampled.logprobs)
        #expect(scored.token == 3)
        #expect(abs(Double(scored.logprob) + total) < 1e-6)
        #expect(scored.rank == 4)
        #expect(scored.top.map(\.token) == [1, 2, 0, 3, 4])
        #expect(scored.top[4].logprob == -.infinity)
        for (i, entry) in scored.top.prefix(4).enumerated() {
            #expect(abs(Double(entry.logprob) - ([2, 2, 1, 0][i] - total)) < 1e-6)
        }
    }

    @Test func topLogprobsAreTheLargest() throws {
        var random = TestRandom(3)
        for spread in [0.001, 2, 30] {
            var logits = (0..<2000).map { _ in Float(random.normal() * spread) }
            var sampler = Sampler()
            let sampled = try Self.sample(&logits, SamplingParameters(), top: 20, sampler: &sampler)
            let expected = logits.indices.sorted {
                logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1
            }
            #expect(sampled.logprobs?.top.map { Int($0.token) } == Array(expected.prefix(20)))
            let rank = logits.count { $0 >= logits[Int(sampled.token)] }
            #expect(sampled.logprobs?.rank == rank)
        }
    }
}
