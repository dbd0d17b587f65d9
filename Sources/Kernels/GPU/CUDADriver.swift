import CCUDA

/// NVIDIA's driver as the runtime: one device, one context, one stream.
/// Source: https://docs.nvidia.com/cuda/cuda-driver-api/
package final class CUDADriver: CUDARuntime {
    package let properties: CUDAProperties
    package var products: (any CUDAProducts)? { library }
    private var library: CUBLASLt?
    private let api: mr_cuda_driver
    private let device: Int32
    private let stream: UnsafeMutableRawPointer
    /// The end of the last `startDownload`.
    private let downloaded: UnsafeMutableRawPointer
    private let compiler: CUDACompiler
    private var modules: [CUDAModuleKey: UnsafeMutableRawPointer] = [:]
    private var kernels: [CUDAKernelKey: CUDAKernel] = [:]
    /// What kernels may ask for beyond the usual.
    private var sharedBytes: [OpaquePointer: Int] = [:]
    private var graphs: [UnsafeMutableRawPointer] = []

    private struct CUDAModuleKey: Hashable {
        var source: CUDASource
        var macros: [String: Int]
    }

    private struct CUDAKernelKey: Hashable {
        var name: String
        var module: CUDAModuleKey
    }

    /// Which products are used: NVIDIA's where they are there, or our own.
    package enum ProductChoice: String, Sendable, CaseIterable { case automatic = "auto", cublaslt, own }

    /// Opens device `ordinal`. Belongs to the thread that calls this.
    package init(
        ordinal: Int, libraries: CUDALibraries = CUDALibraries(), cacheFolder: String? = nil,
        products choice: ProductChoice = .automatic
    ) throws {
        let (api, _) = try libraries.driver()
        self.api = api
        try Self.check(api, api.cuInit(0), "starting the driver")
        var count: Int32 = 0
        try Self.check(api, api.cuDeviceGetCount(&count), "counting devices")
        guard (0..<Int(count)).contains(ordinal) else {
            throw DeviceError.badSetting("there is no cuda:\(ordinal): this machine has \(count) CUDA devices")
        }
        var device: Int32 = 0
        try Self.check(api, api.cuDeviceGet(&device, Int32(ordinal)), "opening cuda:\(ordinal)")
        self.device = device
        properties = try Self.properties(api, device, ordinal: ordinal)
        guard properties.major >= 8 else {
            throw DeviceError.unsupported(
                "cuda:\(ordinal) (\(properties.name)) has compute capability "
                    + "\(properties.major).\(properties.minor); 8.0 or later is needed")
        }
        var context: UnsafeMutableRawPointer?
        try Self.check(api, api.cuDevicePrimaryCtxRetain(&context, device), "opening cuda:\(ordinal)")
        try Self.check(api, api.cuCtxSetCurrent(context), "opening cuda:\(ordinal)")
        var stream: UnsafeMutableRawPointer?
        try Self.check(api, api.cuStreamCreate(&stream, 1), "making a stream")
        self.stream = stream!
        var event: UnsafeMutableRawPointer?
        // Without times, which cost.
        try Self.check(api, api.cuEventCreate(&event, 2), "making an event")
        downloaded = event!
        compiler = try CUDACompiler(
            libraries, architecture: properties.architecture, cacheFolder: cacheFolder)
        if choice != .own {
            do {
                let (table, _) = try libraries.products()
                library = try CUBLASLt(table, runtime: self, stream: stream!)
            } catch let missing as CUDAMissing {
                if choice == .cublaslt { throw missing }
            }
        }
    }

    deinit {
        _ = api.cuStreamSynchronize(stream)
        library = nil
        for graph in graphs { _ = api.cuGraphExecDestroy(graph) }
        for module in modules.values { _ = api.cuModuleUnload(module) }
        _ = api.cuEventDestroy_v2(downloaded)
        _ = api.cuStreamDestroy_v2(stream)
        _ = api.cuDevicePrimaryCtxRelease_v2(device)
    }

    /// The devices that the driver sees.
    package static func devices(_ libraries: CUDALibraries = CUDALibraries()) throws -> [CUDAProperties] {
        let (api, _) = try libraries.driver()
        let status = api.cuInit(0)
        if status == 100 { return [] }
        try check(api, status, "starting the driver")
        var count: Int32 = 0
        try check(api, api.cuDeviceGetCount(&count), "counting devices")
        return try (0..<count).map { ordinal in
            var device: Int32 = 0
            try check(api, api.cuDeviceGet(&device, ordinal), "opening cuda:\(ordinal)")
            return try properties(api, device, ordinal: Int(ordinal))
        }
    }

    private static func properties(
        _ api: mr_cuda_driver, _ device: Int32, ordinal: Int
    ) throws(DeviceError) -> CUDAProperties {
        var name = [CChar](repeating: 0, count: 256)
        try check(api, api.cuDeviceGetName(&name, 255, device), "asking a device's name")
        var bytes = 0
        try check(api, api.cuDeviceTotalMem_v2(&bytes, device), "asking a device's memory")
        var version: Int32 = 0
        try check(api, api.cuDriverGetVersion(&version), "asking the driver's version")
        func attribute(_ number: Int32) throws(DeviceError) -> Int {
            var value: Int32 = 0
            try check(api, api.cuDeviceGetAttribute(&value, number, device), "asking device attribute \(number)")
            return Int(value)
        }
        return CUDAProperties(
            ordinal: ordinal,
            name: String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self),
            major: try attribute(75), minor: try attribute(76), totalBytes: bytes,
            multiprocessors: try attribute(16), sharedBytes: try attribute(97), cacheBytes: try attribute(38),
            driverVersion: Int(version))
    }

    static func check(_ api: mr_cuda_driver, _ status: Int32, _ what: String) throws(DeviceError) {
        guard status != 0 else { return }
        var name: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        _ = api.cuGetErrorName(status, &name)
        _ = api.cuGetErrorString(status, &text)
        let named = name.map { String(cString: $0) } ?? "CUDA error \(status)"
        throw .lost(what: what, error: named + (text.map { " (\(String(cString: $0)))" } ?? ""))
    }

    private func check(_ status: Int32, _ what: @autoclosure () -> String) throws(DeviceError) {
        if status != 0 { try Self.check(api, status, what()) }
    }
}

// MARK: Memory

extension CUDADriver {
    package var availableBytes: Int {
        var (available, total) = (0, 0)
        return api.cuMemGetInfo_v2(&available, &total) == 0 ? available : 0
    }

    package func allocate(_ bytes: Int, for what: String) throws(DeviceError) -> CUDAAddress {
        var address: CUDAAddress = 0
        let status = api.cuMemAlloc_v2(&address, bytes)
        if status == 2 {
            throw .outOfDeviceMemory(
                what: what, bytes: bytes, available: availableBytes, total: properties.totalBytes)
        }
        try check(status, "allocating \(bytes) bytes for \(what)")
        return address
    }

    package func free(_ address: CUDAAddress) { _ = api.cuMemFree_v2(address) }

    package func allocateHost(_ bytes: Int, for what: String) throws(DeviceError) -> UnsafeMutableRawPointer {
        var memory: UnsafeMutableRawPointer?
        guard api.cuMemHostAlloc(&memory, bytes, 0) == 0, let memory else {
            throw .outOfMemory(what: what, bytes: bytes)
        }
        return memory
    }

    package func freeHost(_ memory: UnsafeMutableRawPointer) { _ = api.cuMemFreeHost(memory) }

    package func upload(_ bytes: UnsafeRawBufferPointer, to address: CUDAAddress) throws(DeviceError) {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        try check(api.cuMemcpyHtoDAsync_v2(address, base, bytes.count, stream), "copying to the device")
    }

    package func download(
        _ address: CUDAAddress, into bytes: UnsafeMutableRawBufferPointer
    ) throws(DeviceError) {
        if let base = bytes.baseAddress, !bytes.isEmpty {
            try check(api.cuMemcpyDtoHAsync_v2(base, address, bytes.count, stream), "copying from the device")
        }
        try synchronize()
    }

    package func startDownload(
        _ address: CUDAAddress, into bytes: UnsafeMutableRawBufferPointer
    ) throws(DeviceError) {
        if let base = bytes.baseAddress, !bytes.isEmpty {
            try check(api.cuMemcpyDtoHAsync_v2(base, address, bytes.count, stream), "copying from the device")
        }
        try check(api.cuEventRecord(downloaded, stream), "recording an event")
    }

    package func finishDownload() throws(DeviceError) {
        try check(api.cuEventSynchronize(downloaded), "waiting for the device")
    }

    /// From device memory to device memory.
    package func copy(_ from: CUDAAddress, to: CUDAAddress, _ bytes: Int) throws(DeviceError) {
        try check(api.cuMemcpyDtoDAsync_v2(to, from, bytes, stream), "copying on the device")
    }

    package func fill(_ address: CUDAAddress, with value: UInt8, count: Int) throws(DeviceError) {
        try check(api.cuMemsetD8Async(address, value, count, stream), "filling device memory")
    }

    package func synchronize() throws(DeviceError) {
        try check(api.cuStreamSynchronize(stream), "waiting for the device")
    }
}

// MARK: Kernels

extension CUDADriver {
    package func kernel(
        _ name: String, of source: CUDASource, macros: [String: Int]
    ) throws(DeviceError) -> CUDAKernel {
        let key = CUDAKernelKey(name: name, module: CUDAModuleKey(source: source, macros: macros))
        if let known = kernels[key] { return known }
        let module = try self.module(key.module)
        var function: UnsafeMutableRawPointer?
        try check(api.cuModuleGetFunction(&function, module, name), "finding kernel \(name) in \(source.name)")
        let kernel = CUDAKernel(name: name, handle: OpaquePointer(function))
        kernels[key] = kernel
        return kernel
    }

    private func module(_ key: CUDAModuleKey) throws(DeviceError) -> UnsafeMutableRawPointer {
        if let known = modules[key] { return known }
        var module: UnsafeMutableRawPointer?
        let image = try compiler.image(of: key.source, macros: key.macros)
        if api.cuModuleLoadData(&module, image) != 0 {
            // The cached image may be damaged in a way that its checksum cannot show.
            let fresh = try compiler.image(of: key.source, macros: key.macros, rebuilding: true)
            try check(api.cuModuleLoadData(&module, fresh), "loading the kernels of \(key.source.name)")
        }
        modules[key] = module
        return module!
    }

    package func launch(
        _ kernel: CUDAKernel, _ geometry: CUDAGeometry, _ arguments: [CUDAArgument]
    ) throws(DeviceError) {
        let (x, y, z) = geometry.grid
        guard x > 0, y > 0, z > 0 else { return }
        try raiseSharedBytes(kernel, to: geometry.sharedBytes)
        let status = arguments.withPointers { pointers in
            api.cuLaunchKernel(
                UnsafeMutableRawPointer(kernel.handle), UInt32(x), UInt32(y), UInt32(z), UInt32(geometry.block), 1,
                1, UInt32(geometry.sharedBytes), stream, pointers, nil)
        }
        try check(status, "launching \(kernel.name)")
    }
}

extension CUDADriver {
    /// Up to 48 KiB of shared memory need no leave.
    private func raiseSharedBytes(_ kernel: CUDAKernel, to bytes: Int) throws(DeviceError) {
        guard let handle = kernel.handle, bytes > sharedBytes[handle, default: 48 << 10] else { return }
        try check(
            api.cuFuncSetAttribute(UnsafeMutableRawPointer(handle), 8, Int32(bytes)),
            "giving \(kernel.name) \(bytes) bytes of shared memory")
        sharedBytes[handle] = bytes
    }
}

// MARK: Graphs

extension CUDADriver {
    package func beginCapture() throws(DeviceError) {
        // Relaxed: cuBLASLt and module loading may call what other modes forbid.
        try check(api.cuStreamBeginCapture_v2(stream, 2), "beginning a graph")
    }

    package func endCapture() throws(DeviceError) -> CUDAGraph {
        var graph: UnsafeMutableRawPointer?
        try check(api.cuStreamEndCapture(stream, &graph), "ending a graph")
        defer { _ = api.cuGraphDestroy(graph) }
        var executable: UnsafeMutableRawPointer?
        try check(api.cuGraphInstantiateWithFlags(&executable, graph, 0), "making a graph executable")
        graphs.append(executable!)
        return CUDAGraph(handle: OpaquePointer(executable!))
    }

    package func launch(_ graph: CUDAGraph) throws(DeviceError) {
        try check(api.cuGraphLaunch(UnsafeMutableRawPointer(graph.handle), stream), "launching a graph")
    }
}

/// Times spans of the stream's work.
package final class CUDAStopwatch {
    private let api: mr_cuda_driver
    private let stream: UnsafeMutableRawPointer
    private var start: UnsafeMutableRawPointer?
    private var end: UnsafeMutableRawPointer?

    fileprivate init(_ api: mr_cuda_driver, _ stream: UnsafeMutableRawPointer) throws(DeviceError) {
        self.api = api
        self.stream = stream
        try CUDADriver.check(api, api.cuEventCreate(&start, 0), "making an event")
        try CUDADriver.check(api, api.cuEventCreate(&end, 0), "making an event")
    }

    deinit {
        _ = api.cuEventDestroy_v2(start)
        _ = api.cuEventDestroy_v2(end)
    }

    /// Milliseconds that the device took for what `body` asked of it.
    package func time(_ body: () throws -> Void) throws -> Double {
        try CUDADriver.check(api, api.cuEventRecord(start, stream), "recording an event")
        try body()
        try CUDADriver.check(api, api.cuEventRecord(end, stream), "recording an event")
        try CUDADriver.check(api, api.cuEventSynchronize(end), "waiting for the device")
        var milliseconds: Float = 0
        try CUDADriver.check(api, api.cuEventElapsedTime(&milliseconds, start, end), "reading an event")
        return Double(milliseconds)
    }
}

extension CUDADriver {
    package func makeStopwatch() throws(DeviceError) -> CUDAStopwatch { try CUDAStopwatch(api, stream) }
}
