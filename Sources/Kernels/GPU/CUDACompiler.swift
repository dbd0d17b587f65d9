import CCUDA
import Foundation

/// Compiles kernel sources for one device by NVRTC, and keeps the results on disk.
/// Source: https://docs.nvidia.com/cuda/nvrtc/
package final class CUDACompiler {
    private let api: mr_nvrtc
    private let cache: CUDAKernelCache?
    private let architecture: String
    /// "13.0"
    package let version: String

    /// - Parameters:
    ///   - architecture: "sm_80" …
    ///   - cacheFolder: nil: millrace/cuda in the user's cache folder (XDG_CACHE_HOME).
    package init(_ libraries: CUDALibraries, architecture: String, cacheFolder: String?) throws(CUDAMissing) {
        api = try libraries.compiler().0
        self.architecture = architecture
        var (major, minor): (Int32, Int32) = (0, 0)
        _ = api.nvrtcVersion(&major, &minor)
        version = "\(major).\(minor)"
        cache = (cacheFolder ?? CUDAKernelCache.standardFolder()).map(CUDAKernelCache.init)
    }

    /// The machine code of a source with `macros` defined; from the cache unless `rebuilding`.
    package func image(
        of source: CUDASource, macros: [String: Int], rebuilding: Bool = false
    ) throws(DeviceError) -> [UInt8] {
        let options =
            ["--gpu-architecture=\(architecture)", "--std=c++17", "--extra-device-vectorization"]
            + macros.sorted { $0.key < $1.key }.map { "-D\($0.key)=\($0.value)" }
        let text = source.text
        let key = CUDAKernelCache.Key(
            name: source.name, contents: [text] + CUDASource.headers.map(\.text), options: options,
            compiler: version)
        if !rebuilding, let image = cache?.read(key) { return image }
        let image = try compile(source.name, text, options)
        cache?.write(image, key)
        return image
    }

    private func compile(
        _ name: String, _ text: [UInt8], _ options: [String]
    ) throws(DeviceError) -> [UInt8] {
        var program: UnsafeMutableRawPointer?
        let headers = CUDASource.headers.map { strdup(String(decoding: $0.text, as: UTF8.self)) }
        let names = CUDASource.headers.map { strdup($0.name) }
        defer { for copy in headers + names { free(copy) } }
        let status = api.nvrtcCreateProgram(
            &program, String(decoding: text, as: UTF8.self), name, Int32(headers.count),
            headers.map { UnsafePointer($0) }, names.map { UnsafePointer($0) })
        guard status == 0 else { throw .unsupported("NVRTC \(version) takes no program (error \(status))") }
        defer { _ = api.nvrtcDestroyProgram(&program) }
        let copies = options.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        let pointers = copies.map { UnsafePointer($0) }
        let compiled = api.nvrtcCompileProgram(program, Int32(options.count), pointers)
        guard compiled == 0 else {
            throw .unsupported(
                "NVRTC \(version) cannot compile \(name) for \(architecture) (error \(compiled)): \(log(program))")
        }
        var size = 0
        guard api.nvrtcGetCUBINSize(program, &size) == 0, size > 0 else {
            throw .unsupported("NVRTC \(version) gave no machine code for \(architecture)")
        }
        var image = [UInt8](repeating: 0, count: size)
        let got = image.withUnsafeMutableBytes {
            api.nvrtcGetCUBIN(program, $0.baseAddress?.assumingMemoryBound(to: CChar.self))
        }
        guard got == 0 else { throw .unsupported("NVRTC \(version) gave no machine code (error \(got))") }
        return image
    }

    private func log(_ program: UnsafeMutableRawPointer?) -> String {
        var size = 0
        guard api.nvrtcGetProgramLogSize(program, &size) == 0, size > 1 else { return "no reason given" }
        var text = [CChar](repeating: 0, count: size)
        _ = api.nvrtcGetProgramLog(program, &text)
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
