/// Launch geometry of gemm_quantized.cu: weights that are widened as they are read.
package struct CUDALaunchGemmQuantized: Sendable {
    package let rows: Int
    package let outputs: Int
    package let inputs: Int
    package let format: CUDAWeightFormat
    package let gated: Bool
    /// Of the whole matrix that this one is a part of, so that parts of different types, and their widened form, have
    /// the same bits: `CUDALaunchGemm.splits` of that.
    package let splits: Int
    /// Of the device.
    package let multiprocessors: Int

    package init(
        rows: Int, outputs: Int, inputs: Int, format: CUDAWeightFormat, splits: Int, gated: Bool = false,
        multiprocessors: Int = 132
    ) {
        self.rows = rows
        self.outputs = outputs
        self.inputs = inputs
        self.format = format
        self.splits = splits
        self.gated = gated
        self.multiprocessors = multiprocessors
    }

    /// The macros of its compilation.
    package var macros: [String: Int] { ["MR_WEIGHT_TYPE": format.number] }

    package var tokens: Int { rows <= 16 ? 16 : rows <= 32 ? 32 : 64 }

    private var rowTiles: Int { (rows + tokens - 1) / tokens }
    private var tiles: Int { gated ? (outputs / 2 + 63) / 64 : (outputs + 127) / 128 }
    private var sharesSplits: Bool { splits > 1 && rowTiles * tiles < multiprocessors }

    /// Float32 elements of `partial` and int32 elements of `counters`.
    package var workspace: (partial: Int, counters: Int) {
        sharesSplits ? (rowTiles * tiles * splits * 128 * tokens, rowTiles * tiles) : (0, 0)
    }

    /// Of a block: the ring of weight groups (GemmQuantStream::RING), widened weights, and rows.
    package static func sharedBytes(_ format: CUDAWeightFormat, tokens: Int) -> Int {
        let isSuper = format.blockElements == 256
        let bytes = isSuper ? format.blockBytes : format.rowBytes(128)
        let chunks = isSuper && bytes % 16 == 0 ? bytes / 16 : (bytes + 29) / 16
        let stride = (chunks | 1) * 16
        return (stride < 200 ? 3 : 2) * 128 * stride + 128 * 128 + tokens * 128
    }

    package var shape: CUDALaunchShape {
        CUDALaunchShape(
            (gated ? "mr_gemm_quantized_gated_" : "mr_gemm_quantized_") + String(tokens),
            grid: (rowTiles, tiles, sharesSplits ? splits : 1), block: 128,
            sharedBytes: Self.sharedBytes(format, tokens: tokens))
    }
}
