/// Launch geometry of elementwise.cu.
enum CUDALaunch {
    /// Threads of a block that works on one row.
    static let rowBlock = 256
    /// Threads of a block that works on one head of a row.
    static let headBlock = 32

    /// For kernels that work on single elements.
    static func elements(_ count: Int) -> CUDAGeometry { CUDAGeometry(covering: count, perBlock: 1024, block: 256) }
}
