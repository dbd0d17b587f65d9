/// Brings checkpoint tensors onto the device: from the mapped file through page-locked memory, in pieces, and
/// widened there to what products take.
final class CUDAUploader {
    let runtime: any CUDARuntime
    let computeType: ComputeType
    private let pieces: [UnsafeMutableRawPointer]
    private var next = 0
    private var raw: CUDAMemory?

    /// Of each of two pieces; one is filled while the other is on its way.
    private static let pieceBytes = 32 << 20

    init(_ runtime: any CUDARuntime, _ computeType: ComputeType) throws(DeviceError) {
        self.runtime = runtime
        self.computeType = computeType
        let first = try runtime.allocateHost(Self.pieceBytes, for: "copying weights")
        do throws(DeviceError) {
            pieces = [first, try runtime.allocateHost(Self.pieceBytes, for: "copying weights")]
        } catch {
            runtime.freeHost(first)
            throw error
        }
    }

    deinit { for piece in pieces { runtime.freeHost(piece) } }

    /// Writes `part`, which is `tensor`, as products take it, `[outputs, inputs]` to `target`.
    func widen(_ tensor: WeightTensor, _ part: MatrixSource, into target: CUDAAddress) throws(DeviceError) {
        let bytes = UnsafeRawBufferPointer(rebasing: tensor.bytes[..<(tensor.rows * tensor.rowBytes)])
        if tensor.type == (computeType == .float32 ? .f32 : .bf16), !part.transposed, part.rowOrder == nil {
            try copy(bytes, to: target)
        } else if part.transposed || part.rowOrder != nil {
            try widenWhole(tensor, part, bytes, into: target)
        } else {
            try widenByRows(tensor, bytes, into: target)
        }
        try runtime.synchronize()
        (tensor.owner as? any DiscardablePages)?.discard(tensor.bytes)
    }

    /// Writes the rows of a tensor as they are, in this order, to `target`.
    func copyRows(_ tensor: WeightTensor, order: [Int]?, to target: CUDAAddress) throws(DeviceError) {
        let rowBytes = tensor.rowBytes
        if let order {
            let most = max(1, Self.pieceBytes / rowBytes)
            for first in stride(from: 0, to: order.count, by: most) {
                let rows = order[first..<min(first + most, order.count)]
                try send(rows.count * rowBytes, to: target + CUDAAddress(first * rowBytes)) { piece in
                    for (index, row) in rows.enumerated() {
                        (piece + index * rowBytes).copyMemory(
                            from: tensor.bytes.baseAddress! + row * rowBytes, byteCount: rowBytes)
                    }
                }
            }
        } else {
            try copy(UnsafeRawBufferPointer(rebasing: tensor.bytes[..<(tensor.rows * rowBytes)]), to: target)
        }
        try runtime.synchronize()
        (tensor.owner as? any DiscardablePages)?.discard(tensor.bytes)
    }

    /// Rows that go together fit a piece, however large the tensor.
    private func widenByRows(
        _ tensor: WeightTensor, _ bytes: UnsafeRawBufferPointer, into target: CUDAAddress
    ) throws(DeviceError) {
        let most = max(1, Self.pieceBytes / tensor.rowBytes)
        for first in stride(from: 0, to: tensor.rows, by: most) {
            let count = min(most, tensor.rows - first)
            let slice = bytes[first * tensor.rowBytes..<(first + count) * tensor.rowBytes]
            let source = try rawMemory(slice.count)
            try copy(UnsafeRawBufferPointer(rebasing: slice), to: source)
            try launch(
                tensor, from: source, order: 0, transposed: false, outputs: count, inputs: tensor.columns,
                into: target + CUDAAddress(first * tensor.columns * computeType.elementBytes))
        }
    }

    /// What is reordered or transposed needs all of the tensor at once.
    private func widenWhole(
        _ tensor: WeightTensor, _ part: MatrixSource, _ bytes: UnsafeRawBufferPointer, into target: CUDAAddress
    ) throws(DeviceError) {
        let source = try rawMemory(bytes.count)
        try copy(bytes, to: source)
        var order: CUDAMemory?
        if let rowOrder = part.rowOrder {
            let memory = try CUDAMemory(runtime, bytes: rowOrder.count * 4, for: "a row order")
            try runtime.uploadNow(rowOrder.map(Int32.init), to: memory.address)
            order = memory
        }
        try launch(
            tensor, from: source, order: order?.address ?? 0, transposed: part.transposed,
            outputs: part.outputs, inputs: part.inputs, into: target)
        // `order` must outlive the launch.
        try runtime.synchronize()
    }

    private func launch(
        _ tensor: WeightTensor, from source: CUDAAddress, order: CUDAAddress, transposed: Bool, outputs: Int,
        inputs: Int, into target: CUDAAddress
    ) throws(DeviceError) {
        let kernel = try runtime.kernel(
            "mr_dequantize", of: .tables, macros: computeType.macros)
        try runtime.launch(
            kernel, CUDALaunch.dequantize(outputs: outputs, inputs: inputs, transposed: transposed),
            [
                .address(source), .int(Int(tensor.type.rawValue)), .long(tensor.rowBytes), .address(order),
                .int(transposed ? 1 : 0), .address(target), .int(outputs), .int(inputs),
            ])
    }

    /// Device memory for what was not widened yet, until the next call.
    func rawMemory(_ bytes: Int) throws(DeviceError) -> CUDAAddress {
        if let raw, raw.bytes >= bytes { return raw.address }
        try runtime.synchronize()
        raw = nil
        let memory = try CUDAMemory(runtime, bytes: bytes, for: "copying weights")
        raw = memory
        return memory.address
    }

    func copy(_ bytes: UnsafeRawBufferPointer, to target: CUDAAddress) throws(DeviceError) {
        for first in stride(from: 0, to: bytes.count, by: Self.pieceBytes) {
            let count = min(Self.pieceBytes, bytes.count - first)
            try send(count, to: target + CUDAAddress(first)) {
                $0.copyMemory(from: bytes.baseAddress! + first, byteCount: count)
            }
        }
    }

    /// Copies `count` bytes, at most a piece, that `fill` writes.
    private func send(
        _ count: Int, to target: CUDAAddress, fill: (UnsafeMutableRawPointer) -> Void
    ) throws(DeviceError) {
        // The piece's last copy is two back; waiting for all of them is waiting for the one before.
        if next >= 2 { try runtime.synchronize() }
        let piece = pieces[next % 2]
        fill(piece)
        try runtime.upload(UnsafeRawBufferPointer(start: piece, count: count), to: target)
        next += 1
    }
}
