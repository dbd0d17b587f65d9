import Foundation
import GRDB
import JobQueue
import Testing

/// What is a queue file, who may open it, and what it promises.
@Suite struct QueueFileTests {
    @Test func commitsAreFlushed() async throws {
        let scratch = try Scratch()
        let queue = try SQLiteQueue(path: scratch.path)
        for round in 0..<2 {
            #expect(try await queue.inspect("PRAGMA journal_mode") == [["wal"]])
            #expect(try await queue.inspect("PRAGMA synchronous") == [["2"]], "FULL, in round \(round)")
            #expect(try await queue.inspect("PRAGMA foreign_keys") == [["1"]])
            _ = try await queue.submit(3)
        }
        try await queue.close()
    }

    @Test func closingLeavesOneFile() async throws {
        let scratch = try Scratch()
        let queue = try SQLiteQueue(path: scratch.path, exclusive: true)
        let batch = try await queue.submit(10)
        #expect(scratch.names.count > 1)
        try await queue.close()
        #expect(scratch.names == ["queue.sqlite"])
        try await queue.close()
        let error = try await failure { _ = try await queue.status(batch) }
        #expect(error == .unavailable("\(scratch.path) has been closed"))

        let again = try SQLiteQueue(path: scratch.path)
        #expect(try await again.status(batch).counts == BatchCounts(total: 10, queued: 10))
        #expect(try await again.integrityProblems() == [])
        try await again.close()
    }

    @Test func aQueueThatIsDroppedLetsGo() async throws {
        let scratch = try Scratch()
        do {
            let queue = try SQLiteQueue(path: scratch.path, exclusive: true)
            _ = try await queue.submit(1)
        }
        let again = try SQLiteQueue(path: scratch.path, exclusive: true)
        #expect(try await again.list(limit: 1).count == 1)
        try await again.close()
    }

    @Test func oneExclusiveOwnerAtATime() async throws {
        let scratch = try Scratch()
        let queue = try SQLiteQueue(path: scratch.path, exclusive: true)
        let link = scratch.folder.appending(path: "link.sqlite").path
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: scratch.path)
        for path in [scratch.path, link] {
            let error = try await failure { _ = try SQLiteQueue(path: path, exclusive: true) }
            #expect("\(error)".contains("in use by process \(getpid())"))
            #expect("\(error)".contains(scratch.path))
        }
        // Looking on, and cancelling, is free.
        let other = try SQLiteQueue(path: link)
        let batch = try await queue.submit(2)
        #expect(try await other.status(batch).counts.queued == 2)
        try await other.cancel(batch, at: 1)
        #expect(try await queue.lease(max: 9, worker: "w", durationMs: 9, at: 2).isEmpty)
        try await other.close()
        try await queue.close()
        try await SQLiteQueue(path: scratch.path, exclusive: true).close()
    }

    @Test func aLockFileWithoutAnOwnerIsNoLock() async throws {
        let scratch = try Scratch()
        try scratch.write(Array("999999\n".utf8), to: "queue.sqlite.lock")
        try await SQLiteQueue(path: scratch.path, exclusive: true).close()
        #expect(scratch.names == ["queue.sqlite"])
    }

    @Test func anotherProgramsDatabaseIsLeftAlone() async throws {
        let scratch = try Scratch()
        let seed = try SQLiteQueue(path: scratch.path)
        try await seed.close()
        var bytes = try scratch.bytes()
        // Offset 68 of the header: the application's number (https://www.sqlite.org/fileformat.html).
        bytes[68] ^= 1
        try scratch.write(bytes)
        let error = try await failure { _ = try SQLiteQueue(path: scratch.path) }
        #expect(
            error
                == .unusableStore(
                    "\(scratch.path) is another program's SQLite database: name another file for the queue"))
        #expect(try scratch.bytes() == bytes)
        #expect(scratch.names == ["queue.sqlite"])
    }

    @Test func aLaterVersionIsRefused() async throws {
        let scratch = try Scratch()
        let seed = try SQLiteQueue(path: scratch.path)
        try await seed.close()
        var bytes = try scratch.bytes()
        // Offset 60: the schema's version, big-endian.
        bytes[63] = 9
        try scratch.write(bytes)
        let error = try await failure { _ = try SQLiteQueue(path: scratch.path) }
        guard case .unusableStore(let what) = error else { throw error }
        #expect(what.contains("format 9") && what.contains("to \(QueueSchema.version)"))
        #expect(try scratch.bytes() == bytes)
    }

    /// As an older version left it.
    private func olderFile(_ scratch: Scratch) throws {
        let database = try DatabaseQueue(path: scratch.path)
        try database.writeWithoutTransaction { db in
            _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
            try db.execute(sql: "PRAGMA foreign_keys = OFF")
            try db.execute(sql: FormatThree.sql)
        }
        try database.close()
    }

    @Test func anOlderFileGoesOn() async throws {
        let scratch = try Scratch()
        try olderFile(scratch)
        let queue = try SQLiteQueue(path: scratch.path)
        #expect(try await queue.integrityProblems() == [])
        let batch = try #require(try await queue.list(limit: 2).first)
        #expect(batch.counts == BatchCounts(total: 12, queued: 4, leased: 5, completed: 3))
        #expect(batch.usage == Usage(promptTokens: 29, completionTokens: 3))
        #expect(try await queue.usage(UsageQuery()).map(\.usage) == [batch.usage])
        // Its tables are those of a new file.
        let fresh = try SQLiteQueue.temporary()
        for table in ["batch", "outcome", "usage"] {
            let columns = "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info('\(table)') ORDER BY name"
            #expect(try await queue.inspect(columns) == fresh.inspect(columns), "\(table)")
        }
        #expect(try await queue.inspect("PRAGMA user_version") == [["\(QueueSchema.version)"]])

        let now = Timestamp(milliseconds: 1_001_000)
        #expect(try await queue.recover(at: now) == 5)
        let leased = try await queue.lease(max: 20, worker: "w", durationMs: 1000, at: now)
        #expect(leased.count == 9)
        var outcome = response("text")
        outcome.usage.costNanodollars = 5
        _ = try await queue.settle(leased.map { Settlement(lease: $0.lease, outcome: outcome) }, at: now)
        #expect(try await queue.status(batch.id).usage.costNanodollars == 45)
        #expect(try await queue.usage(UsageQuery()).map(\.usage.costNanodollars) == [45, 0])
        let records = try await queue.results(batch.id, after: nil, limit: 20, order: .completion)
        #expect(records.map(\.outcome.usage.costNanodollars) == [0, 0, 0] + Array(repeating: 5, count: 9))
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
        // The second time there is nothing to change.
        try await SQLiteQueue(path: scratch.path).close()
    }

    @Test func anOlderFileIsChangedOnceHoweverManyOpenIt() async throws {
        let scratch = try Scratch()
        try olderFile(scratch)
        try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let queue = try SQLiteQueue(path: scratch.path)
                    let problems = try await queue.integrityProblems()
                    try await queue.close()
                    return problems
                }
            }
            for try await problems in group { #expect(problems == []) }
        }
    }

    @Test func aFileThatIsTooOldStaysAsItIs() async throws {
        let scratch = try Scratch()
        let seed = try SQLiteQueue(path: scratch.path)
        try await seed.close()
        var bytes = try scratch.bytes()
        bytes[63] = 2
        try scratch.write(bytes)
        let error = try await failure { _ = try SQLiteQueue(path: scratch.path) }
        guard case .unusableStore(let what) = error else { throw error }
        #expect(what.contains("format 2") && what.contains("only 3 to"))
        #expect(try scratch.bytes() == bytes)
    }

    @Test func whatIsNoDatabaseIsNamed() async throws {
        let scratch = try Scratch()
        try scratch.write(Array("{\"custom_id\": \"a\"}\n".utf8) + [UInt8](repeating: 10, count: 5000))
        var error = try await failure { _ = try SQLiteQueue(path: scratch.path) }
        #expect(
            error == .unusableStore("\(scratch.path) is not a queue (no SQLite database): name another file"))
        error = try await failure { _ = try SQLiteQueue(path: scratch.folder.path) }
        #expect(error == .unusableStore("\(scratch.folder.path) is a folder: name a file for the queue"))
        let missing = scratch.folder.appending(path: "no/queue.sqlite").path
        error = try await failure { _ = try SQLiteQueue(path: missing, exclusive: true) }
        #expect("\(error)".contains("there is no folder"))
        #expect(throws: JobQueueError.self) { _ = try SQLiteQueue(path: "") }
    }

    /// Root may write anywhere but where nobody may.
    @Test(
        .enabled(
            if: FileManager.default.fileExists(atPath: "/proc/self"), "needs a folder that takes no files"))
    func aFolderThatCannotBeWrittenIsNamed() async throws {
        for exclusive in [false, true] {
            let error = try await failure {
                _ = try SQLiteQueue(path: "/proc/queue.sqlite", exclusive: exclusive)
            }
            guard case .unavailable(let what) = error else { throw error }
            #expect(what.contains("/proc/queue.sqlite"))
            #expect(what.contains("check that"))
        }
    }

    @Test func aFullDiskLosesNothing() async throws {
        let scratch = try Scratch()
        var options = SQLiteOptions()
        options.maxBytes = 600_000
        var appended = 0
        do {
            let queue = try SQLiteQueue(path: scratch.path, options: options)
            let batch = try await queue.open(BatchSpecification(idempotencyKey: "k"), at: 0)
            let error = try await failure {
                while true {
                    try await queue.append(
                        (appended..<appended + 20).map { request($0, bytes: 1000) }, to: batch,
                        from: appended, at: 0)
                    appended += 20
                }
            }
            guard case .unavailable(let what) = error else { throw error }
            #expect(what.contains(scratch.path) && what.contains("no space left"))
            #expect(appended > 100)
            #expect(try await queue.status(batch).counts.total == appended)
            #expect(try await queue.integrityProblems() == [])
            try await queue.close()
        }
        // With room again, it goes on where it was.
        let queue = try SQLiteQueue(path: scratch.path)
        let batch = try await queue.open(BatchSpecification(idempotencyKey: "k"), at: 0)
        try await queue.append([request(appended, bytes: 1000)], to: batch, from: appended, at: 0)
        try await queue.seal(batch, total: appended + 1, at: 0)
        #expect(try await queue.integrityProblems() == [])
        try await queue.close()
    }
}
