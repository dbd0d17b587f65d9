/// Small random numbers that all tensors of a benchmark share: how long a product takes does not depend on its values.
package final class RandomWeights {
    private let floats: UnsafeMutableBufferPointer<Float>

    /// - Parameter count: elements of the largest tensor.
    package init(count: Int) {
        floats = .allocate(capacity: count)
        var state: UInt32 = 1
        for index in floats.indices {
            state = state &* 1_664_525 &+ 1_013_904_223
            floats.initializeElement(at: index, to: Float(Int32(bitPattern: state)) * 0x1p-31 * 0.05)
        }
    }

    deinit { floats.deallocate() }

    package func tensor(_ rows: Int, _ columns: Int) -> WeightTensor {
        precondition(rows * columns <= floats.count, "a tensor of \(rows) x \(columns) is larger than was announced")
        return WeightTensor(
            name: "random", type: .f32, shape: [rows, columns],
            bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(floats)[..<(rows * columns * 4)]),
            owner: self)
    }
}
