extension CUDADevice {
    func multiplyByOwnKernel(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, accumulate: Bool,
        into y: CUDAAddress
    ) throws(DeviceError) { throw .unsupported("own products") }
}
