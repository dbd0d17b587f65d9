import Kernels

/// Linear layers, plain and gated, with all that goes with them.
struct ProductScenario: Scenario {
    var rows: Int
    var inputs: Int
    var outputs: Int
    var gated = false
    var biased = false
    var accumulates = false
    var function = ActivationFunction.silu
    var seed: UInt64

    var name: String {
        "\(gated ? "gated \(function.rawValue)" : "linear") \(rows)x\(inputs) -> \(outputs)"
            + (biased ? " + bias" : "") + (accumulates ? " +=" : "")
    }

    func run<D: Device>(_ checked: CheckedDevice<D>) throws -> [Float] {
        var draws = RandomNumbers(seed: seed)
        let device = checked.device
        let x = try checked.activation(draws.floats(rows * inputs), rows: rows, width: inputs)
        let bias = try biased ? device.makeVector(draws.floats(gated ? 2 * outputs : outputs)) : nil
        let y =
            accumulates
            ? try checked.activation(draws.floats(rows * outputs), rows: rows, width: outputs)
            : try checked.poisoned(rows: rows, width: outputs)
        try device.begin(.rows(rows))
        let scale = 2 / Float(inputs).squareRoot()
        if gated {
            let parts = (0..<2).map { _ in draws.floats(outputs * inputs, scale: scale) }
            device.gatedLinear(
                x, try checked.matrix(parts, inputs: inputs), bias: bias, function: function, into: y)
        } else {
            let split = outputs / 3
            let parts = [split, outputs - split].filter { $0 > 0 }.map { draws.floats($0 * inputs, scale: scale) }
            device.linear(
                x, try checked.matrix(parts, inputs: inputs), bias: bias, accumulate: accumulates, into: y)
        }
        try device.submit()
        return try checked.get(y, rows)
    }
}

/// Weights in each of the checkpoint's types, reordered or not, then the logits' path.
struct LogitsScenario: Scenario {
    var type: TensorType
    var reordered: Bool
    var softCap: Float?
    var seed: UInt64

    var name: String { "logits \(type.name)\(reordered ? " reordered" : "")\(softCap == nil ? "" : " capped")" }

    func run<D: Device>(_ checked: CheckedDevice<D>) throws -> [Float] {
        var draws = RandomNumbers(seed: seed)
        let device = checked.device
        let (rows, hidden, vocabulary) = (21, 256, 300)
        let tensor = CheckTensor.blocks(type, rows: vocabulary, columns: hidden, &draws)
        let order = reordered ? (0..<vocabulary).map { ($0 * 7 + 3) % vocabulary } : nil
        let head = try device.makeMatrix(stacking: [MatrixSource(tensor, rowOrder: order)])
        let x = try checked.activation(draws.floats(rows * hidden), rows: rows, width: hidden)
        let normed = try checked.poisoned(rows: rows, width: hidden)
        let wanted = try checked.poisoned(rows: 5, width: hidden)
        try device.begin(.rows(rows))
        device.rmsNorm(
            x, weight: try device.makeVector([Float](repeating: 1, count: hidden)), epsilon: 1e-6, into: normed)
        try device.submit()
        device.gatherLogitRows(normed, range: 9..<14, into: wanted)
        let logits = try device.logits(wanted, rows: 5, head, bias: nil, softCap: softCap)
        return (0..<5).flatMap { row in logits.withRow(row) { Array($0) } }
    }
}

struct MixtureScenario: Scenario {
    var rows: Int
    var shape: MixtureShape
    var seed: UInt64

    var name: String { "mixture \(rows) rows, \(shape.chosen) of \(shape.experts)" }

    func run<D: Device>(_ checked: CheckedDevice<D>) throws -> [Float] {
        var draws = RandomNumbers(seed: seed)
        let device = checked.device
        let (hidden, inner) = (64, 96)
        let x = try checked.activation(draws.floats(rows * hidden, scale: 2), rows: rows, width: hidden)
        let y = try checked.activation(draws.floats(rows * hidden), rows: rows, width: hidden)
        let router = try checked.matrix([draws.floats(shape.experts * hidden)], inputs: hidden)
        let gates = try (0..<shape.experts).map { _ in
            try checked.matrix((0..<2).map { _ in draws.floats(inner * hidden, scale: 0.3) }, inputs: hidden)
        }
        let downs = try (0..<shape.experts).map { _ in
            try checked.matrix([draws.floats(hidden * inner, scale: 0.3)], inputs: inner)
        }
        try device.begin(.rows(rows))
        device.addMixture(x, router: router, gateUp: gates, down: downs, shape, to: y)
        try device.submit()
        return try checked.get(y, rows)
    }
}
