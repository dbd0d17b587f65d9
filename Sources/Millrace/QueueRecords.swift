import JobQueue

extension QueueOptions {
    func open() async throws -> any JobQueue { try await address().open() }

    /// The queue and its records; it is closed afterwards.
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
