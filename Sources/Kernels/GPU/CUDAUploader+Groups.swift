/// Grouped weights: the checkpoint's tensors are copied as they are, and one kernel makes of them what is wanted.
extension CUDAUploader {
    /// Where a layer's tensors lie in the device's memory, until the next of them is copied.
    private struct Copied {
        let numbers, zeros, scales, groupOf: CUDAAddress
    }

    /// Writes all weights as bfloat16 `[outputs, inputs]` to `target`.
    func widen(_ weights: GroupedWeights, into target: CUDAAddress) throws(DeviceError) {
        let copied = try copy(weights)
        // 8 inputs a thread; a grid's second dimension ends at 65535.
        let columns = min((weights.inputs + 7) / 8, 65535)
        try runtime.launch(
            runtime.kernel("mr_dequantize_groups", of: .groups, macros: [:]),
            CUDAGeometry(grid: ((weights.outputs + 127) / 128, columns, 1), block: 128),
            [
                .address(copied.numbers), .address(copied.zeros), .address(copied.scales),
                .int(Int(weights.scales.type.rawValue)), .address(copied.groupOf), .address(target),
                .int(weights.outputs), .int(weights.inputs), .int(weights.bits), .int(weights.isAWQ),
                .int(weights.offset),
            ])
        try finish(weights)
    }

    /// Writes rows of groups to `target`, their inputs in the order that lies at `order` (0: as they are).
    func repack(
        _ weights: GroupedWeights, _ format: CUDAWeightFormat, order: CUDAAddress, into target: CUDAAddress
    ) throws(DeviceError) {
        let copied = try copy(weights)
        let size = format.blockElements
        try runtime.launch(
            runtime.kernel("mr_repack_groups", of: .groups, macros: [:]),
            CUDAGeometry(grid: ((weights.outputs + 127) / 128, weights.inputs / size, 1), block: 128),
            [
                .address(copied.numbers), .address(copied.zeros), .address(copied.scales), .address(copied.groupOf),
                .address(order), .address(target), .int(weights.outputs), .int(weights.inputs), .int(size),
                .int(weights.bits), .int(weights.isAWQ), .int(weights.offset),
                .int(weights.scales.type == .bf16 ? 1 : 0),
            ])
        try finish(weights)
    }

    private func copy(_ weights: GroupedWeights) throws(DeviceError) -> Copied {
        let bytes = weights.groups * weights.scales.rowBytes
        let scales = UnsafeRawBufferPointer(rebasing: weights.scales.bytes[..<bytes])
        let sizes = [weights.numbers.bytes.count, weights.zeros.bytes.count, scales.count, weights.inputs * 4]
        var places: [CUDAAddress] = []
        var end = 0
        for size in sizes {
            places.append(CUDAAddress(end))
            end += (size + 15) / 16 * 16
        }
        let base = try rawMemory(end)
        let copied = Copied(
            numbers: base + places[0], zeros: base + places[1], scales: base + places[2], groupOf: base + places[3])
        try copy(weights.numbers.bytes, to: copied.numbers)
        try copy(weights.zeros.bytes, to: copied.zeros)
        try copy(scales, to: copied.scales)
        try runtime.uploadNow(weights.groupOf, to: copied.groupOf)
        return copied
    }

    private func finish(_ weights: GroupedWeights) throws(DeviceError) {
        try runtime.synchronize()
        weights.discard()
    }
}

extension GroupedWeights {
    /// As kernels take them.
    fileprivate var isAWQ: Int { packing == .awq ? 1 : 0 }
    fileprivate var offset: Int { Int(Int32(bitPattern: zeroOffset)) }
}
