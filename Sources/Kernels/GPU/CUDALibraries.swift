import CCUDA
import Foundation

/// Finds NVIDIA's libraries: through the loader, the usual toolkit folders, and Python's `nvidia` packages, in
/// this order.
/// `MILLRACE_CUDA_PATH` (folders, separated by colons) comes before all.
package struct CUDALibraries {
    package enum Name: String, CaseIterable, Sendable {
        case driver = "libcuda.so"
        case compiler = "libnvrtc.so"
        case products = "libcublasLt.so"

        /// Versions that the loader may know it by.
        fileprivate var versions: [String] { self == .driver ? [".1"] : [".13", ".12", ""] }
    }

    /// What was found under a name, or why nothing was and what to do.
    package enum Finding: Sendable, Equatable {
        case found(path: String)
        case missing(reason: String)
    }

    package func survey() -> [(Name, Finding)] {
        func finding<T>(_ open: () throws(CUDAMissing) -> (T, path: String)) -> Finding {
            do throws(CUDAMissing) { return .found(path: try open().path) } catch {
                return .missing(reason: error.description)
            }
        }
        return [(.driver, finding(driver)), (.compiler, finding(compiler)), (.products, finding(products))]
    }

    private let folders: [String]

    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        folders = Self.folders(environment)
    }

    /// Paths to try, best first: an absolute path, or a bare name for the loader.
    package func candidates(_ name: Name) -> [String] {
        let named = name.versions.map { name.rawValue + $0 }
        let first = folders.prefix { $0.hasPrefix("!") }.map { String($0.dropFirst()) }
        let rest = folders.dropFirst(first.count)
        func inside(_ folders: some Sequence<String>) -> [String] {
            folders.flatMap { folder in named.map { folder + "/" + $0 } }.filter(Self.exists)
        }
        return inside(first) + named + inside(rest)
    }

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Folders to look in; those that come before the loader start with "!".
    private static func folders(_ environment: [String: String]) -> [String] {
        let own = (environment["MILLRACE_CUDA_PATH"] ?? "").split(separator: ":").map { "!" + $0 }
        let toolkit = ["CUDA_HOME", "CUDA_PATH"].compactMap { environment[$0] }.flatMap { ["\($0)/lib64", "\($0)/lib"] }
        let usual = [
            "/usr/local/cuda/lib64", "/usr/local/nvidia/lib64", "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/opt/cuda/lib64",
        ]
        return own + toolkit + usual + pythonFolders(environment)
    }

    /// Library folders of PyPI's `nvidia-…` packages in the Python environments of this machine and user.
    private static func pythonFolders(_ environment: [String: String]) -> [String] {
        var roots = [environment["VIRTUAL_ENV"], environment["CONDA_PREFIX"]].compactMap(\.self)
        for folder in (environment["PATH"] ?? "").split(separator: ":").map(String.init) {
            let python = folder + "/python3"
            guard exists(python) else { continue }
            roots.append(folder + "/..")
            roots.append(URL(filePath: python).resolvingSymlinksInPath().deletingLastPathComponent().path + "/..")
        }
        if let home = environment["HOME"] { roots.append(home + "/.local") }
        roots += ["/usr/local", "/usr"]
        var found: [String] = []
        for root in roots {
            for version in list(root + "/lib") where version.hasPrefix("python3") {
                for site in ["site-packages", "dist-packages"] {
                    let nvidia = "\(root)/lib/\(version)/\(site)/nvidia"
                    found += list(nvidia).map { "\(nvidia)/\($0)/lib" }.filter(exists)
                }
            }
        }
        return found
    }

    private static func list(_ folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted(by: >)
    }
}

extension CUDALibraries {
    /// Tries the candidates in turn with one of CCUDA's open functions.
    private func open<Table>(
        _ name: Name, _ empty: Table,
        _ open: (UnsafeMutablePointer<Table>?, UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?, Int) -> Int32
    ) -> Result<(Table, path: String), CUDAMissing> {
        var reasons: [String] = []
        for path in candidates(name) {
            var table = empty
            var message = [CChar](repeating: 0, count: 512)
            if name == .compiler { preloadBuiltins(beside: path) }
            if open(&table, path, &message, message.count) == 0 { return .success((table, path)) }
            let text = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            reasons.append(text)
        }
        return .failure(CUDAMissing(name: name, reason: reasons.first ?? "not found"))
    }

    /// NVRTC opens its builtins by name when it compiles, and finds them only if they are loaded already where it lies
    /// in no folder of the loader's.
    private func preloadBuiltins(beside path: String) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let folder = String(path[..<slash])
        for file in Self.list(folder) where file.hasPrefix("libnvrtc-builtins.so") {
            if mr_cuda_preload(folder + "/" + file, nil, 0) == 0 { return }
        }
    }

    func driver() throws(CUDAMissing) -> (mr_cuda_driver, path: String) {
        try open(.driver, mr_cuda_driver(), mr_cuda_driver_open).get()
    }

    func compiler() throws(CUDAMissing) -> (mr_nvrtc, path: String) {
        try open(.compiler, mr_nvrtc(), mr_nvrtc_open).get()
    }

    func products() throws(CUDAMissing) -> (mr_cublaslt, path: String) {
        try open(.products, mr_cublaslt(), mr_cublaslt_open).get()
    }
}

/// A library that is not there, and what to do about it.
package struct CUDAMissing: Error, Equatable, CustomStringConvertible {
    package var name: CUDALibraries.Name
    package var reason: String

    package var description: String {
        let remedy =
            switch name {
            case .driver: "install NVIDIA's driver"
            case .compiler: "install the CUDA toolkit's NVRTC, or 'pip install nvidia-cuda-nvrtc'"
            case .products: "install cuBLAS, or 'pip install nvidia-cublas' (optional)"
            }
        return "\(name.rawValue) is missing (\(reason)): \(remedy), or name its folder in MILLRACE_CUDA_PATH"
    }
}
