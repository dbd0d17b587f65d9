import Foundation
import JSON
import RedisServer

/// The built `millrace` as a child process, as a person would run it.
struct MillraceProcess {
    struct Ended {
        var status: Int32
        var wasKilled: Bool
        var output: String
        var errors: String
    }

    /// The executable that was built with these tests.
    static let binary: URL = {
        let bundle = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
        let folder = (bundle ?? URL(filePath: CommandLine.arguments[0])).deletingLastPathComponent()
        return folder.appending(path: "millrace")
    }()

    static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures")

    static let tinyLlama = fixtures.appending(path: "tiny_gguf/llama-rope3-a.f32.gguf").path

    /// The demo model, where it was fetched.
    static let demoModel: String? = {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "") + "/.cache"
        let path = cache + "/millrace/models/smollm2.gguf"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }()

    private let process = Process()
    private let folder: URL
    private let name: String

    /// - Parameter folder: keeps what the process prints, in files.
    /// - Parameter input: its standard input; nil: nothing.
    init(
        _ arguments: [String], in folder: URL, environment: [String: String] = [:], input: Pipe? = nil
    ) throws {
        self.folder = folder
        name = "process-\(UUID().uuidString)"
        process.executableURL = Self.binary
        process.arguments = arguments
        process.currentDirectoryURL = folder
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        if let input { process.standardInput = input } else { process.standardInput = FileHandle.nullDevice }
        process.standardOutput = try Self.create(folder.appending(path: name + ".out"))
        process.standardError = try Self.create(folder.appending(path: name + ".err"))
        try Spawner.shared.run(process)
    }

    private static func create(_ url: URL) throws -> FileHandle {
        try Data().write(to: url)
        return try FileHandle(forWritingTo: url)
    }

    /// What everyone on the machine can see of it.
    var commandLine: String { facts("cmdline") }

    /// A file of /proc about it.
    func facts(_ name: String) -> String {
        let file = FileHandle(forReadingAtPath: "/proc/\(process.processIdentifier)/\(name)")
        return String(decoding: (try? file?.readToEnd()) ?? Data(), as: UTF8.self)
    }

    var isRunning: Bool { process.isRunning }

    func kill(_ signal: Int32) { Foundation.kill(process.processIdentifier, signal) }

    /// Whole lines of JSON that it has logged so far.
    func errors() throws -> [JSON] {
        let text = try String(contentsOf: folder.appending(path: name + ".err"), encoding: .utf8)
        let end = text.lastIndex(of: "\n") ?? text.startIndex
        return try text[..<end].split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
    }

    func wait() throws -> Ended {
        process.waitUntilExit()
        return Ended(
            status: process.terminationStatus, wasKilled: process.terminationReason == .uncaughtSignal,
            output: try String(contentsOf: folder.appending(path: name + ".out"), encoding: .utf8),
            errors: try String(contentsOf: folder.appending(path: name + ".err"), encoding: .utf8))
    }

    static func run(
        _ arguments: [String], in folder: URL, environment: [String: String] = [:]
    ) throws -> Ended {
        try MillraceProcess(arguments, in: folder, environment: environment).wait()
    }
}

/// A folder of a test's own, removed when the test is done.
final class Scratch {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "millrace-e2e-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func write(_ name: String, _ text: String) throws -> String {
        let file = url.appending(path: name)
        try Data(text.utf8).write(to: file)
        return file.path
    }

    /// The lines of a JSONL file; none when it is not there.
    func lines(_ name: String) throws -> [JSON] {
        guard let data = try? Data(contentsOf: url.appending(path: name)) else { return [] }
        return try data.split(separator: UInt8(ascii: "\n")).map { try JSON(parsing: Array($0)) }
    }
}
