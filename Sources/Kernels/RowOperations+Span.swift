import CKernels

/// The same scans for callers without pointers.
extension RowOperations {
    package static func argmax(_ row: Span<Float>) -> Int? { row.withUnsafeBufferPointer { argmax($0) } }

    package static func maximum(_ row: Span<Float>) -> Float { row.withUnsafeBufferPointer { maximum($0) } }

    package static func logSumExp(_ row: Span<Float>) -> Double {
        row.withUnsafeBufferPointer { logSumExp($0) }
    }

    package static func sumOfExponentials(_ row: Span<Float>, maximum: Float, scale: Float) -> Double {
        row.withUnsafeBufferPointer { sumOfExponentials($0, maximum: maximum, scale: scale) }
    }

    package static func countAtOrAbove(_ row: Span<Float>, threshold: Float) -> Int {
        row.withUnsafeBufferPointer { countAtOrAbove($0, threshold: threshold) }
    }

    /// Puts the ascending indices of the values at or above `threshold` first in `indices`, whose memory is
    /// reused, and returns how many they are.
    package static func findIndices(
        _ row: Span<Float>, threshold: Float, into indices: inout [Int32]
    ) -> Int {
        if indices.count < row.count {
            indices.append(contentsOf: repeatElement(0, count: row.count - indices.count))
        }
        return row.withUnsafeBufferPointer { values in
            indices.withUnsafeMutableBufferPointer { found in
                Int(
                    mr_indices_at_least(
                        instructionSet, values.baseAddress, Int64(values.count), threshold, found.baseAddress,
                        Int64(found.count)))
            }
        }
    }
}
