import DeviceChecks
import Testing

@testable import Kernels

/// Same in, same out: a row's result is the same bits alone, among others, and on any number of threads.
@Suite struct RowInvarianceTests {
    struct Case: Sendable {
        var setting: KernelSetting
        var rows: Int
        var inputs: Int
        var outputs: Int
    }

    static let cases: [Case] = (KernelSetting.all + KernelSetting.bytes).flatMap { setting in
        [(7, 65, 33), (13, 64, 96), (29, 127, 70), (61, 577, 40), (150, 580, 40)].map {
            Case(setting: setting, rows: $0, inputs: $1, outputs: $2)
        }
    }

    /// Runs `body` for all rows on 1, 2 and 3 threads, and for each row alone, and compares bits.
    func expectSameBits(
        _ test: Case, x: [Float], outputs: Int,
        _ body: (KernelBench, _ x: [Float], _ rows: Int) throws -> [Float]
    ) throws {
        let together = try body(KernelBench(test.setting, threads: 1), x, test.rows).map(\.bitPattern)
        #expect(together.count == test.rows * outputs)
        for threads in [2, 3] {
            let again = try body(KernelBench(test.setting, threads: threads), x, test.rows).map(\.bitPattern)
            #expect(again == together, "\(threads) threads")
        }
        let bench = try KernelBench(test.setting, threads: 2)
        let width = x.count / test.rows
        for row in 0..<test.rows {
            let alone = try body(bench, Array(x[row * width..<(row + 1) * width]), 1).map(\.bitPattern)
            try #require(alone == Array(together[row * outputs..<(row + 1) * outputs]), "row \(row) alone")
        }
        // A few neighbours, at another place in the batch.
        let some = try body(bench, Array(x[2 * width..<5 * width]), 3).map(\.bitPattern)
        #expect(some == Array(together[2 * outputs..<5 * outputs]), "rows 2..<5 by themselves")
    }

    @Test(arguments: cases)
    func linear(_ test: Case) throws {
        var random = RandomNumbers(seed: 11)
        let x = random.floats(test.rows * test.inputs, in: -3...3)
        let w = random.floats(test.outputs * test.inputs)
        let bias = random.floats(test.outputs)
        try expectSameBits(test, x: x, outputs: test.outputs) { bench, x, rows in
            try bench.linear(x: x, rows: rows, w: w, inputs: test.inputs, outputs: test.outputs, bias: bias)
        }
    }

    @Test(arguments: cases)
    func gatedLinear(_ test: Case) throws {
        var random = RandomNumbers(seed: 12)
        let x = random.floats(test.rows * test.inputs, in: -3...3)
        let gate = random.floats(test.outputs * test.inputs)
        let up = random.floats(test.outputs * test.inputs)
        try expectSameBits(test, x: x, outputs: test.outputs) { bench, x, rows in
            try bench.gatedLinear(
                x: x, rows: rows, gate: gate, up: up, inputs: test.inputs, outputs: test.outputs,
                function: .silu)
        }
    }

    @Test(arguments: cases)
    func norms(_ test: Case) throws {
        var random = RandomNumbers(seed: 13)
        let x = random.floats(test.rows * test.inputs, in: -3...3)
        let weight = random.floats(test.inputs)
        let bias = random.floats(test.inputs)
        try expectSameBits(test, x: x, outputs: test.inputs) { bench, x, rows in
            try bench.device.begin(.single(rows: rows))
            let input = try bench.activation(x, rows: rows)
            let output = try bench.activation([Float](repeating: .nan, count: x.count), rows: rows)
            let vector = try bench.device.makeVector(weight)
            bench.device.rmsNorm(input, weight: vector, epsilon: 1e-5, into: output)
            bench.device.layerNorm(
                output, weight: vector, bias: try bench.device.makeVector(bias), epsilon: 1e-5, into: input)
            bench.device.activate(input, function: .gelu)
            bench.device.addRMSNorm(input, weight: vector, epsilon: 1e-6, to: output)
            return bench.values(output, rows: rows)
        }
    }

    @Test(arguments: cases)
    func mixture(_ test: Case) throws {
        var random = RandomNumbers(seed: 14)
        let experts = 5
        let hidden = test.inputs
        let inner = test.outputs
        let x = random.floats(test.rows * hidden)
        let router = random.floats(experts * hidden)
        let gates = (0..<experts).map { _ in random.floats(2 * inner * hidden) }
        let downs = (0..<experts).map { _ in random.floats(inner * hidden) }
        try expectSameBits(test, x: x, outputs: hidden) { bench, x, rows in
            try bench.mixture(
                x: x, rows: rows, router: router, gates: gates, downs: downs, inner: inner,
                MixtureShape(experts: experts, chosen: 2, renormalise: true, function: .silu))
        }
    }
}
