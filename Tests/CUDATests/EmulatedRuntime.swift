import CUDAEmulation

@testable import Kernels

/// A CUDA device that is the emulation: the whole of `CUDADevice` runs on it, graphs included. A late one does nothing
/// until somebody waits, so that host memory which is written again too early shows.
final class EmulatedRuntime: CUDARuntime {
    let products: (any CUDAProducts)? = nil
    let availableBytes = 1 << 30
    let properties = CUDAProperties(
        ordinal: 0, name: "emulation", major: 8, minor: 0, totalBytes: 1 << 30, multiprocessors: 4,
        sharedBytes: 99 << 10, cacheBytes: 1 << 20, driverVersion: 13000)
    /// What was asked for, in order; for tests of what a step launches.
    private(set) var launches: [String] = []
    private var recording: [() throws(DeviceError) -> Void]?
    private var graphs: [[() throws(DeviceError) -> Void]] = []
    private let isLate: Bool
    private var asked: [() throws(DeviceError) -> Void] = []
    /// How many of `asked` the last `startDownload` waits for.
    private var downloaded = 0

    /// The device is lost with the launch after so many.
    var launchesLeft = Int.max

    init(isLate: Bool = false) { self.isLate = isLate }

    private func act(_ action: @escaping () throws(DeviceError) -> Void) throws(DeviceError) {
        if recording != nil { recording?.append(action) } else { try perform(action) }
    }

    private func perform(_ action: @escaping () throws(DeviceError) -> Void) throws(DeviceError) {
        if isLate { asked.append(action) } else { try action() }
    }

    private func catchUp(_ count: Int) throws(DeviceError) {
        let due = asked[..<count]
        asked.removeFirst(count)
        downloaded = max(0, downloaded - count)
        for action in due { try action() }
    }

    func allocate(_ bytes: Int, for what: String) throws(DeviceError) -> CUDAAddress {
        precondition(recording == nil, "memory for \(what) while a graph is recorded")
        guard let memory = mr_emulation_allocate(bytes) else {
            throw .outOfDeviceMemory(what: what, bytes: bytes, available: 0, total: 0)
        }
        return CUDAAddress(UInt(bitPattern: memory))
    }

    func free(_ address: CUDAAddress) {
        // Freeing waits, as the driver's does.
        try? catchUp(asked.count)
        mr_emulation_free(pointer(address))
    }

    func allocateHost(_ bytes: Int, for what: String) throws(DeviceError) -> UnsafeMutableRawPointer {
        .allocate(byteCount: max(bytes, 1), alignment: 64)
    }

    func freeHost(_ memory: UnsafeMutableRawPointer) { memory.deallocate() }

    private func pointer(_ address: CUDAAddress) -> UnsafeMutableRawPointer? {
        UnsafeMutableRawPointer(bitPattern: UInt(address))
    }

    func upload(_ bytes: UnsafeRawBufferPointer, to address: CUDAAddress) throws(DeviceError) {
        precondition(recording == nil)
        guard let base = bytes.baseAddress, let target = pointer(address) else { return }
        try perform { target.copyMemory(from: base, byteCount: bytes.count) }
    }

    func download(_ address: CUDAAddress, into bytes: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        try startDownload(address, into: bytes)
        try synchronize()
    }

    func startDownload(_ address: CUDAAddress, into bytes: UnsafeMutableRawBufferPointer) throws(DeviceError) {
        precondition(recording == nil)
        guard let source = pointer(address) else { return }
        try perform { bytes.copyMemory(from: UnsafeRawBufferPointer(start: source, count: bytes.count)) }
        downloaded = asked.count
    }

    func finishDownload() throws(DeviceError) {
        precondition(recording == nil)
        try catchUp(downloaded)
    }

    func fill(_ address: CUDAAddress, with value: UInt8, count: Int) throws(DeviceError) {
        let target = pointer(address)
        try act { target?.initializeMemory(as: UInt8.self, repeating: value, count: count) }
    }

    func synchronize() throws(DeviceError) {
        precondition(recording == nil)
        try catchUp(asked.count)
    }

    func kernel(_ name: String, of source: CUDASource, macros: [String: Int]) throws(DeviceError) -> CUDAKernel {
        let suffix = macros.isEmpty ? "" : EmulatedInstances.suffix(macros)
        guard mr_emulation_has(name + suffix) != 0 else {
            throw .unsupported("no emulated kernel \(name)\(suffix)")
        }
        return CUDAKernel(name: name + suffix, handle: nil)
    }

    func launch(
        _ kernel: CUDAKernel, _ geometry: CUDAGeometry, _ arguments: [CUDAArgument]
    ) throws(DeviceError) {
        launches.append(kernel.name)
        try act { [self] () throws(DeviceError) in
            guard launchesLeft > 0 else {
                throw .lost(what: "waiting for the device", error: "cuda: an illegal memory access")
            }
            launchesLeft -= 1
            let (x, y, z) = geometry.grid
            guard x > 0, y > 0, z > 0 else { return }
            let status = arguments.withPointers { pointers in
                mr_emulate(
                    kernel.name, UInt32(x), UInt32(y), UInt32(z), UInt32(geometry.block), 1, 1,
                    UInt32(geometry.sharedBytes), pointers)
            }
            if status != 0 {
                throw .lost(what: "launching \(kernel.name)", error: String(cString: mr_emulation_error()))
            }
        }
    }

    func beginCapture() throws(DeviceError) { recording = [] }

    func endCapture() throws(DeviceError) -> CUDAGraph {
        graphs.append(recording ?? [])
        recording = nil
        return CUDAGraph(handle: OpaquePointer(bitPattern: graphs.count)!)
    }

    func launch(_ graph: CUDAGraph) throws(DeviceError) {
        for action in graphs[Int(bitPattern: graph.handle) - 1] { try perform(action) }
    }
}

/// Names of the emulation's instances of kernels that macros specialise.
enum EmulatedInstances {
    static func suffix(_ macros: [String: Int]) -> String {
        "_" + macros.sorted { $0.key < $1.key }.map { "\($0.value)" }.joined(separator: "_")
    }
}
