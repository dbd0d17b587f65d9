import Foundation
import Testing

@testable import Kernels

/// Every kernel source compiles for every kind of device that is supported, by the compiler that will do it there.
/// NVRTC needs no GPU: `scripts/fetch-nvrtc` puts it into the cache.
@Suite struct CUDACompileTests {
    static let architectures = ["sm_80", "sm_89", "sm_90a"]
    static let folder = TableTests.checkout.appending(path: "Sources/Kernels/CUDA")

    static let libraries: CUDALibraries? = {
        var environment = ProcessInfo.processInfo.environment
        let home = environment["HOME"].map { $0 + "/.cache" }
        let cache = (environment["XDG_CACHE_HOME"] ?? home ?? "/nonexistent") + "/millrace/nvrtc"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: cache)) ?? []
        let fetched = versions.sorted().map { "\(cache)/\($0)" }
        environment["MILLRACE_CUDA_PATH"] = ([environment["MILLRACE_CUDA_PATH"] ?? ""] + fetched).joined(separator: ":")
        let libraries = CUDALibraries(environment: environment)
        return (try? libraries.compiler()) == nil ? nil : libraries
    }()

    struct Compilation: Sendable, CustomTestStringConvertible {
        var source: CUDASource
        var macros: [String: Int]
        var architecture: String
        var testDescription: String {
            "\(source.name) \(macros.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }) for \(architecture)"
        }
    }

    /// What a source is compiled with, for every kind of device. The emulation compiles the other shapes.
    static func macros(of source: String) -> [String: Int] {
        switch source {
        case "attention.cu": ["MR_HEAD_WIDTH": 128, "MR_GROUP": 4, "MR_BLOCK_SIZE": 16]
        case "gemm_quantized.cu": ["MR_WEIGHT_TYPE": 12]
        default: [:]
        }
    }

    /// Compiled for one kind of device only.
    static func moreMacros(of source: String) -> [[String: Int]] {
        switch source {
        case "attention.cu":
            [
                ["MR_HEAD_WIDTH": 64, "MR_GROUP": 3, "MR_BLOCK_SIZE": 16],
                ["MR_HEAD_WIDTH": 256, "MR_GROUP": 4, "MR_BLOCK_SIZE": 16, "MR_CACHE_FP8": 1],
            ]
        case "elementwise.cu", "attention_any.cu": [["MR_CACHE_FP8": 1], ["MR_INPUT_BITS": 32]]
        case "tables.cu": [["MR_INPUT_BITS": 32]]
        case "gemm_quantized.cu": [8, 100, 105].map { ["MR_WEIGHT_TYPE": $0] }
        case "mixture.cu": [["MR_WEIGHT_TYPE": 102]]
        default: []
        }
    }

    static let sources: [CUDASource] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".cu") }.sorted().map { CUDASource($0) }
    }()

    static let compilations = sources.flatMap { source in
        architectures.map { Compilation(source: source, macros: macros(of: source.name), architecture: $0) }
            + moreMacros(of: source.name).map {
                Compilation(source: source, macros: $0, architecture: "sm_89")
            }
    }

    @Test(
        .enabled(if: libraries != nil, "NVRTC is not here, and scripts/fetch-nvrtc could not fetch it"),
        arguments: compilations)
    func sourceCompiles(_ compilation: Compilation) throws {
        let libraries = try #require(Self.libraries)
        let cache = FileManager.default.temporaryDirectory.appending(path: "millrace-cuda-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: cache) }
        let compiler = try CUDACompiler(
            libraries, architecture: compilation.architecture, cacheFolder: cache.path)
        let image = try compiler.image(of: compilation.source, macros: compilation.macros)
        // Machine code for a device is an ELF file.
        #expect(image.starts(with: [0x7f, 0x45, 0x4c, 0x46]))
        #expect(image.count > 1000)
    }

    @Test func sourcesAreFound() {
        #expect(Self.sources.contains { $0.name == "elementwise.cu" })
        #expect(Self.compilations.count >= 3 * Self.sources.count)
    }

    @Test(.enabled(if: libraries != nil, "NVRTC is not here, and scripts/fetch-nvrtc could not fetch it"))
    func mistakesAreNamed() throws {
        let libraries = try #require(Self.libraries)
        let compiler = try CUDACompiler(libraries, architecture: "sm_80", cacheFolder: "/nonexistent")
        let error = #expect(throws: DeviceError.self) {
            // A parameter that is a number.
            try compiler.image(of: .argmax, macros: ["vocabulary": 1])
        }
        #expect(error.map { "\($0)" }?.contains("argmax.cu(") == true)
    }
}
