/// One tensor of a checkpoint as it lies in the mapped file: read-only, never copied until a device repacks it.
///
/// `bytes` stays valid while `owner` (the mapping) is alive; the tensor keeps it so.
package struct WeightTensor: @unchecked Sendable {
    // @unchecked: `bytes` points into a private read-only mapping that nobody writes and that `owner` keeps mapped.
    package let name: String
    package let type: TensorType
    /// Row-major, slowest dimension first: a linear layer is `[outputs, inputs]`.
    package let shape: [Int]
    package let bytes: UnsafeRawBufferPointer
    package let owner: AnyObject

    package init(
        name: String, type: TensorType, shape: [Int], bytes: UnsafeRawBufferPointer, owner: AnyObject
    ) {
        self.name = name
        self.type = type
        self.shape = shape
        self.bytes = bytes
        self.owner = owner
    }

    /// Elements in one row (the fastest dimension).
    package var columns: Int { shape.last ?? 1 }
    /// All rows, whatever the number of dimensions.
    package var rows: Int { shape.dropLast().reduce(1, *) }
    package var rowBytes: Int { columns / type.blockElements * type.blockBytes }
}

/// An owner of file pages that can drop them from memory and read them again when they are needed. A device asks
/// for it once it has repacked a tensor. (Heap memory must not conform.)
package protocol DiscardablePages: AnyObject {
    /// The pages that lie wholly or partly in `bytes` are not needed soon.
    func discard(_ bytes: UnsafeRawBufferPointer)
}
