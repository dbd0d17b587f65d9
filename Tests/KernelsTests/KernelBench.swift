import Testing
import TileEmulation

@testable import Kernels

/// A device with shorthand for running one operation on arrays.
struct KernelBench {
    let device: CPUDevice

    init(_ setting: KernelSetting, threads: Int = 2) throws {
        device = try CPUDevice(
            computeType: setting.computeType, threads: threads, instructionSet: setting.instructionSet,
            quantizesWeights: setting.quantizesWeights, keepsQuantised: setting.keepsQuantised,
            cacheType: setting.cacheType)
        if setting.emulatesTiles { mr_emulate_tiles(device.engine) }
    }

    func activation(_ values: [Float], rows: Int) throws -> CPUActivation {
        let width = values.count / rows
        let activation = try device.makeActivation(maxRows: rows, width: width)
        for r in 0..<rows { activation[r] = Array(values[r * width..<(r + 1) * width]) }
        return activation
    }

    /// `[rows, width]` of NaN: what is not written shows.
    func poisoned(rows: Int, width: Int) throws -> CPUActivation {
        try activation([Float](repeating: .nan, count: rows * width), rows: rows)
    }

    func expectNoFaults() { #expect(mr_tile_faults() == 0, "tile instructions that AMX would refuse") }

    func values(_ activation: CPUActivation, rows: Int) -> [Float] {
        expectNoFaults()
        return (0..<rows).flatMap { activation[$0] }
    }

    func matrix(_ parts: [Float]..., inputs: Int) throws -> CPUMatrix {
        try device.makeMatrix(
            stacking: parts.map { MatrixSource(WeightTensor($0, shape: [$0.count / inputs, inputs])) })
    }

    /// start + x·wᵀ + bias, `[rows, outputs]`; without `start`, y is overwritten.
    func linear(
        x: [Float], rows: Int, w: [Float], inputs: Int, outputs: Int, bias: [Float]? = nil,
        start: [Float]? = nil
    ) throws -> [Float] {
        try device.begin(.single(rows: rows))
        let y = try start.map { try activation($0, rows: rows) } ?? poisoned(rows: rows, width: outputs)
        device.linear(
            try activation(x, rows: rows), try matrix(w, inputs: inputs),
            bias: try bias.map(device.makeVector),
            accumulate: start != nil, into: y)
        return values(y, rows: rows)
    }

    /// function(x·gateᵀ) * (x·upᵀ), `[rows, outputs]`.
    func gatedLinear(
        x: [Float], rows: Int, gate: [Float], up: [Float], inputs: Int, outputs: Int, bias: [Float]? = nil,
        function: ActivationFunction
    ) throws -> [Float] {
        try device.begin(.single(rows: rows))
        let y = try poisoned(rows: rows, width: outputs)
        device.gatedLinear(
            try activation(x, rows: rows), try matrix(gate, up, inputs: inputs),
            bias: try bias.map(device.makeVector), function: function, into: y)
        return values(y, rows: rows)
    }

    /// The experts' part alone (y starts at 0). `gates[e]` is gate then up, `[2 * inner, hidden]`.
    func mixture(
        x: [Float], rows: Int, router: [Float], gates: [[Float]], downs: [[Float]], inner: Int,
        _ shape: MixtureShape
    ) throws -> [Float] {
        let hidden = router.count / shape.experts
        try device.begin(.single(rows: rows))
        let y = try activation([Float](repeating: 0, count: x.count), rows: rows)
        device.addMixture(
            try activation(x, rows: rows), router: try matrix(router, inputs: hidden),
            gateUp: try gates.map {
                try matrix(Array($0.prefix($0.count / 2)), Array($0.suffix($0.count / 2)), inputs: hidden)
            },
            down: try downs.map { try matrix($0, inputs: inner) }, shape, to: y)
        return values(y, rows: rows)
    }
}
