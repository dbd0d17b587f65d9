import Foundation
import JSON

/// Where reference data lies: the folder that MILLRACE_REFERENCE names (else ../shared/reference beside
/// the checkout), and the part of it that travels with the project, Tests/Fixtures.
enum ReferenceFolder {
    static let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every folder of reference data that exists, larger before smaller.
    static let roots: [URL] = {
        let given = ProcessInfo.processInfo.environment["MILLRACE_REFERENCE"].map { URL(filePath: $0) }
        let reference = given ?? checkout.appending(path: "../shared/reference").standardizedFileURL
        return [reference, checkout.appending(path: "Tests/Fixtures")].filter(isFolder)
    }()

    /// Entries of the subfolder `name` over all roots, by name; of entries of the same name, the larger
    /// root's.
    static func entries(_ name: String) -> [URL] {
        var found: [String: URL] = [:]
        for root in roots.reversed() {
            let folder = root.appending(path: name)
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
            for entry in names { found[entry] = folder.appending(path: entry) }
        }
        return found.values.sorted { $0.lastPathComponent < $1.lastPathComponent }
    }

    static func isFolder(_ url: URL) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder)
            && isFolder.boolValue
    }

    static func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

    static func json(_ url: URL) throws -> JSON { try JSON(parsing: [UInt8](Data(contentsOf: url))) }

    /// A raw little-endian float32 file.
    static func floats(_ url: URL) throws -> [Float] {
        let data = try Data(contentsOf: url)
        return (0..<data.count / 4).map { index in
            data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index * 4, as: Float.self) }
        }
    }
}

extension JSON {
    /// A list of token ids; empty where this is none.
    var ids: [Int32] { (array ?? []).compactMap { $0.int.map(Int32.init) } }
    /// A list of numbers; empty where this is none.
    var floats: [Float] { (array ?? []).compactMap { $0.double.map { Float($0) } } }
}
