import Kernels

/// A device with what checks need besides the seam: to fill and read activations.
struct CheckedDevice<D: Device> {
    let device: D
    /// Fills `[rows, width]` of an activation in the form that the seam's callers would leave it in.
    let put: (D.Activation, _ values: [Float], _ rows: Int) throws -> Void
    let get: (D.Activation, _ rows: Int) throws -> [Float]

    func activation(_ values: [Float], rows: Int, width: Int, maxRows: Int = 0) throws -> D.Activation {
        let activation = try device.makeActivation(maxRows: max(rows, maxRows), width: width)
        try put(activation, values, rows)
        return activation
    }

    /// NaN where nothing is written.
    func poisoned(rows: Int, width: Int) throws -> D.Activation {
        try activation([Float](repeating: .nan, count: rows * width), rows: rows, width: width)
    }

    func matrix(_ parts: [[Float]], inputs: Int) throws -> D.Matrix {
        try device.makeMatrix(
            stacking: parts.map { MatrixSource(CheckTensor.make($0, shape: [$0.count / inputs, inputs])) })
    }
}

extension CheckedDevice where D == CPUDevice {
    init(cpu device: CPUDevice) {
        self.init(
            device: device,
            put: { activation, values, rows in
                for row in 0..<rows {
                    activation[row] = Array(values[row * activation.width..<(row + 1) * activation.width])
                }
            },
            get: { activation, rows in (0..<rows).flatMap { activation[$0] } })
    }
}

extension CheckedDevice where D == CUDADevice {
    init(cuda device: CUDADevice) {
        self.init(
            device: device,
            put: { activation, values, _ in
                activation.isRounded = false
                try device.runtime.uploadNow(values, to: activation.floatAddress())
            },
            get: { activation, rows in try device.values(of: activation, rows: rows) })
    }
}

extension CUDADevice {
    /// What the first `rows` rows hold, widened where they are rounded.
    func values(of activation: CUDAActivation, rows: Int) throws -> [Float] {
        let count = rows * activation.width
        if activation.isRounded, computeType == .float32 {
            var values = [Float](repeating: 0, count: count)
            let address = try activation.roundedAddress()
            try values.withUnsafeMutableBytes { try runtime.download(address, into: $0) }
            return values
        }
        if activation.isRounded {
            var bits = [UInt16](repeating: 0, count: count)
            let address = try activation.roundedAddress()
            try bits.withUnsafeMutableBytes { try runtime.download(address, into: $0) }
            return bits.map { Float(bitPattern: UInt32($0) << 16) }
        }
        var values = [Float](repeating: 0, count: count)
        let address = try activation.floatAddress()
        try values.withUnsafeMutableBytes { try runtime.download(address, into: $0) }
        return values
    }
}

/// Tensors in heap memory.
enum CheckTensor {
    private final class Owner {
        let buffer: UnsafeMutableRawBufferPointer
        init(_ bytes: [UInt8]) {
            buffer = .allocate(byteCount: max(bytes.count, 64), alignment: 64)
            buffer.copyBytes(from: bytes)
        }
        deinit { buffer.deallocate() }
    }

    static func make(_ values: [Float], shape: [Int]) -> WeightTensor {
        make(values.withUnsafeBytes { Array($0) }, type: .f32, shape: shape)
    }

    static func make(_ bytes: [UInt8], type: TensorType, shape: [Int]) -> WeightTensor {
        let owner = Owner(bytes)
        return WeightTensor(
            name: "check", type: type, shape: shape,
            bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(owner.buffer)[..<bytes.count]),
            owner: owner)
    }
}
