import CKernels

/// Vectorised scans of one row of scores, for sampling. Each visits the row in one fixed order, whatever runs
/// beside it.
package enum RowOperations {
    /// The instruction set in use: `MILLRACE_ISA` where it names a usable one, else the best.
    static let instructionSet = ((try? CPUFeatures.chosen()) ?? CPUFeatures.best).kernel

    /// First index of the largest value. NaN never wins; nil when there is no value but NaN.
    package static func argmax(_ row: UnsafeBufferPointer<Float>) -> Int? {
        let index = mr_argmax(instructionSet, row.baseAddress, Int64(row.count))
        return index < 0 ? nil : Int(index)
    }

    /// Largest value that is not NaN; -infinity when there is none.
    package static func maximum(_ row: UnsafeBufferPointer<Float>) -> Float {
        mr_maximum(instructionSet, row.baseAddress, Int64(row.count))
    }

    /// log(sum(exp(row))), good to about 1e-7; -infinity for rows without a finite value, NaN where there is one.
    package static func logSumExp(_ row: UnsafeBufferPointer<Float>) -> Double {
        mr_log_sum_exp(instructionSet, row.baseAddress, Int64(row.count))
    }

    /// sum(exp((row - maximum) * scale)), good to about 1e-7, for a finite `maximum` that no value exceeds.
    package static func sumOfExponentials(
        _ row: UnsafeBufferPointer<Float>, maximum: Float, scale: Float
    ) -> Double {
        mr_sum_exp(instructionSet, row.baseAddress, Int64(row.count), maximum, scale)
    }

    /// How many values are at or above `threshold`.
    package static func countAtOrAbove(_ row: UnsafeBufferPointer<Float>, threshold: Float) -> Int {
        Int(mr_count_at_least(instructionSet, row.baseAddress, Int64(row.count), threshold))
    }

    /// Ascending indices of the values at or above `threshold`.
    package static func indicesAtOrAbove(_ row: UnsafeBufferPointer<Float>, threshold: Float) -> [Int32] {
        let count = countAtOrAbove(row, threshold: threshold)
        return [Int32](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = Int(
                mr_indices_at_least(
                    instructionSet, row.baseAddress, Int64(row.count), threshold, buffer.baseAddress,
                    Int64(count)))
        }
    }
}
