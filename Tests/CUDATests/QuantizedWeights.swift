import DeviceChecks
import Kernels

/// Random blocks of a GGUF type, and the bfloat16 values that mr_dequantize makes of them.
struct QuantizedWeights {
    let type: TensorType
    let rows, columns: Int
    /// Behind the last row lies what products may read but must not use.
    let blocks: EmulatedBuffer<UInt8>
    let widened: EmulatedBuffer<BFloat16>
    var rowBytes: Int { columns / type.blockElements * type.blockBytes }

    static let types: [TensorType] = TensorType.allCases.filter(CUDAWeightFormat.takes)

    init(_ type: TensorType, rows: Int, columns: Int, seed: UInt64) throws {
        self.type = type
        self.rows = rows
        self.columns = columns
        var random = RandomNumbers(seed: seed)
        let count = rows * columns / type.blockElements
        var bytes: [UInt8] = []
        for _ in 0..<count {
            var block = (0..<type.blockBytes).map { _ in UInt8(truncatingIfNeeded: random.bits()) }
            for place in Self.halves(type) {
                // Of either sign, 2^-7 to 2^-4.
                let half = UInt16(0x2000 + random.below(0xc00)) | UInt16(random.below(2)) << 15
                block[place] = UInt8(half & 255)
                block[place + 1] = UInt8(half >> 8)
            }
            bytes += block
        }
        blocks = EmulatedBuffer(bytes + [UInt8](repeating: 0xff, count: 16))
        widened = EmulatedBuffer(count: rows * columns)
        try emulate(
            "mr_dequantize", grid: (rows, 1, 1), block: 128, .buffer(blocks), .int(Int(type.rawValue)),
            .longLong(columns / type.blockElements * type.blockBytes), .pointer(nil), .int(0), .buffer(widened),
            .int(rows), .int(columns))
    }

    /// Where a block's float16 scales lie.
    private static func halves(_ type: TensorType) -> [Int] {
        switch type {
        case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
        case .q2_K: [80, 82]
        case .q3_K: [108]
        case .q6_K: [208]
        default: [0]
        }
    }
}
