import Kernels

/// Norms and activations of rows.
struct RowScenario: Scenario {
    enum Operation: String, CaseIterable { case rmsNorm, addRMSNorm, layerNorm, activate, heads }

    var operation: Operation
    var rows: Int
    var width: Int
    var seed: UInt64

    var name: String { "\(operation.rawValue) \(rows)x\(width)" }

    func run<D: Device>(_ checked: CheckedDevice<D>) throws -> [Float] {
        var draws = RandomNumbers(seed: seed)
        let device = checked.device
        let x = try checked.activation(draws.floats(rows * width, scale: 3), rows: rows, width: width)
        let weight = try device.makeVector(draws.floats(width, scale: 2))
        let bias = try device.makeVector(draws.floats(width))
        try device.begin(.rows(rows))
        switch operation {
        case .rmsNorm:
            let y = try checked.poisoned(rows: rows, width: width)
            device.rmsNorm(x, weight: weight, epsilon: 1e-5, into: y)
            try device.submit()
            return try checked.get(y, rows)
        case .addRMSNorm:
            let y = try checked.activation(draws.floats(rows * width), rows: rows, width: width)
            device.addRMSNorm(y, weight: weight, epsilon: 1e-5, to: x)
            try device.submit()
            return try checked.get(x, rows)
        case .layerNorm:
            let y = try checked.poisoned(rows: rows, width: width)
            device.layerNorm(x, weight: weight, bias: bias, epsilon: 1e-5, into: y)
            try device.submit()
            return try checked.get(y, rows)
        case .activate:
            let function: ActivationFunction = [.silu, .geluTanh, .gelu, .relu][draws.below(4)]
            device.activate(x, function: function)
            try device.submit()
            return try checked.get(x, rows)
        case .heads:
            let headWidth = width / 4
            let weight = try device.makeVector(draws.floats(headWidth, scale: 2))
            device.rmsNormHeads(x, heads: 1..<3, headWidth: headWidth, weight: weight, epsilon: 1e-6)
            try device.submit()
            return try checked.get(x, rows)
        }
    }
}

/// Rows of a table in each of the checkpoint's types.
struct EmbeddingScenario: Scenario {
    var type: TensorType
    var seed: UInt64

    var name: String { "embed \(type.name)" }

    func run<D: Device>(_ checked: CheckedDevice<D>) throws -> [Float] {
        var draws = RandomNumbers(seed: seed)
        let (rows, vocabulary, width) = (37, 100, 512)
        let tensor = CheckTensor.blocks(type, rows: vocabulary, columns: width, &draws)
        let table = try checked.device.makeTable(tensor)
        let x = try checked.poisoned(rows: rows, width: width)
        var batch = PackedBatch.rows(rows)
        batch.tokens = batch.tokens.map { _ in Int32(draws.below(vocabulary)) }
        try checked.device.begin(batch)
        checked.device.embed(table, scale: 1.5, into: x)
        checked.device.addPositions(table, offset: 2, to: x)
        try checked.device.submit()
        return try checked.get(x, rows)
    }
}

extension CheckTensor {
    /// Random blocks of a type; half-precision fields are kept to sane values by clearing their exponents' upper bits.
    static func blocks(_ type: TensorType, rows: Int, columns: Int, _ draws: inout RandomNumbers) -> WeightTensor {
        let count = rows * columns / type.blockElements
        if type == .f32 { return make(draws.floats(rows * columns), shape: [rows, columns]) }
        var bytes: [UInt8] = []
        for _ in 0..<count * type.blockBytes { bytes.append(UInt8(truncatingIfNeeded: draws.bits())) }
        // Every 16-bit word might be a scale: sign and mantissa stay, exponents are kept near 2^-3 by setting them.
        if type == .f16 || type == .bf16 {
            for at in stride(from: 1, to: bytes.count, by: 2) {
                bytes[at] = type == .f16 ? bytes[at] & 0x83 | 0x30 : bytes[at] & 0x80 | 0x3E
            }
        } else {
            for block in 0..<count {
                for place in scalePlaces(type) {
                    let high = block * type.blockBytes + place + 1
                    bytes[high] = bytes[high] & 0x83 | 0x28
                }
            }
        }
        return make(bytes, type: type, shape: [rows, columns])
    }

    /// Where a block's half-precision fields lie (ggml's block structures).
    private static func scalePlaces(_ type: TensorType) -> [Int] {
        switch type {
        case .q4_0, .q5_0, .q8_0, .iq4_NL, .iq4_XS: [0]
        case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
        case .q2_K: [80, 82]
        case .q3_K: [108]
        case .q6_K: [208]
        case .f32, .f16, .bf16: []
        }
    }
}

extension PackedBatch {
    /// One sequence of its own blocks from block 0.
    static func rows(_ count: Int, blockSize: Int = 16) -> PackedBatch {
        var batch = PackedBatch()
        batch.append(
            (0..<Int32(count)).map { $0 % 50 }, at: 0, blocks: 0..<Int32((count + blockSize - 1) / blockSize),
            blockSize: blockSize, logits: .all)
        return batch
    }
}
