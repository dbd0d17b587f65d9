/// Launch geometry of elementwise.cu and tables.cu; a thread works on eight neighbours at a time.
enum CUDALaunch {
    /// One block a row: reductions over it.
    static func row(_ rows: Int) -> CUDAGeometry { CUDAGeometry(rows: rows, block: 256) }

    /// As many blocks a row as its width has work for.
    static func rows(_ rows: Int, width: Int, block: Int = 256) -> CUDAGeometry {
        CUDAGeometry(grid: (rows, (width + 8 * block - 1) / (8 * block), 1), block: block)
    }

    /// One warp for each head of each row.
    static func heads(_ rows: Int, _ heads: Int) -> CUDAGeometry {
        CUDAGeometry(grid: (rows, heads, 1), block: 32)
    }

    /// Single elements.
    static func elements(_ count: Int) -> CUDAGeometry {
        CUDAGeometry(covering: count, perBlock: 8 * 256, block: 256)
    }

    static func dequantize(outputs: Int, inputs: Int, transposed: Bool) -> CUDAGeometry {
        transposed
            ? CUDAGeometry(grid: ((outputs + 31) / 32, (inputs + 31) / 32, 1), block: 128)
            : rows(outputs, width: inputs, block: 128)
    }
}
