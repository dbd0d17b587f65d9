import CUDAEmulation
import DeviceChecks
import Foundation
import Kernels
import Testing

@Suite(.serialized) struct MixtureTests {
    struct Case: CustomTestStringConvertible {
        var rows = 40
        var experts = 8
        var chosen = 2
        var hidden = 48
        var inner = 56
        var renormalise = true
        /// Experts in Q4_K; else bfloat16.
        var isQuantised = false
        var testDescription: String { "\(rows) rows, \(chosen) of \(experts), \(hidden) x \(inner), \(isQuantised)" }
    }

    static let cases = [
        Case(), Case(rows: 9, experts: 70, chosen: 8, renormalise: false), Case(rows: 3, experts: 4, chosen: 4),
        Case(rows: 100, experts: 3, chosen: 1, hidden: 256, inner: 200),
        Case(rows: 20, experts: 4, hidden: 256, inner: 256, isQuantised: true),
    ]

    struct Bench {
        let test: Case
        let scores, start: [Float]
        let x: [BFloat16]
        let gateUp, down: [EmulatedBuffer<BFloat16>]
        let quantised: (gateUp: [QuantizedWeights], down: [QuantizedWeights])

        init(_ test: Case) throws {
            self.test = test
            var random = RandomNumbers(seed: UInt64(test.rows))
            scores = random.floats(test.rows * test.experts, in: -3...3)
            start = random.floats(test.rows * test.hidden)
            x = random.floats(test.rows * test.hidden).map(BFloat16.init)
            quantised = (
                try (0..<(test.isQuantised ? test.experts : 0)).map {
                    try QuantizedWeights(.q4_K, rows: 2 * test.inner, columns: test.hidden, seed: UInt64($0))
                },
                try (0..<(test.isQuantised ? test.experts : 0)).map {
                    try QuantizedWeights(.q4_K, rows: test.hidden, columns: test.inner, seed: 100 + UInt64($0))
                }
            )
            if test.isQuantised {
                gateUp = quantised.gateUp.map(\.widened)
                down = quantised.down.map(\.widened)
            } else {
                gateUp = (0..<test.experts).map { _ in
                    EmulatedBuffer(random.floats(2 * test.inner * test.hidden).map(BFloat16.init))
                }
                down = (0..<test.experts).map { _ in
                    EmulatedBuffer(random.floats(test.inner * test.hidden).map(BFloat16.init))
                }
            }
        }

        struct Result {
            var choices: [Int32]
            var weights: [Float]
            var y: [Float]
        }

        private func launch(_ shape: CUDALaunchShape, _ suffix: String = "", _ arguments: KernelArgument...) throws {
            try emulate(
                shape.kernel + suffix, grid: (shape.grid.x, shape.grid.y, shape.grid.z), block: shape.block,
                sharedBytes: shape.sharedBytes, arguments: arguments)
        }

        /// Adds the mixture of some of the rows, with the quantised kernels or with widened weights.
        func run(_ rows: Range<Int>, quantised useQuantised: Bool) throws -> Result {
            let shape = CUDALaunchMixture(
                rows: rows.count, experts: test.experts, chosen: test.chosen, hidden: test.hidden, inner: test.inner)
            func part<T>(_ all: [T], _ width: Int) -> EmulatedBuffer<T> {
                EmulatedBuffer(Array(all[rows.lowerBound * width..<rows.upperBound * width]))
            }
            let (choices, weights) = (
                EmulatedBuffer<Int32>(count: shape.choices), EmulatedBuffer<Float>(count: shape.choices)
            )
            let (members, slots) = (
                EmulatedBuffer<Int32>(count: shape.choices), EmulatedBuffer<Int32>(count: shape.choices)
            )
            let tiles = EmulatedBuffer<Int32>(count: 4 * shape.tileLimit)
            let inner = EmulatedBuffer<BFloat16>(count: shape.choices * test.inner)
            let out = EmulatedBuffer<Float>(count: shape.choices * test.hidden)
            let y = part(start, test.hidden)
            let (gateUpWeights, downWeights) = (
                useQuantised ? quantised.gateUp.map(\.blocks.address) : gateUp.map(\.address),
                useQuantised ? quantised.down.map(\.blocks.address) : down.map(\.address)
            )
            let format = useQuantised ? CUDAWeightFormat.blocks(.q4_K) : nil
            let suffix = useQuantised ? "_12" : ""
            try launch(
                shape.route, "", .buffer(part(scores, test.experts)), .buffer(choices), .buffer(weights),
                .int(test.experts), .int(test.chosen), .int(test.renormalise ? 1 : 0))
            try launch(
                shape.group, "", .buffer(choices), .buffer(members), .buffer(slots), .buffer(tiles),
                .int(shape.choices), .int(test.chosen), .int(test.experts), .int(shape.tokens),
                .int(shape.tileLimit))
            try launch(
                shape.gateUp(format), suffix, .buffer(part(x, test.hidden)), .buffer(EmulatedBuffer(gateUpWeights)),
                .longLong(quantised.gateUp.first?.rowBytes ?? 0), .buffer(members), .buffer(tiles), .buffer(inner),
                .int(2 * test.inner), .int(test.hidden), .int(0))
            try launch(
                shape.down(format), suffix, .buffer(inner), .buffer(EmulatedBuffer(downWeights)),
                .longLong(quantised.down.first?.rowBytes ?? 0), .buffer(tiles), .buffer(out), .int(test.hidden),
                .int(test.inner))
            try launch(
                shape.add, "", .buffer(out), .buffer(slots), .buffer(weights), .buffer(y), .int(test.chosen),
                .int(test.hidden))
            #expect(Set(slots.values) == Set(0..<Int32(shape.choices)))
            return Result(choices: choices.values, weights: weights.values, y: y.values)
        }
    }

    @Test(arguments: cases)
    func matchesDoublePrecision(_ test: Case) throws {
        let bench = try Bench(test)
        let found = try bench.run(0..<test.rows, quantised: test.isQuantised)
        for row in 0..<test.rows {
            let scores = bench.scores[row * test.experts..<(row + 1) * test.experts].map { exp(Double($0)) }
            let best = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }.prefix(test.chosen).sorted()
            let total = (test.renormalise ? best.map { scores[$0] } : scores).reduce(0, +)
            var (sums, norms) = (
                (0..<test.hidden).map { Double(bench.start[row * test.hidden + $0]) },
                [Double](repeating: 0.01, count: test.hidden)
            )
            for (place, expert) in best.enumerated() {
                let at = row * test.chosen + place
                try #require(found.choices[at] == Int32(expert))
                try #require(abs(Double(found.weights[at]) - scores[expert] / total) < 1e-6)
                let output = expertOutput(bench, row: row, expert: expert)
                for column in 0..<test.hidden {
                    sums[column] += scores[expert] / total * output.values[column]
                    norms[column] += scores[expert] / total * output.norms[column]
                }
            }
            for column in 0..<test.hidden {
                let value = Double(found.y[row * test.hidden + column])
                // Inner values are rounded to bfloat16.
                try #require(abs(value - sums[column]) <= 1.05 * 0x1p-8 * norms[column], "row \(row) \(column)")
            }
        }
    }

    private func expertOutput(_ bench: Bench, row: Int, expert: Int) -> (values: [Double], norms: [Double]) {
        let (hidden, inner) = (bench.test.hidden, bench.test.inner)
        let x = bench.x[row * hidden..<(row + 1) * hidden].map { Double($0.float) }
        let (gateUp, down) = (bench.gateUp[expert].values, bench.down[expert].values)
        func product(_ w: [BFloat16], _ output: Int, _ x: [Double]) -> [Double] {
            x.indices.map { x[$0] * Double(w[output * x.count + $0].float) }
        }
        let middle = (0..<inner).map { i in
            let (gate, up) = (product(gateUp, i, x).reduce(0, +), product(gateUp, inner + i, x).reduce(0, +))
            return gate / (1 + exp(-gate)) * up
        }
        let terms = (0..<hidden).map { product(down, $0, middle) }
        return (terms.map { $0.reduce(0, +) }, terms.map { $0.map(abs).reduce(0, +) })
    }

    /// A row's bits do not depend on which rows share its experts, nor on the weights' form.
    @Test(arguments: cases)
    func companyAndFormDoNotShow(_ test: Case) throws {
        let bench = try Bench(test)
        let whole = try bench.run(0..<test.rows, quantised: false)
        defer { mr_emulation_order(0) }
        for (index, rows) in [0..<1, test.rows / 2..<test.rows, 1..<test.rows].enumerated() {
            mr_emulation_order([0, 1, 77][index])
            for form in test.isQuantised ? [true, false] : [false] {
                let found = try bench.run(rows, quantised: form)
                #expect(found.y == Array(whole.y[rows.lowerBound * test.hidden..<rows.upperBound * test.hidden]))
            }
        }
    }

    @Test func equalScoresTakeTheFirstExperts() throws {
        for experts in [4, 33, 128] {
            let scores = EmulatedBuffer([Float](repeating: 0.25, count: experts))
            let (choices, weights) = (EmulatedBuffer<Int32>(count: 3), EmulatedBuffer<Float>(count: 3))
            try emulate(
                "mr_mixture_route", grid: (1, 1, 1), block: 32, .buffer(scores), .buffer(choices), .buffer(weights),
                .int(experts), .int(3), .int(0))
            #expect(choices.values == [0, 1, 2])
            #expect(weights.values == [Float](repeating: 1 / Float(experts), count: 3))
        }
    }
}
