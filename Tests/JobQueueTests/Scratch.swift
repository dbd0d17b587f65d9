import Foundation
import JobQueue
import Testing

/// A folder of a test's own, gone with it.
final class Scratch: Sendable {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "queue-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var path: String { folder.appending(path: "queue.sqlite").path }
    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder.path))?.sorted() ?? [] }

    func write(_ bytes: [UInt8], to name: String = "queue.sqlite") throws {
        try Data(bytes).write(to: folder.appending(path: name))
    }

    func bytes(_ name: String = "queue.sqlite") throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: name)))
    }
}

extension Timestamp: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int64) { self.init(milliseconds: value) }
}

func request(_ ordinal: Int, bytes: Int = 100) -> AppendedRequest {
    let text = String(repeating: "x", count: bytes)
    return .accepted(
        Request(
            customID: "r\(ordinal)", endpoint: .completions, body: Array("{\"prompt\":\"\(text)\"}".utf8),
            line: ordinal + 1))
}

func response(_ text: String) -> Outcome {
    Outcome(
        result: .response(statusCode: 200, body: Array(text.utf8)),
        usage: Usage(promptTokens: 3, completionTokens: 2), backend: "cpu")
}

extension SQLiteQueue {
    func submit(_ count: Int, _ specification: BatchSpecification = BatchSpecification()) async throws -> BatchID {
        let batch = try await open(specification, at: 0)
        try await append((0..<count).map { request($0) }, to: batch, from: 0, at: 0)
        try await seal(batch, total: count, at: 0)
        return batch
    }
}

/// The error that `body` throws, recorded as an issue where it throws none.
func failure(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async throws -> JobQueueError {
    do {
        try await body()
    } catch let error as JobQueueError {
        return error
    }
    Issue.record("no error", sourceLocation: sourceLocation)
    throw CancellationError()
}
