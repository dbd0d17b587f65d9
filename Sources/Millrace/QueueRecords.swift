import JobQueue
import Worker

extension QueueOptions {
    /// The queue's records, as far as its store keeps any; the queue is closed afterwards.
    func withRecords<T>(_ body: (any JobQueue, any RecordStore) async throws -> T) async throws -> T {
        let queue = try await address().open()
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
