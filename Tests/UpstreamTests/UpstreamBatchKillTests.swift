import Foundation
import JSON
import JobQueue
import Scheduler
import Testing

@testable import Worker

/// A forwarder that serves an upstream's batch API is killed at each place where a batch could be lost, submitted or
/// paid twice, and begun again.
@Suite(.serialized) struct UpstreamBatchKillTests {
    private static let count = 40

    /// A queue with one batch, and how the forwarder is started on it.
    private struct Stage {
        let scene: ProcessTests.Scene
        let queue: SQLiteQueue
        let batch: BatchID
        let arguments: [String]

        init(_ settings: JSON = .object(JSONObject())) async throws {
            scene = try await ProcessTests.Scene(settings)
            let routes = ProcessTests.routes(scene)
                .replacing("kind = \"groq\"", with: "kind = \"groq\"\nmode = \"batch\"")
            // Money for all of them at once, and for no one twice: a reservation that stayed would be in the way.
            let caps = ["batch", "tenant"].map { "\n[[cap]]\nper = \"\($0)\"\nusd = 0.4\n" }
            try scene.write("routes.toml", routes + caps.joined())
            let path = scene.folder.appending(path: "queue.sqlite").path
            queue = try SQLiteQueue(path: path)
            let now = WorkClock.system.now()
            batch = try await queue.open(BatchSpecification(), at: now)
            let requests = (0..<count).map { ForwardingBed.chat("r\($0);", model: "alias-1") }
            try await queue.append(requests.map { .accepted($0) }, to: batch, from: 0, at: now)
            try await queue.seal(batch, total: count, at: now)
            arguments = ["forwarder", "--queue", path, "--config", "routes.toml", "--name", "f", "--batch-poll", "0.05"]
        }

        func kill(at failpoint: String) throws {
            let killed = try scene.run(arguments, failpoint: failpoint)
            #expect(killed.terminationStatus == Failpoint.exitCode, "\(failpoint) was never passed")
        }

        /// Until all is settled, and nothing on record any more.
        func finish() async throws {
            let process = try scene.start(arguments)
            while process.isRunning {
                let names = try await queue.recordNames(prefix: UpstreamBatchRecord.prefix)
                if names.isEmpty, try await queue.status(batch).state == .completed { break }
                try await Task.sleep(for: .milliseconds(20))
            }
            process.terminate()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0, "\(scene.text("said.err"))")
        }

        func accounts() async throws -> [SpendAccount] {
            let book = SpendBook(queue, sender: "test", caps: { _ in [:] })
            let now = WorkClock.system.now()
            return [
                try await book.account(.batch, batch: batch, tenant: "default", at: now),
                try await book.account(.tenant, batch: batch, tenant: "default", at: now),
            ]
        }

        /// Each request computed once, settled once, paid once; nothing left over anywhere.
        func check(batches: ClosedRange<Int> = 1...1) async throws {
            #expect(try await queue.status(batch).counts.completed == count)
            // A batch is computed when it is asked for: once, and no other beside it.
            let made = try await scene.fake.counts()["batches"]?.int ?? 0
            #expect(batches.contains(made))
            #expect(try await scene.fake.counts()["files"]?.int == 0)
            #expect(try scene.computedAgain() == 0)
            let usage = try await queue.status(batch).usage
            #expect(usage.costNanodollars > 0)
            #expect(try await queue.usage(UsageQuery()).map(\.usage).reduce(Usage(), +) == usage)
            for account in try await accounts() {
                #expect(account.spent == Spending(usage))
                #expect(account.inReserve == Spending() && account.unproven == Spending())
            }
            #expect(try await queue.integrityProblems() == [])
            try await queue.close()
            #expect(try scene.leaks() == [])
        }
    }

    @Test(arguments: [
        "batch.written", "batch.uploaded", "batch.created", "batch.settling", "batch.settled", "batch.deleted",
    ])
    func theForwarderSurvivesDyingAt(_ failpoint: String) async throws {
        let stage = try await Stage()
        try stage.kill(at: failpoint)
        let isPaid = ["batch.settled", "batch.deleted"].contains(failpoint)
        for account in try await stage.accounts() {
            #expect((account.inReserve.money > .zero) != isPaid)
            #expect((account.spent.money > .zero) == isPaid)
        }
        try await stage.finish()
        try await stage.check()
    }

    /// Half of a batch came back, and of the other half some requests are in the queue again.
    @Test func dyingWhileGivingBackLosesNothing() async throws {
        let stage = try await Stage(["batch_end": "expired"])
        try stage.kill(at: "batch.released:5")
        let counts = try await stage.queue.status(stage.batch).counts
        #expect(counts.completed == Self.count / 2 && counts.queued == 5)
        try await stage.scene.fake.control(["batch_end": "completed"])
        try await stage.finish()
        // What came back at different times goes again at different times.
        try await stage.check(batches: 2...3)
    }

    /// Between the lease and the record nobody knows of the requests but the queue, which has them back after two
    /// minutes; and nothing is set aside.
    @Test func aForwarderThatDiesBeforeItsRecordHoldsRequestsForTwoMinutes() async throws {
        let stage = try await Stage()
        let before = WorkClock.system.now()
        try stage.kill(at: "batch.leased")
        let after = WorkClock.system.now()
        let queue = stage.queue
        #expect(try await queue.recordNames(prefix: UpstreamBatchRecord.prefix) == [])
        for account in try await stage.accounts() { #expect(account == SpendAccount()) }
        #expect(try await queue.recover(at: before + 119_999) == 0)
        #expect(try await queue.status(stage.batch).counts.leased == Self.count)
        #expect(try await queue.recover(at: after + 120_000) == Self.count)
        try await stage.finish()
        #expect(try await queue.results(stage.batch, after: nil, limit: 99, order: .input).allSatisfy {
            $0.attempt == 2
        })
        try await stage.check()
    }
}
