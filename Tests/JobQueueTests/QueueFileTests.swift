import Foundation
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
        #expect(what.contains("format 9") && what.contains("only \(QueueSchema.version)"))
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
