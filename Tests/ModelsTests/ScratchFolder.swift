import Foundation

/// A folder for a test's files. All of them lie in one that is removed when the process ends: a model may
/// be mapped for longer than the test's variables live.
struct ScratchFolder {
    let path: String

    private static let root: URL = {
        let url = FileManager.default.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString)")
        atexit { try? FileManager.default.removeItem(at: ScratchFolder.root) }
        return url
    }()

    init() throws {
        let url = Self.root.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = path + "/" + name
        try Data(bytes).write(to: URL(filePath: file))
        return file
    }
}
