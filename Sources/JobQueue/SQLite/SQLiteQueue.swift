import Foundation
import GRDB

/// A queue in one SQLite file (WAL, every commit flushed), for one machine: the embedded default.
///
/// One connection, on a dispatch queue of its own: callers wait suspended, and calls that wait together share
/// a commit. Other processes may open the same file beside it; `exclusive` refuses a second one that says the
/// same.
///
/// Sources: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous
package final class SQLiteQueue: JobQueue {
    /// Where the file is; `:memory:` for one without.
    package let path: String

    let commits: GroupCommit
    private let options: SQLiteOptions
    /// Held until the queue is closed, or gone.
    private let lock: LockSlot

    /// Opens a queue file, or makes a new one.
    /// - Parameter exclusive: throws when another queue has the file open exclusively, naming the process.
    /// - Throws: `unusableStore` for a file of another program's, a later version's, or a damaged one;
    ///   `unavailable` for
    ///   one that is in use, cannot be written or has no room.
    package convenience init(
        path: String, exclusive: Bool = false, options: SQLiteOptions = SQLiteOptions()
    ) throws(JobQueueError) {
        let path = try Self.resolve(path)
        let lock = exclusive ? try QueueLock(queuePath: path) : nil
        try self.init(path: path, lock: lock, options: options) { configuration in
            try DatabaseQueue(path: path, configuration: configuration)
        }
    }

    /// A queue in memory, for tests: everything but durability.
    package static func temporary(options: SQLiteOptions = SQLiteOptions()) throws(JobQueueError)
        -> SQLiteQueue
    {
        try SQLiteQueue(path: ":memory:", lock: nil, options: options) { configuration in
            try DatabaseQueue(configuration: configuration)
        }
    }

    private init(
        path: String, lock: QueueLock?, options: SQLiteOptions,
        connect: (Configuration) throws -> DatabaseQueue
    ) throws(JobQueueError) {
        do {
            let database = try connect(Self.configuration(options))
            try database.writeWithoutTransaction { db in
                // Before anything is written: another program's file stays as it is.
                try QueueSchema.prepare(db, path: path)
                try Self.setDurability(db, inMemory: path == ":memory:")
                if let maxBytes = options.maxBytes {
                    let pageBytes =
                        try Int64.fetchOne(db, sql: "PRAGMA page_size") ?? Int64(QueueSchema.pageBytes)
                    _ = try Int64.fetchOne(
                        db, sql: "PRAGMA max_page_count = \(max(1, maxBytes / max(1, pageBytes)))")
                }
            }
            commits = GroupCommit(database, path: path)
        } catch {
            throw QueueFailure.describe(error, path: path)
        }
        self.path = path
        self.options = options
        self.lock = LockSlot(lock)
    }

    /// Waits for the calls made so far, moves the log into the file and closes it, so that the file is all
    /// there is. Later calls throw `unavailable`. Closing again does nothing.
    package func close() async throws(JobQueueError) {
        defer { lock.free() }
        try await commits.close()
    }

    private static func configuration(_ options: SQLiteOptions) -> Configuration {
        var configuration = Configuration()
        configuration.label = "millrace.queue"
        configuration.busyMode = .timeout(Double(options.busyTimeoutMs) / 1000)
        // A transaction that cannot even be rolled back is an error of the next call, not a trap.
        configuration.allowsUnsafeTransactions = true
        configuration.prepareDatabase { db in
            // A damaged page is then an error where it is read; and a file cut short is one, which a map
            // would fault on.
            try db.execute(sql: "PRAGMA cell_size_check = ON")
            try db.execute(sql: "PRAGMA mmap_size = 0")
            try db.execute(sql: "PRAGMA trusted_schema = OFF")
            try db.execute(sql: "PRAGMA cache_size = -\(options.cacheBytes / 1024)")
        }
        return configuration
    }

    /// I2: a commit is on the disk when it returns. NORMAL would leave the last ones to a power cut.
    private static func setDurability(_ db: Database, inMemory: Bool) throws {
        let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
        guard inMemory || mode == "wal" else {
            throw JobQueueError.unavailable(
                "\(db.description): write-ahead logging is not possible here (\(mode ?? "no answer")): "
                    + "put the queue on a local disk")
        }
        try db.execute(sql: "PRAGMA synchronous = FULL")
        try db.execute(sql: "PRAGMA wal_autocheckpoint = \(logBytes / QueueSchema.pageBytes)")
        try db.execute(sql: "PRAGMA journal_size_limit = \(4 * logBytes)")
    }

    /// Log that is written before its pages are moved into the file, so that those written often are moved
    /// once.
    private static let logBytes = 16 << 20

    /// The one name of a file that links may give several, since the lock goes by the name.
    private static func resolve(_ path: String) throws(JobQueueError) -> String {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw .invalidArgument("the queue's path is empty")
        }
        let url = URL(filePath: path)
        var isFolder: ObjCBool = false
        let folder = url.deletingLastPathComponent().path
        guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue
        else {
            throw .unavailable("\(path): there is no folder \(folder): make it first, or name another")
        }
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
            throw .unusableStore("\(path) is a folder: name a file for the queue")
        }
        return url.resolvingSymlinksInPath().path
    }
}

extension SQLiteQueue {
    package func open(_ specification: BatchSpecification, at now: Timestamp) async throws(JobQueueError)
        -> BatchID
    {
        let id = options.makeID()
        return try await commits.write { try $0.open(specification, as: id, at: now) }
    }

    package func append(
        _ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp
    )
        async throws(JobQueueError)
    { try await commits.write { try $0.append(requests, to: batch, from: ordinal, at: now) } }

    package func seal(_ batch: BatchID, total: Int, at now: Timestamp) async throws(JobQueueError) {
        try await commits.write { try $0.seal(batch, total: total, at: now) }
    }

    package func lease(_ claim: LeaseClaim, at now: Timestamp)
        async throws(JobQueueError) -> [LeasedRequest]
    { try await commits.write { try $0.lease(claim, at: now) } }

    package func hasWork(for claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> Bool {
        try await commits.write { try $0.hasWork(for: claim, at: now) }
    }

    package func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    { try await commits.write { try $0.renew(leases, durationMs: durationMs, at: now) } }

    package func settle(_ settlements: [Settlement], at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    { try await commits.write { try $0.settle(settlements, at: now) } }

    package func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    { try await commits.write { try $0.release(leases, reason: reason, at: now) } }

    package func recover(at now: Timestamp) async throws(JobQueueError) -> Int {
        try await commits.write { try $0.recover(at: now) }
    }

    package func cancel(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        try await commits.write { try $0.cancel(batch, at: now) }
    }

    package func status(_ batch: BatchID) async throws(JobQueueError) -> BatchStatus {
        try await commits.read { try $0.batch(batch).status }
    }

    package func backlog(_ batch: BatchID) async throws(JobQueueError) -> [String: Int] {
        try await commits.read { try $0.backlog(batch) }
    }

    package func list(tenant: String?, limit: Int) async throws(JobQueueError) -> [BatchStatus] {
        try await commits.read { try $0.batches(tenant: tenant, limit: max(0, limit)).map(\.status) }
    }

    package func results(_ batch: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder)
        async throws(JobQueueError) -> [ResultRecord]
    { try await commits.read { try $0.results(batch, after: cursor, limit: max(0, limit), order: order) } }

    package func deadLetters(_ batch: BatchID, after ordinal: Int?, limit: Int)
        async throws(JobQueueError) -> [DeadLetter]
    { try await commits.read { try $0.deadLetters(batch, after: ordinal, limit: max(0, limit)) } }

    package func pause(_ batch: BatchID, reason: String, at now: Timestamp) async throws(JobQueueError) {
        try await commits.write { try $0.pause(batch, reason: reason) }
    }

    package func resume(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        try await commits.write { try $0.resume(batch) }
    }

    package func pause(at now: Timestamp) async throws(JobQueueError) {
        try await commits.write { try $0.setPaused(true) }
    }

    package func resume(at now: Timestamp) async throws(JobQueueError) {
        try await commits.write { try $0.setPaused(false) }
    }

    package func overview(at now: Timestamp) async throws(JobQueueError) -> QueueOverview {
        try await commits.read { try $0.overview(at: now) }
    }

    package func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord] {
        try await commits.read { try $0.usage(query) }
    }

    package func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError) {
        try await commits.write { try $0.heartbeat(report, at: now) }
    }

    package func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport] {
        try await commits.read { try $0.workers(at: now) }
    }

    package func forget(worker: String) async throws(JobQueueError) {
        try await commits.write { try $0.forget(worker: worker) }
    }

    /// Recomputes everything the store keeps twice, and looks for rows that break an invariant. Takes as long
    /// as reading the whole file. Returns what is wrong, each as a sentence; empty when nothing is.
    package func integrityProblems() async throws(JobQueueError) -> [String] {
        try await commits.read { try IntegrityCheck(transaction: $0).problems() }
    }
}

/// For tests of the schema and of what calls cost.
extension SQLiteQueue {
    /// The rows of one query, as text; its parameters are null.
    package func inspect(_ sql: String) async throws(JobQueueError) -> [[String]] {
        try await commits.read { transaction in
            let statement = try transaction.db.makeStatement(sql: sql)
            statement.setUncheckedArguments([])
            return try Row.fetchAll(statement).map { row in
                row.databaseValues.map { String.fromDatabaseValue($0) ?? $0.description }
            }
        }
    }

    /// What `integrityProblems` would find after one more statement, which is then undone.
    package func problems(after sql: String) async throws(JobQueueError) -> [String] {
        try await commits.write { transaction in
            var found: [String] = []
            try transaction.db.inSavepoint {
                try transaction.db.execute(sql: sql)
                found = try IntegrityCheck(transaction: transaction).problems()
                return .rollback
            }
            return found
        }
    }

    /// Calls `note` with each statement that the queue runs from now on.
    package func traceStatements(_ note: @escaping @Sendable (String) -> Void) async throws(JobQueueError) {
        try await commits.read { transaction in
            transaction.db.trace { event in
                if case .statement(let statement) = event { note(statement.sql) }
            }
        }
    }
}
