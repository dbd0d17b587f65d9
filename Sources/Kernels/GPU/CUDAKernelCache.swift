import Foundation

/// Compiled kernels on disk. An entry is taken only if it was made from the same source with the same options by the
/// same compiler, and is whole; anything else is as good as no entry, and is written anew.
///
/// An entry is its key as text, a line with length and checksum, and the machine code.
package struct CUDAKernelCache {
    package let folder: String

    package struct Key: Sendable {
        /// For people who look into the folder.
        package var name: String
        /// All that decides what the compiler makes.
        package var text: String

        package init(name: String, contents: [[UInt8]], options: [String], compiler: String) {
            self.name = name
            let hashes = contents.map { String(FNV.hash($0), radix: 16) }.joined(separator: " ")
            text = "millrace kernels 1\n\(name) \(hashes)\n\(options.joined(separator: " "))\nNVRTC \(compiler)\n"
        }

        var fileName: String { "\(name)-\(String(FNV.hash(Array(text.utf8)), radix: 16)).cubin" }
    }

    package init(folder: String) { self.folder = folder }

    /// `$XDG_CACHE_HOME/millrace/cuda`; nil where there is no home.
    package static func standardFolder(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> String? {
        if let folder = environment["CACHE_DIRECTORY"], !folder.isEmpty { return folder + "/cuda" }
        if let folder = environment["XDG_CACHE_HOME"], folder.hasPrefix("/") { return folder + "/millrace/cuda" }
        return environment["HOME"].map { $0 + "/.cache/millrace/cuda" }
    }

    package func read(_ key: Key) -> [UInt8]? {
        guard let data = FileManager.default.contents(atPath: folder + "/" + key.fileName) else { return nil }
        let bytes = [UInt8](data)
        let head = Array(key.text.utf8)
        guard bytes.starts(with: head) else { return nil }
        let rest = bytes[head.count...]
        guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let image = Array(rest[(end + 1)...])
        return Array(rest[..<end]) == Array(Self.seal(image).utf8) ? image : nil
    }

    /// Best effort: a cache that cannot be written costs time, nothing else.
    package func write(_ image: [UInt8], _ key: Key) {
        let files = FileManager.default
        try? files.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let data = Data(Array((key.text + Self.seal(image) + "\n").utf8) + image)
        try? data.write(to: URL(filePath: folder + "/" + key.fileName), options: .atomic)
    }

    private static func seal(_ image: [UInt8]) -> String { "\(image.count) \(String(FNV.hash(image), radix: 16))" }
}

/// 64-bit FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/
private enum FNV {
    static func hash(_ bytes: [UInt8]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }
}
