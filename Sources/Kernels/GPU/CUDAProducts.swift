/// Products by our own kernels (gemm.cu), where NVIDIA's library is not there or has no way.
extension CUDADevice {
    /// y = x·Wᵀ + bias, or += that.
    func multiplyByOwnKernel(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, weights: CUDAAddress, bias: CUDAVector?, accumulate: Bool,
        into y: CUDAAddress
    ) throws(DeviceError) {
        try launchProduct(
            product(rows, matrix, gated: false), x, weights: weights, matrix, bias: bias, last: accumulate ? 1 : 0,
            into: y)
    }

    /// y = function(x·gateᵀ + b) * (x·upᵀ + b), rounded.
    func multiplyGatedByOwnKernel(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, weights: CUDAAddress, bias: CUDAVector?,
        function: ActivationFunction, into y: CUDAAddress
    ) throws(DeviceError) {
        try launchProduct(
            product(rows, matrix, gated: true), x, weights: weights, matrix, bias: bias, last: function.cuda, into: y)
    }

    func product(_ rows: Int, _ matrix: CUDAMatrix, gated: Bool) -> CUDALaunchGemm {
        CUDALaunchGemm(
            rows: rows, outputs: matrix.outputs, inputs: matrix.inputs, gated: gated,
            multiprocessors: runtime.properties.multiprocessors)
    }

    /// Memory that blocks which share a result's inputs add up in.
    func productSpace(
        _ space: (partial: Int, counters: Int)
    ) throws(DeviceError) -> (partial: CUDAAddress, counters: CUDAAddress) {
        (
            try scratch(.productPartial, bytes: max(space.partial * 4, 16)),
            try scratch(.productCounters, bytes: max(space.counters * 4, 16), zeroed: true)
        )
    }

    /// - Parameter last: the kernel's last argument: whether it adds to y, or the function of a gated product.
    func launchProduct(
        _ launch: CUDALaunchGemm, _ x: CUDAAddress, weights: CUDAAddress, _ matrix: CUDAMatrix, bias: CUDAVector?,
        last: Int, into y: CUDAAddress
    ) throws(DeviceError) {
        let space = try productSpace(launch.workspace)
        try runtime.launch(
            runtime.kernel(launch.shape.kernel, of: .gemm, macros: [:]), CUDAGeometry(launch.shape),
            [
                .address(x), .address(weights), .address(bias?.address ?? 0), .address(y), .address(space.partial),
                .address(space.counters), .int(launch.rows), .int(matrix.outputs), .int(matrix.inputs),
                .int(launch.splits), .int(last),
            ])
    }
}
