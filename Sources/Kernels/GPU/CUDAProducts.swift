/// Products by our own kernels (gemm.cu), where NVIDIA's library is not there or has no way.
extension CUDADevice {
    /// y = x·Wᵀ + bias, or += that.
    func multiplyByOwnKernel(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, accumulate: Bool,
        into y: CUDAAddress
    ) throws(DeviceError) {
        try launchProduct(
            CUDALaunchGemm(
                rows: rows, outputs: matrix.outputs, inputs: matrix.inputs,
                multiprocessors: runtime.properties.multiprocessors),
            x, matrix, bias: bias, last: accumulate ? 1 : 0, into: y)
    }

    /// y = function(x·gateᵀ + b) * (x·upᵀ + b), rounded.
    func multiplyGatedByOwnKernel(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, function: ActivationFunction,
        into y: CUDAAddress
    ) throws(DeviceError) {
        try launchProduct(
            CUDALaunchGemm(
                rows: rows, outputs: matrix.outputs, inputs: matrix.inputs, gated: true,
                multiprocessors: runtime.properties.multiprocessors),
            x, matrix, bias: bias, last: function.cuda, into: y)
    }

    private func launchProduct(
        _ launch: CUDALaunchGemm, _ x: CUDAAddress, _ matrix: CUDAMatrix, bias: CUDAVector?, last: Int,
        into y: CUDAAddress
    ) throws(DeviceError) {
        guard matrix.inputs % 8 == 0 else {
            throw .unsupported("a matrix of \(matrix.inputs) inputs; the GPU takes multiples of 8")
        }
        let space = launch.workspace
        let partial = try scratch(.productPartial, bytes: max(space.partial * 4, 16))
        let counters = try scratch(.productCounters, bytes: max(space.counters * 4, 16), zeroed: true)
        let shape = launch.shape
        try runtime.launch(
            runtime.kernel(shape.kernel, of: .gemm, macros: [:]), CUDAGeometry(shape),
            [
                .address(x), .address(matrix.weights), .address(bias?.address ?? 0), .address(y),
                .address(partial), .address(counters), .int(launch.rows), .int(matrix.outputs),
                .int(matrix.inputs), .int(launch.splits), .int(last),
            ])
    }
}
