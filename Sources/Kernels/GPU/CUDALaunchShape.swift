/// How a kernel of ours is launched.
package struct CUDALaunchShape: Sendable {
    package var kernel: String
    package var grid: (x: Int, y: Int, z: Int)
    /// Threads of a block.
    package var block: Int
    /// Dynamic shared memory.
    package var sharedBytes: Int

    package init(_ kernel: String, grid: (Int, Int, Int), block: Int, sharedBytes: Int = 0) {
        self.kernel = kernel
        self.grid = grid
        self.block = block
        self.sharedBytes = sharedBytes
    }
}
