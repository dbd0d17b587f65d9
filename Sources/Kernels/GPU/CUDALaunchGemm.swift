/// Launch geometry of gemm.cu: y[rows, outputs] = x[rows, inputs] · w[outputs, inputs]ᵀ.
package struct CUDALaunchGemm: Sendable {
    package let rows: Int
    package let outputs: Int
    package let inputs: Int
    /// w is gate over up, and half of `outputs` come out.
    package let gated: Bool
    /// Of the device.
    package let multiprocessors: Int

    package init(rows: Int, outputs: Int, inputs: Int, gated: Bool = false, multiprocessors: Int = 132) {
        self.rows = rows
        self.outputs = outputs
        self.inputs = inputs
        self.gated = gated
        self.multiprocessors = multiprocessors
    }

    /// Spans that the inputs are cut into. A sum's order depends on it, so it follows from the matrix alone, never from
    /// rows or device: enough that few outputs still occupy a large card, each long enough to be worth it.
    package static func splits(outputs: Int, inputs: Int) -> Int {
        let tiles = (outputs + 127) / 128
        var splits = 1
        while tiles * splits < 128 && inputs / (2 * splits) >= 512 { splits *= 2 }
        return splits
    }

    package var splits: Int { Self.splits(outputs: outputs, inputs: inputs) }

    /// Rows of a tile.
    package var tokens: Int {
        switch rows {
        case ...16: 16
        case ...32: 32
        case ...64: 64
        default: 128
        }
    }

    private var rowTiles: Int { (rows + tokens - 1) / tokens }
    private var tiles: Int { gated ? (outputs / 2 + 63) / 64 : (outputs + 127) / 128 }
    /// Whether splits are blocks of their own; else each block walks all.
    private var sharesSplits: Bool { splits > 1 && rowTiles * tiles < multiprocessors }

    /// Float32 elements of `partial` and int32 elements of `counters`.
    package var workspace: (partial: Int, counters: Int) {
        sharesSplits ? (rowTiles * tiles * splits * 128 * tokens, rowTiles * tiles) : (0, 0)
    }

    package var shape: CUDALaunchShape {
        CUDALaunchShape(
            (gated ? "mr_gemm_gated_" : "mr_gemm_") + String(tokens),
            grid: (rowTiles, tiles, sharesSplits ? splits : 1), block: tokens == 128 ? 256 : 128,
            sharedBytes: (tokens == 128 ? 3 : 4) * (128 + tokens) * 128)
    }
}
