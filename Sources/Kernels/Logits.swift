/// Scores over the vocabulary, `[rows, vocabulary]` float32 in host memory that the device owns; valid until the
/// device computes the next. Read it on the engine's thread only. The device never reads it back, so the sampler may
/// mark rows as it works.
package struct Logits {
    package let rows: Int
    package let vocabulary: Int
    /// Floats from row to row.
    private let stride: Int
    private let base: UnsafePointer<Float>

    package init(rows: Int, vocabulary: Int, stride: Int? = nil, base: UnsafePointer<Float>) {
        self.rows = rows
        self.vocabulary = vocabulary
        self.stride = stride ?? vocabulary
        self.base = base
    }

    /// Row `index` as a buffer of `vocabulary` floats.
    package func withRow<R, E: Error>(
        _ index: Int, _ body: (UnsafeBufferPointer<Float>) throws(E) -> R
    ) throws(E) -> R {
        precondition(index >= 0 && index < rows)
        return try body(UnsafeBufferPointer(start: base + index * stride, count: vocabulary))
    }

    /// Row `index` as a span of `vocabulary` floats that the sampler may alter.
    package func withMutableRow<R, E: Error>(
        _ index: Int, _ body: (inout MutableSpan<Float>) throws(E) -> R
    ) throws(E) -> R {
        precondition(index >= 0 && index < rows)
        let row = UnsafeMutableBufferPointer(
            start: UnsafeMutablePointer(mutating: base + index * stride), count: vocabulary)
        var span = row.mutableSpan
        return try body(&span)
    }
}
