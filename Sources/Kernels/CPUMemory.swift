import CKernels

/// Zeroed float32 (or opaque) memory of the device, freed with its owner.
package final class CPUMemory {
    let bytes: Int
    let base: UnsafeMutableRawPointer

    init(bytes: Int, for what: String) throws {
        guard bytes >= 0, let base = mr_allocate(bytes) else {
            throw DeviceError.outOfMemory(what: what, bytes: bytes)
        }
        self.bytes = bytes
        self.base = base
    }

    deinit { mr_release(base, bytes) }

    var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
}

/// Packed weights.
package final class CPUMatrix {
    package let outputs: Int
    package let inputs: Int
    /// Outputs of each stacked part.
    let parts: [Int]
    let handle: OpaquePointer

    /// `stored`: GGUF's type of each part, where weights stay as they are stored.
    init(engine: OpaquePointer, precision: mr_precision, inputs: Int, parts: [Int], stored: [UInt32]?) throws {
        let sizes = parts.map(Int32.init)
        let handle = stored.withOptionalBuffer {
            mr_matrix_create(engine, precision, Int32(inputs), sizes, Int32(parts.count), $0)
        }
        guard let handle else {
            throw DeviceError.outOfMemory(what: "a matrix", bytes: parts.reduce(0, +) * inputs * 4)
        }
        self.handle = handle
        self.inputs = inputs
        self.parts = parts
        outputs = parts.reduce(0, +)
    }

    deinit { mr_matrix_destroy(handle) }

    /// Memory the packed weights take.
    package var bytes: Int { mr_matrix_bytes(handle) }
}

/// Float32 parameters.
package final class CPUVector {
    package let count: Int
    let memory: CPUMemory

    init(_ values: [Float]) throws {
        count = values.count
        memory = try CPUMemory(bytes: values.count * 4, for: "a vector")
        memory.floats.update(from: values, count: values.count)
    }

    var pointer: UnsafePointer<Float> { UnsafePointer(memory.floats) }
}

/// Rows in checkpoint form.
package final class CPUTable {
    let tensor: WeightTensor

    init(_ tensor: WeightTensor) { self.tensor = tensor }

    var kernel: mr_table {
        mr_table(
            type: tensor.type.rawValue, data: tensor.bytes.baseAddress, row_bytes: tensor.rowBytes,
            columns: Int32(tensor.columns))
    }
}

/// Floats from one row of `width` float32 to the next: whole cache lines, an odd number of them, so that rows of one
/// tile fall into different sets of the caches whatever the width.
func rowStride(_ width: Int) -> Int { ((width + 15) / 16 | 1) * 16 }

/// A buffer `[maxRows, width]`.
package final class CPUActivation {
    package let maxRows: Int
    package let width: Int
    let memory: CPUMemory
    /// Not nil: rows are rounded, as products take them, by this engine.
    let rounding: OpaquePointer?
    /// Floats from row to row, where they are not rounded.
    private let stride: Int

    init(maxRows: Int, width: Int, roundedBy engine: OpaquePointer? = nil) throws {
        self.maxRows = maxRows
        self.width = width
        stride = rowStride(width)
        rounding = engine
        let bytes = engine.map { mr_rounded_bytes($0, Int32(maxRows), Int32(width)) } ?? maxRows * stride * 4
        memory = try CPUMemory(bytes: bytes, for: "an activation of \(maxRows) rows")
    }

    /// For operations that take both forms.
    var anyRows: mr_rows { mr_rows(data: memory.floats, stride: stride, rounded: rounding != nil) }

    var rows: mr_rows {
        precondition(rounding == nil, "an operation on float32 rows is given rounded ones")
        return anyRows
    }

    /// A row's values, for tests and debugging.
    package subscript(row: Int) -> [Float] {
        get {
            precondition(row >= 0 && row < maxRows)
            if let rounding {
                var values = [Float](repeating: 0, count: width)
                mr_widen_row(rounding, anyRows, Int32(row), Int32(width), &values)
                return values
            }
            return Array(UnsafeBufferPointer(start: memory.floats + row * stride, count: width))
        }
        set {
            precondition(row >= 0 && row < maxRows && newValue.count == width && rounding == nil)
            (memory.floats + row * stride).update(from: newValue, count: width)
        }
    }
}
