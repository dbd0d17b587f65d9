import Foundation
import Testing

/// docs/STYLE.md as far as a program can check it.
@Suite struct TidyTests {
    struct SourceFile: Sendable, CustomTestStringConvertible {
        var path: String
        var lines: [Substring]
        var testDescription: String { path }
    }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every Swift, C, C++ and CUDA file of ours.
    static let files: [SourceFile] = {
        let kinds: Set = ["swift", "c", "h", "cpp", "cu"]
        var found: [SourceFile] = []
        for folder in ["Sources", "Tests", "bench"] {
            let start = root.appending(path: folder)
            guard let walk = FileManager.default.enumerator(at: start, includingPropertiesForKeys: nil) else {
                continue
            }
            for case let url as URL in walk where kinds.contains(url.pathExtension) {
                guard let text = try? String(contentsOf: url, encoding: .utf8) else { continue }
                let path = String(url.path.dropFirst(root.path.count + 1))
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                found.append(SourceFile(path: path, lines: lines))
            }
        }
        return found.sorted { $0.path < $1.path }
    }()

    @Test func sourcesAreFound() {
        #expect(Self.files.contains { $0.path == "Sources/JobQueue/JobQueue.swift" })
    }

    @Test(arguments: files)
    func linesFit(_ file: SourceFile) {
        let long = file.lines.enumerated().filter { $1.count > 120 }.map { $0.offset + 1 }
        #expect(long.isEmpty, "\(file.path): over 120 columns at lines \(long)")
        let tabs = file.lines.enumerated().filter { $1.contains("\t") }.map { $0.offset + 1 }
        #expect(tabs.isEmpty, "\(file.path): tabs at lines \(tabs)")
        let trailing = file.lines.enumerated().filter { $1.last == " " }.map { $0.offset + 1 }
        #expect(trailing.isEmpty, "\(file.path): trailing spaces at lines \(trailing)")
    }

    @Test(arguments: files)
    func filesStaySmall(_ file: SourceFile) {
        #expect(file.lines.count <= 400, "\(file.path) has \(file.lines.count) lines: what is its one noun?")
    }

    @Test(arguments: files)
    func namesSayWhat(_ file: SourceFile) {
        let name = file.path.split(separator: "/").last ?? ""
        for vague in ["Util", "Common", "Helper", "Misc"] {
            #expect(!name.contains(vague), "\(file.path): '\(vague)' names nothing")
        }
    }

    @Test(arguments: files.filter { $0.path.hasPrefix("Sources/") })
    func nothingIsLeftOpen(_ file: SourceFile) {
        for mark in ["TODO", "FIXME", "XXX:", "fatalError(\"not impl", "unimplemented"] {
            let at = file.lines.enumerated().filter { $1.contains(mark) }.map { $0.offset + 1 }
            #expect(at.isEmpty, "\(file.path): '\(mark)' at lines \(at)")
        }
    }

    @Test(arguments: files.filter { $0.path.hasSuffix(".swift") })
    func uncheckedSendableStatesItsProof(_ file: SourceFile) {
        for (at, line) in file.lines.enumerated() where line.contains("@unchecked" + " Sendable") {
            let near = file.lines[max(0, at - 6)...min(file.lines.count - 1, at + 4)]
            let explained = near.contains { $0.drop { $0 == " " }.hasPrefix("//") }
            #expect(explained, "\(file.path):\(at + 1): say in a comment why this is safe")
        }
    }

    /// The arrows of docs/ARCHITECTURE.md: who may import whom, of our own modules.
    @Test func importsPointOneWay() {
        let allowed: [String: Set<String>] = [
            "JSON": ["CSimdjson"], "Kernels": ["CKernels"], "Models": ["Kernels", "JSON", "CPCRE2"],
            "Scheduler": [], "JobQueue": ["JSON"],
            "Worker": ["JobQueue", "Scheduler", "Models", "Kernels", "JSON"], "Submitter": ["JobQueue", "JSON"],
            "Bench": ["Models", "Kernels", "JSON"],
            "Millrace": ["Submitter", "Worker", "JobQueue", "Scheduler", "Models", "Kernels", "JSON", "Bench"],
        ]
        let ours = Set(allowed.keys).union(["CSimdjson", "CKernels", "CPCRE2"])
        for file in Self.files where file.path.hasPrefix("Sources/") && file.path.hasSuffix(".swift") {
            let module = String(file.path.split(separator: "/")[1])
            guard let allowed = allowed[module] else { continue }
            for line in file.lines where line.hasPrefix("import ") {
                let name = String(line.dropFirst("import ".count).split(separator: " ").last ?? "")
                guard ours.contains(name) else { continue }
                #expect(allowed.contains(name), "\(file.path) imports \(name)")
            }
        }
    }

    @Test(arguments: files.filter { $0.path.hasPrefix("Sources/Scheduler/") })
    func schedulerStaysPure(_ file: SourceFile) {
        for line in file.lines where line.hasPrefix("import ") {
            #expect(["import DequeModule", "import HeapModule"].contains(line), "\(file.path): \(line)")
        }
    }
}
