import CUDAEmulation

/// Memory of the emulated device: NaN until written, between pages that nothing may touch.
final class EmulatedBuffer<Element> {
    let count: Int
    let address: UnsafeMutableRawPointer

    init(count: Int) {
        self.count = count
        guard let memory = mr_emulation_allocate(count * MemoryLayout<Element>.stride) else {
            preconditionFailure("no memory for \(count) elements")
        }
        address = memory
    }

    convenience init(_ values: [Element]) {
        self.init(count: values.count)
        values.withUnsafeBytes { address.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(address), byteCount: $0.count) }
    }

    deinit { mr_emulation_free(address) }

    var values: [Element] {
        Array(UnsafeBufferPointer(start: address.assumingMemoryBound(to: Element.self), count: count))
    }
}
