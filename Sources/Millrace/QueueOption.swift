import ArgumentParser
import Foundation
import JobQueue
import Worker

/// Where the queue is, for commands that look at it or change it.
struct QueueOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The queue: a file, or a redis:// URL (default: $MILLRACE_QUEUE).", valueName: "address"))
    var queue: String?

    /// - Throws: a `ValidationError` when none is named.
    func open() async throws -> any JobQueue {
        guard let text = queue ?? ProcessInfo.processInfo.environment["MILLRACE_QUEUE"] else {
            throw ValidationError("name the queue: --queue, or the environment variable MILLRACE_QUEUE")
        }
        return try await QueueAddress(text).open()
    }

    /// The queue's records, as far as its store keeps any; the queue is closed afterwards.
    func withRecords<T>(_ body: (any JobQueue, any RecordStore) async throws -> T) async throws -> T {
        let queue = try await open()
        let result: Result<T, any Error>
        do {
            guard let records = queue as? any RecordStore else {
                throw JobQueueError.invalidArgument("this kind of queue keeps no records: use an SQLite file or Redis")
            }
            result = .success(try await body(queue, records))
        } catch { result = .failure(error) }
        try await queue.close()
        return try result.get()
    }
}
