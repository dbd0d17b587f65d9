/// Launch geometry of gemm_quantized.cu: weights in a GGUF block format, widened as they are read.
package struct CUDALaunchGemmQuantized: Sendable {
    package let rows: Int
    package let outputs: Int
    package let inputs: Int
    package let type: TensorType
    package let gated: Bool
    /// Of the whole matrix that this one is a part of, so that parts of different types, and their widened form, have
    /// the same bits: `CUDALaunchGemm.splits` of that.
    package let splits: Int
    /// Of the device.
    package let multiprocessors: Int

    package init(
        rows: Int, outputs: Int, inputs: Int, type: TensorType, splits: Int, gated: Bool = false,
        multiprocessors: Int = 132
    ) {
        self.rows = rows
        self.outputs = outputs
        self.inputs = inputs
        self.type = type
        self.splits = splits
        self.gated = gated
        self.multiprocessors = multiprocessors
    }

    /// Whether there is a kernel for a type. (Others are widened when loaded.)
    package static func takes(_ type: TensorType) -> Bool {
        switch type {
        case .f32, .f16, .bf16: false
        default: true
        }
    }

    /// The macros of its compilation.
    package var macros: [String: Int] { ["MR_WEIGHT_TYPE": Int(type.rawValue)] }

    package var tokens: Int { rows <= 16 ? 16 : rows <= 32 ? 32 : 64 }

    private var rowTiles: Int { (rows + tokens - 1) / tokens }
    private var tiles: Int { gated ? (outputs / 2 + 63) / 64 : (outputs + 127) / 128 }
    private var sharesSplits: Bool { splits > 1 && rowTiles * tiles < multiprocessors }

    /// Float32 elements of `partial` and int32 elements of `counters`.
    package var workspace: (partial: Int, counters: Int) {
        sharesSplits ? (rowTiles * tiles * splits * 128 * tokens, rowTiles * tiles) : (0, 0)
    }

    /// Of a block: the ring of weight groups (GemmQuantStream::RING), widened weights, and rows.
    package static func sharedBytes(_ type: TensorType, tokens: Int) -> Int {
        let isSuper = type.blockElements == 256
        let bytes = isSuper ? type.blockBytes : 4 * type.blockBytes
        return sharedBytes(groupBytes: bytes, isSuper: isSuper, tokens: tokens)
    }

    private static func sharedBytes(groupBytes bytes: Int, isSuper: Bool, tokens: Int) -> Int {
        let chunks = isSuper && bytes % 16 == 0 ? bytes / 16 : (bytes + 29) / 16
        let stride = (chunks | 1) * 16
        return (stride < 200 ? 3 : 2) * 128 * stride + 128 * 128 + tokens * 128
    }

    /// The same for weights that groups.cu made of GPTQ's or AWQ's: groups of 128, 64 or 32 elements.
    package static func sharedBytes(group: Int, tokens: Int) -> Int {
        sharedBytes(groupBytes: 128 / group * groupBytes(group), isSuper: false, tokens: tokens)
    }

    /// MR_WEIGHT_TYPE of groups.
    package static func weightType(group: Int) -> Int { group == 128 ? 100 : group == 64 ? 101 : 102 }
    /// Of one group.
    package static func groupBytes(_ group: Int) -> Int { 4 + group / 2 }

    package var shape: CUDALaunchShape {
        CUDALaunchShape(
            (gated ? "mr_gemm_quantized_gated_" : "mr_gemm_quantized_") + String(tokens),
            grid: (rowTiles, tiles, sharesSplits ? splits : 1), block: 128,
            sharedBytes: Self.sharedBytes(type, tokens: tokens))
    }
}
