import Dispatch
import GRDB
import Synchronization

/// Runs the queue's transactions, one thread at a time, and lets calls that wait at the same time share one commit:
/// each then waits for one flush of the disk, not for one each.
///
/// A call's own failure undoes that call alone (a savepoint each); when the commit fails, every call of the group fails.
/// Callers wait suspended; the blocking happens on the connection's dispatch queue. The number of waiting calls is
/// bounded by the number of tasks that make them.
final class GroupCommit: Sendable {
    private struct Job: Sendable {
        var writes: Bool
        /// May run more than once; keeps the last run's result to itself.
        var run: @Sendable (QueueTransaction) throws -> Void
        /// Hands the caller the result, or why there is none.
        var finish: @Sendable (JobQueueError?) -> Void
    }

    private struct State {
        var waiting: [Job] = []
        var isRunning = false
        var isClosed = false
    }

    /// Calls in one transaction: enough to make the flush cheap, few enough that the first does not wait long.
    private static let maxGroup = 64

    private let database: DatabaseQueue
    private let path: String
    private let state = Mutex(State())

    init(_ database: DatabaseQueue, path: String) {
        self.database = database
        self.path = path
    }

    /// One call in one transaction, durable when it returns. `body` may run more than once, and must not touch
    /// anything but the transaction.
    func write<T: Sendable>(_ body: @escaping @Sendable (QueueTransaction) throws -> T)
        async throws(JobQueueError) -> T
    { try await submit(writes: true, body) }

    func read<T: Sendable>(_ body: @escaping @Sendable (QueueTransaction) throws -> T)
        async throws(JobQueueError) -> T
    { try await submit(writes: false, body) }

    private func submit<T: Sendable>(
        writes: Bool, _ body: @escaping @Sendable (QueueTransaction) throws -> T
    ) async throws(JobQueueError) -> T {
        let result: Result<T, JobQueueError> = await withCheckedContinuation { continuation in
            let slot = Slot<T>()
            let job = Job(
                writes: writes,
                run: { slot.set(try body($0)) },
                finish: { error in
                    switch (error, slot.take()) {
                    case (nil, let value?): continuation.resume(returning: .success(value))
                    case (let error?, _): continuation.resume(returning: .failure(error))
                    case (nil, nil): preconditionFailure("a call ended without having run")
                    }
                })
            if !enqueue(job) {
                continuation.resume(returning: .failure(.unavailable("\(path) has been closed")))
            }
        }
        return try result.get()
    }

    /// Lets the calls made so far end, then closes the file. Later calls throw.
    func close() async throws(JobQueueError) {
        let failure: JobQueueError? = await withCheckedContinuation { continuation in
            let starts = state.withLock { state in
                if state.isClosed { return false }
                state.isClosed = true
                // Behind every drain, since those are dispatched under the same lock.
                database.asyncWriteWithoutTransaction { [self] db in
                    let failure = checkpoint(db)
                    DispatchQueue.global().async { [self] in
                        continuation.resume(returning: failure ?? closeConnection())
                    }
                }
                return true
            }
            if !starts { continuation.resume(returning: nil) }
        }
        if let failure { throw failure }
    }

    private func checkpoint(_ db: Database) -> JobQueueError? {
        do {
            try db.checkpoint(.truncate)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
            // Another process is reading the log; it stays then, with everything in it.
        } catch {
            return QueueFailure.describe(error, path: path)
        }
        return nil
    }

    private func closeConnection() -> JobQueueError? {
        do {
            try database.close()
            return nil
        } catch {
            return QueueFailure.describe(error, path: path)
        }
    }

    private func enqueue(_ job: Job) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            state.waiting.append(job)
            if !state.isRunning {
                state.isRunning = true
                database.asyncWriteWithoutTransaction { [self] in drain($0) }
            }
            return true
        }
    }

    private func drain(_ db: Database) {
        while true {
            let group = state.withLock { state in
                let group = Array(state.waiting.prefix(Self.maxGroup))
                state.waiting.removeFirst(group.count)
                if group.isEmpty { state.isRunning = false }
                return group
            }
            if group.isEmpty { return }
            commit(group, db)
        }
    }

    private func commit(_ group: [Job], _ db: Database) {
        let transaction = QueueTransaction(db: db, path: path)
        var failures = [JobQueueError?](repeating: nil, count: group.count)
        do {
            // Left open only if an earlier rollback failed.
            if db.isInsideTransaction { try db.rollback() }
            try db.inTransaction(group.contains(where: \.writes) ? .immediate : .deferred) {
                for (i, job) in group.enumerated() {
                    do {
                        // A read has nothing to undo, and a call alone is undone with its transaction.
                        if group.count == 1 || !job.writes {
                            try job.run(transaction)
                        } else {
                            try db.inSavepoint {
                                try job.run(transaction)
                                return .commit
                            }
                        }
                    } catch {
                        if group.count == 1 || QueueFailure.isOfStore(error) { throw error }
                        failures[i] = QueueFailure.describe(error, path: path)
                    }
                }
                return .commit
            }
        } catch {
            // The store failed under one of them: alone, each learns what its own call does.
            if group.count > 1 {
                for job in group { commit([job], db) }
                return
            }
            failures[0] = QueueFailure.describe(error, path: path)
        }
        for (job, failure) in zip(group, failures) { job.finish(failure) }
    }
}

/// Where a call's result waits until its transaction is on disk.
private final class Slot<T: Sendable>: Sendable {
    private let value = Mutex<T?>(nil)

    func set(_ new: T) { value.withLock { $0 = new } }
    func take() -> T? { value.withLock { $0.take() } }
}
