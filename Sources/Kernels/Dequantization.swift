import CKernels

extension TensorType {
    /// The first `count` elements of stored rows (a whole number of blocks) as float32.
    package func dequantize(_ bytes: UnsafeRawBufferPointer, count: Int) -> [Float] {
        precondition(count % blockElements == 0 && bytes.count >= count / blockElements * blockBytes)
        return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            if count > 0 {
                _ = mr_dequantize_row(rawValue, bytes.baseAddress, buffer.baseAddress, Int64(count))
            }
            initialized = count
        }
    }
}
