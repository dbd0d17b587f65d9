/// An address in a device's memory.
package typealias CUDAAddress = UInt64

/// What `CUDADevice` stands on: memory, launches, graphs. `CUDADriver` is the real one; tests have one that runs
/// the same kernels on the CPU. Everything is asked for in order and done in that order; only `download`,
/// `finishDownload` and `synchronize` wait. Belongs to one thread at a time.
package protocol CUDARuntime: AnyObject {
    var properties: CUDAProperties { get }
    /// Products by NVIDIA's library, where it is there; nil: our own kernels compute them.
    var products: (any CUDAProducts)? { get }
    /// Bytes of device memory that nobody has.
    var availableBytes: Int { get }

    func allocate(_ bytes: Int, for what: String) throws(DeviceError) -> CUDAAddress
    func free(_ address: CUDAAddress)
    /// Page-locked host memory, which copies fast and alongside kernels.
    func allocateHost(_ bytes: Int, for what: String) throws(DeviceError) -> UnsafeMutableRawPointer
    func freeHost(_ memory: UnsafeMutableRawPointer)

    /// `bytes` must stay as they are until the device has done what was asked before the next wait.
    func upload(_ bytes: UnsafeRawBufferPointer, to address: CUDAAddress) throws(DeviceError)
    /// Waits until the bytes are there.
    func download(_ address: CUDAAddress, into bytes: UnsafeMutableRawBufferPointer) throws(DeviceError)
    /// Asks for the bytes, which are there once `finishDownload` has waited; one at a time.
    func startDownload(_ address: CUDAAddress, into bytes: UnsafeMutableRawBufferPointer) throws(DeviceError)
    /// Waits for what was asked for up to the last `startDownload`, and for nothing after it.
    func finishDownload() throws(DeviceError)
    func fill(_ address: CUDAAddress, with value: UInt8, count: Int) throws(DeviceError)
    func synchronize() throws(DeviceError)

    /// The kernel `name` of a source, compiled for this device with `macros` defined.
    func kernel(_ name: String, of source: CUDASource, macros: [String: Int]) throws(DeviceError) -> CUDAKernel
    func launch(_ kernel: CUDAKernel, _ geometry: CUDAGeometry, _ arguments: [CUDAArgument]) throws(DeviceError)

    /// What is asked for from here to `endCapture` is recorded, not done.
    func beginCapture() throws(DeviceError)
    func endCapture() throws(DeviceError) -> CUDAGraph
    func launch(_ graph: CUDAGraph) throws(DeviceError)
}

/// What a kernel's launch needs to know of the card, and what people want to know.
package struct CUDAProperties: Sendable, Equatable {
    package var ordinal: Int
    package var name: String
    /// Compute capability, 9.0 as (9, 0).
    package var major: Int
    package var minor: Int
    package var totalBytes: Int
    package var multiprocessors: Int
    /// Shared memory that one block may ask for.
    package var sharedBytes: Int
    package var cacheBytes: Int
    /// The driver's CUDA version, 13.0 as 13000.
    package var driverVersion: Int

    /// "sm_90a": Hopper's own instructions need the "a".
    package var architecture: String { "sm_\(major)\(minor)" + (major == 9 && minor == 0 ? "a" : "") }
}

/// A kernel's place, for `launch`.
package struct CUDAKernel {
    package let name: String
    let handle: OpaquePointer?
}

package struct CUDAGeometry: Equatable, Sendable {
    package var grid: (Int, Int, Int)
    package var block: Int
    package var sharedBytes: Int

    package init(grid: (Int, Int, Int), block: Int, sharedBytes: Int = 0) {
        self.grid = grid
        self.block = block
        self.sharedBytes = sharedBytes
    }

    package init(rows: Int, block: Int, sharedBytes: Int = 0) {
        self.init(grid: (rows, 1, 1), block: block, sharedBytes: sharedBytes)
    }

    /// As many blocks as `count` elements need at `perBlock` each.
    package init(covering count: Int, perBlock: Int, block: Int) {
        self.init(grid: ((count + perBlock - 1) / perBlock, 1, 1), block: block)
    }

    package static func == (a: Self, b: Self) -> Bool {
        a.grid == b.grid && a.block == b.block && a.sharedBytes == b.sharedBytes
    }
}

package enum CUDAArgument {
    case address(CUDAAddress)
    case int(Int)
    case long(Int)
    case float(Float)

    /// The argument as it lies in memory.
    var bits: UInt64 {
        switch self {
        case .address(let address): address
        case .int(let value): UInt64(UInt32(bitPattern: Int32(value)))
        case .long(let value): UInt64(bitPattern: Int64(value))
        case .float(let value): UInt64(value.bitPattern)
        }
    }
}

extension [CUDAArgument] {
    /// Calls `body` with an array of pointers to the arguments, as launches take them.
    package func withPointers<R, E: Error>(
        _ body: (UnsafeMutablePointer<UnsafeMutableRawPointer?>) throws(E) -> R
    ) throws(E) -> R {
        let bits = UnsafeMutablePointer<UInt64>.allocate(capacity: Swift.max(count, 1))
        let pointers = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: Swift.max(count, 1))
        defer {
            bits.deallocate()
            pointers.deallocate()
        }
        for (index, argument) in enumerated() {
            bits[index] = argument.bits
            pointers[index] = UnsafeMutableRawPointer(bits + index)
        }
        return try body(pointers)
    }
}

/// A recorded run of launches. The runtime that made it frees it with itself.
package struct CUDAGraph {
    let handle: OpaquePointer
}

/// Device memory that frees itself.
package final class CUDAMemory {
    package let address: CUDAAddress
    package let bytes: Int
    private let runtime: any CUDARuntime

    init(_ runtime: any CUDARuntime, bytes: Int, for what: String) throws(DeviceError) {
        self.runtime = runtime
        self.bytes = bytes
        address = try runtime.allocate(Swift.max(bytes, 16), for: what)
    }

    deinit { runtime.free(address) }
}
