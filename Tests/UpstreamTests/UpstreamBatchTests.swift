import Foundation
import JSON
import JobQueue
import Logging
import Scheduler
import Testing

@testable import Worker

/// Requests that go through an upstream's batch API.
@Suite struct UpstreamBatchTests {
    /// Runs a worker until the batch has ended.
    private func work(
        _ bed: ForwardingBed, _ batch: BatchID,
        until isDone: @escaping @Sendable (BatchStatus) async throws -> Bool = { $0.state.isTerminal },
        spending: UpstreamSpending? = nil, clock: WorkClock? = nil, target: UpstreamTarget? = nil,
        change: (inout UpstreamBatchWorker.Settings) -> Void = { _ in }
    ) async throws {
        var settings = UpstreamBatchWorker.Settings()
        settings.pollMs = 10
        change(&settings)
        let lines = bed.log
        let worker = UpstreamBatchWorker(
            settings, queue: bed.queue, records: bed.queue, upstream: bed.client,
            routing: SingleRoute(UpstreamChoice(target: target ?? bed.target())), spending: spending,
            clock: clock ?? bed.clock, log: Logger(label: "test") { _ in SaidLines.Handler(lines: lines) })
        let task = Task { try await worker.run() }
        while try await !isDone(bed.queue.status(batch)) {
            try await Task.sleep(for: .milliseconds(5))
            _ = try await bed.queue.recover(at: bed.clock.now())
        }
        task.cancel()
        try await task.value
    }

    /// A dollar for a million prompt tokens, two for generated ones.
    private func spending(_ bed: ForwardingBed, _ cap: SpendCap = SpendCap()) -> UpstreamSpending {
        let price = Price(input: Money(nanodollars: 1_000_000_000), output: Money(nanodollars: 2_000_000_000))
        let table = PriceTable([.init(backend: "groq", models: [NamePattern("*")], price: price)])
        // Who reserves for the upstream's batch does not matter.
        let book = SpendBook(bed.queue, sender: UUID().uuidString) { _ in [.batch: cap, .tenant: cap] }
        return UpstreamSpending(book: book) { table }
    }

    private func accounts(
        _ bed: ForwardingBed, _ batch: BatchID, at now: Timestamp? = nil
    ) async throws -> [SpendAccount] {
        let book = spending(bed).book
        let time = now ?? bed.clock.now()
        return [
            try await book.account(.batch, batch: batch, tenant: "default", at: time),
            try await book.account(.tenant, batch: batch, tenant: "default", at: time),
        ]
    }

    private func records(_ bed: ForwardingBed) async throws -> [String] {
        try await bed.queue.recordNames(prefix: UpstreamBatchRecord.prefix)
    }
    /// Settled, and nothing on record any more.
    private func isOver(_ status: BatchStatus, _ bed: ForwardingBed) async throws -> Bool {
        guard status.state.isTerminal else { return false }
        return try await records(bed).isEmpty
    }

    private func files(_ bed: ForwardingBed) async throws -> Int { try await bed.fake.counts()["files"]?.int ?? 0 }
    private func deletions(_ fake: FakeGroq) throws -> Int {
        try fake.witness().count { $0["method"]?.string == "DELETE" && $0["status"]?.int == 200 }
    }

    private func batches(_ bed: ForwardingBed) async throws -> Int { try await bed.fake.counts()["batches"]?.int ?? 0 }

    @Test func everyLineIsSettled() async throws {
        let bed = try await ForwardingBed(["rules": [["do": "status", "status": 400, "contains": "r7;"]]])
        var requests = ForwardingTests.chats(30)
        // Refused before anything is sent.
        requests.append(ForwardingBed.chat("two", more: #","n":2"#))
        requests.append(
            Request(
                customID: "old", endpoint: .completions,
                body: Array(#"{"model":"\#(FakeGroq.model)","user":"old","prompt":"Once"}"#.utf8),
                model: FakeGroq.model))
        let batch = try await bed.submit(requests)
        try await work(bed, batch, until: { try await self.isOver($0, bed) })
        let results = try await bed.results(batch)
        #expect(results.count == 32)
        let failed = results.filter { $0.state == .failed }
        #expect(Set(failed.map(\.customID)) == ["r7;", "two"])
        #expect(results.filter { $0.state == .completed }.allSatisfy {
            $0.outcome.backend == "groq" && $0.outcome.usage.completionTokens > 0
        })
        #expect(try await batches(bed) == 1)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
        let mapped = try #require(results.first { $0.customID == "old" })
        guard case .response(200, let body) = mapped.outcome.result else {
            Issue.record("\(mapped.outcome)")
            return
        }
        #expect(try JSON(parsing: body)["object"]?.string == "text_completion")
        #expect(try await bed.queue.recordNames(prefix: UpstreamBatchRecord.prefix) == [])
    }

    @Test func filesAreBounded() async throws {
        let bed = try await ForwardingBed()
        let batch = try await bed.submit(ForwardingTests.chats(25))
        try await work(bed, batch, change: { $0.maxLines = 10 })
        #expect(try await bed.queue.status(batch).counts.completed == 25)
        #expect(try await batches(bed) == 3)
    }

    /// What an expired or failed batch left over goes into another.
    @Test(arguments: ["expired", "failed"]) func whatHasNoResultGoesAgain(_ end: String) async throws {
        let bed = try await ForwardingBed(["batch_end": .string(end)], speed: 50)
        let batch = try await bed.submit(ForwardingTests.chats(20))
        try await work(bed, batch, until: { $0.counts.leased + $0.counts.queued <= (end == "failed" ? 20 : 10) }) {
            $0.pollMs = 500
        }
        while bed.log.all.allSatisfy({ !$0.contains("is \(end)") }) {
            try await work(bed, batch, until: { _ in bed.log.all.contains { $0.contains("is \(end)") } })
        }
        try await bed.fake.control(["batch_end": "completed"])
        try await work(bed, batch)
        let status = try await bed.queue.status(batch)
        #expect(status.counts.completed == 20, "\(status.counts)")
        #expect(try await batches(bed) >= 2)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    @Test func attemptsRunOut() async throws {
        let bed = try await ForwardingBed(["batch_end": "failed"], speed: 50)
        let batch = try await bed.submit(ForwardingTests.chats(2), maxAttempts: 2)
        try await work(bed, batch, change: { $0.pollMs = 100 })
        let errors = try await bed.results(batch).compactMap(\.outcome.error)
        #expect(errors.count == 2)
        #expect(errors.allSatisfy { $0.code == "attempts_exhausted" && $0.message.contains("Told to fail.") })
    }

    /// Requests, results and errors are deleted where they went, once they are settled.
    @Test func filesAreDeletedAtTheUpstream() async throws {
        let bed = try await ForwardingBed(["rules": [["do": "status", "status": 400, "contains": "r7;"]]])
        let batch = try await bed.submit(ForwardingTests.chats(10))
        try await work(bed, batch, until: { try await self.isOver($0, bed) })
        #expect(try await bed.queue.status(batch).counts.completed == 9)
        #expect(try deletions(bed.fake) == 3)
        #expect(try await files(bed) == 0)
    }

    /// Sending a file may take longer than a record lasts without a sign of life.
    @Test func whoSendsAFileIsAlive() async throws {
        let bed = try await ForwardingBed(["upload_ms": 2000])
        let batch = try await bed.submit(ForwardingTests.chats(10))
        async let first: Void = work(
            bed, batch, until: { try await self.isOver($0, bed) },
            change: { ($0.name, $0.keepMs) = ("first", 400) })
        while try await records(bed).isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        try await work(
            bed, batch, until: { try await self.isOver($0, bed) },
            change: { ($0.name, $0.keepMs) = ("second", 400) })
        try await first
        #expect(try await batches(bed) == 1)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
        #expect(!bed.log.all.contains { $0.contains("another forwarder") })
    }

    @Test func filesStayWhereTheOperatorWantsThem() async throws {
        let bed = try await ForwardingBed()
        let batch = try await bed.submit(ForwardingTests.chats(10))
        var target = bed.target()
        target.keepsFiles = true
        try await work(
            bed, batch, until: { try await self.isOver($0, bed) }, target: target)
        #expect(try deletions(bed.fake) == 0)
        #expect(try await files(bed) == 2)
    }

    /// An upstream that does not delete is asked again for a while, then left alone; nothing else waits for it.
    @Test(arguments: [503, 405]) func filesThatStayAreNamed(_ status: Int) async throws {
        let bed = try await ForwardingBed(["delete_status": .int(Int64(status))])
        let batch = try await bed.submit(ForwardingTests.chats(10))
        try await work(bed, batch, until: { try await self.isOver($0, bed) })
        #expect(try await bed.queue.status(batch).counts.completed == 10)
        #expect(try await files(bed) == 2)
        let said = bed.log.all.filter { $0.contains("delete them there") }
        #expect(said.count == 1 && said[0].contains("file_00000001, file_00000002"), "\(said)")
        let asked = try bed.fake.witness().count { $0["method"]?.string == "DELETE" }
        #expect(asked == (status == 503 ? 40 : 2))
    }

    @Test func filesThatStayAreDeletedLater() async throws {
        let bed = try await ForwardingBed(["delete_status": 503])
        let batch = try await bed.submit(ForwardingTests.chats(10))
        try await work(bed, batch, until: { _ in bed.log.all.contains { $0.contains("trying again") } })
        try await bed.fake.control(["delete_status": 200])
        try await work(bed, batch, until: { _ in try await self.records(bed).isEmpty }, change: { $0.name = "next" })
        #expect(try await files(bed) == 0)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    // MARK: What is gone

    /// A batch, or results, that cannot be had are waited for only so long; they may have been paid for.
    @Test(arguments: ["state_status", "content_status"])
    func whatIsGoneIsComputedAgain(_ absent: String) async throws {
        let bed = try await ForwardingBed([absent: 404])
        let batch = try await bed.submit(ForwardingTests.chats(4))
        try await work(
            bed, batch, until: { _ in try await self.accounts(bed, batch)[0].spent.money > .zero },
            spending: spending(bed), change: { $0.absentMs = 200 })
        let lost = try await accounts(bed, batch)[0].spent
        #expect(bed.log.all.count { $0.contains("given up") } == 1)
        try await bed.fake.control([absent: 200])
        try await work(bed, batch, until: { try await self.isOver($0, bed) }, spending: spending(bed))
        #expect(try await bed.queue.status(batch).counts.completed == 4)
        #expect(try await batches(bed) == 2)
        #expect(try await accounts(bed, batch)[0].spent.money > lost.money)
    }

    @Test func resultsThatComeLateAreTaken() async throws {
        let bed = try await ForwardingBed(["content_status": 404])
        let batch = try await bed.submit(ForwardingTests.chats(4))
        try await work(bed, batch, until: { _ in bed.log.all.contains { $0.contains("looking again") } })
        try await bed.fake.control(["content_status": 200])
        try await work(bed, batch, until: { try await self.isOver($0, bed) })
        #expect(try await bed.queue.status(batch).counts.completed == 4)
        #expect(try await batches(bed) == 1)
    }

    /// Said once; when the leases have lapsed, another backend gets the requests.
    @Test func aBackendThatIsGoneIsNotWaitedForForEver() async throws {
        let bed = try await ForwardingBed(["batch_ms": 3_600_000])
        let batch = try await bed.submit(ForwardingTests.chats(4))
        try await work(
            bed, batch, until: { _ in bed.log.all.contains { $0.contains("go to groq as its batch") } },
            change: { $0.leaseMs = 1000 })
        try await bed.fake.control(["batch_ms": 0])
        var other = bed.target()
        other.name = "other"
        try await work(
            bed, batch, until: { try await self.isOver($0, bed) }, target: other, change: { $0.leaseMs = 1000 })
        #expect(try await bed.queue.status(batch).counts.completed == 4)
        #expect(bed.log.all.count { $0.contains("there is no backend groq") } == 1)
        #expect(bed.log.all.count { $0.contains("is given up") } == 1)
    }

    @Test func aBackendThatComesBackIsAskedAgain() async throws {
        let bed = try await ForwardingBed(["batch_ms": 3_600_000])
        let batch = try await bed.submit(ForwardingTests.chats(4))
        try await work(bed, batch, until: { _ in bed.log.all.contains { $0.contains("go to groq as its batch") } })
        var other = bed.target()
        other.name = "other"
        try await work(
            bed, batch, until: { _ in bed.log.all.contains { $0.contains("there is no backend groq") } }, target: other)
        try await bed.fake.finishBatches()
        try await work(bed, batch, until: { try await self.isOver($0, bed) })
        #expect(try await bed.queue.status(batch).counts.completed == 4)
        #expect(try await batches(bed) == 1)
    }

    // MARK: Caps

    /// What is set aside for a batch is its own: whoever goes on with it settles it, even when it counted as spent.
    @Test(arguments: [0, 7_200_000] as [Int64])
    func whatIsSetAsideOutlivesTheForwarder(_ laterMs: Int64) async throws {
        let bed = try await ForwardingBed(["batch_ms": 3_600_000])
        let batch = try await bed.submit(ForwardingTests.chats(10))
        let sent = { @Sendable in bed.log.all.contains { $0.contains("go to groq as its batch") } }
        try await work(bed, batch, until: { _ in sent() }, spending: spending(bed), change: { $0.name = "first" })
        let held = try await accounts(bed, batch)
        for account in held {
            #expect(account.spent == Spending() && account.unproven == Spending())
            #expect(account.inReserve.money > .zero && account.inReserve == held[0].inReserve)
        }
        let clock = bed.clock
        let later = WorkClock(now: { clock.now() + laterMs }, sleep: clock.sleep)
        // Whoever reserves next notices that nobody has shown a sign of life.
        let other = spending(bed).book
        let claim = SpendBook.Claim(batch: batch, tenant: "default", most: Spending(tokens: 1))
        if case .granted(let grant) = try await other.reserve([claim], durationMs: 1, at: later.now()).first {
            try await other.settle([(grant, Spending())], at: later.now())
        }
        for account in try await accounts(bed, batch, at: later.now()) {
            #expect(account.committed == held[0].committed)
            #expect(account.unproven == (laterMs > 0 ? held[0].committed : Spending()))
        }
        try await bed.fake.control(["batch_ms": 0])
        try await bed.fake.finishBatches()
        try await work(
            bed, batch, until: { $0.state.isTerminal }, spending: spending(bed), clock: later,
            change: { $0.name = "second" })
        let usage = try await bed.queue.status(batch).usage
        #expect(usage.costNanodollars == 1000 * (usage.promptTokens + 2 * usage.completionTokens))
        for account in try await accounts(bed, batch, at: later.now()) {
            #expect(account.spent == Spending(usage))
            #expect(account.inReserve == Spending() && account.unproven == Spending())
        }
    }

    /// What does not fit the cap is not sent, and its batch says so; raising the cap lets it go on.
    @Test func capsHoldForBatches() async throws {
        let bed = try await ForwardingBed()
        let batch = try await bed.submit(ForwardingTests.chats(10, more: #","max_tokens":100"#))
        // One request at most costs nearly that much.
        let cap = SpendCap(money: Money(nanodollars: 340_000))
        try await work(
            bed, batch, until: { $0.pausedFor != nil && $0.counts.leased == 0 }, spending: spending(bed, cap))
        let paused = try await bed.queue.status(batch)
        #expect((1..<10).contains(paused.counts.completed), "\(paused.counts)")
        #expect(paused.pausedFor?.contains("cap of $0.00034 for batch") == true)
        for account in try await accounts(bed, batch) {
            #expect(account.spent == Spending(paused.usage))
            #expect(account.inReserve == Spending())
        }
        try await bed.queue.resume(batch, at: bed.clock.now())
        try await work(bed, batch, spending: spending(bed))
        #expect(try await bed.queue.status(batch).counts.completed == 10)
        #expect(try bed.computed().values.allSatisfy { $0 == 1 })
    }

    /// What is set aside for hours is no reason to stop for ever.
    @Test func whatIsOnItsWayIsWaitedFor() async throws {
        let bed = try await ForwardingBed()
        let batch = try await bed.submit(ForwardingTests.chats(10, more: #","max_tokens":100"#))
        try await work(bed, batch, spending: spending(bed, SpendCap(money: Money(nanodollars: 1_000_000))))
        #expect(try await bed.queue.status(batch).counts.completed == 10)
        #expect(try await (3...5).contains(batches(bed)))
        #expect(bed.log.all.allSatisfy { !$0.contains("is paused") })
    }

    /// What a batch did compute before it was cancelled is paid for.
    @Test func whatWasComputedInVainIsPaid() async throws {
        let bed = try await ForwardingBed(["batch_ms": 3_600_000])
        let batch = try await bed.submit(ForwardingTests.chats(10))
        let sent = { @Sendable in bed.log.all.contains { $0.contains("go to groq as its batch") } }
        try await work(bed, batch, until: { _ in sent() }, spending: spending(bed))
        try await bed.fake.control(["batch_ms": 0])
        try await bed.fake.finishBatches()
        try await bed.queue.cancel(batch, at: bed.clock.now())
        try await work(bed, batch, until: { _ in try await self.records(bed).isEmpty }, spending: spending(bed))
        let status = try await bed.queue.status(batch)
        #expect(status.counts.cancelled == 10 && status.usage == Usage())
        for account in try await accounts(bed, batch) {
            #expect(account.spent.money > .zero)
            #expect(account.inReserve == Spending() && account.unproven == Spending())
        }
        #expect(try await files(bed) == 0)
    }

    @Test func cancellingOursCancelsTheirs() async throws {
        let bed = try await ForwardingBed(["batch_ms": 3_600_000])
        let batch = try await bed.submit(ForwardingTests.chats(5))
        let log = bed.log
        async let working: Void = work(
            bed, batch, until: { try await self.isOver($0, bed) })
        while log.all.allSatisfy({ !$0.contains("go to groq as its batch") }) {
            try await Task.sleep(for: .milliseconds(5))
        }
        try await bed.queue.cancel(batch, at: bed.clock.now())
        try await working
        #expect(try bed.computed().isEmpty)
        #expect(try bed.fake.witness().count { $0["path"]?.string?.hasSuffix("/cancel") == true } == 1)
        #expect(try await files(bed) == 0)
    }

    /// By its token, however many there are beside it.
    @Test func aBatchIsFoundAmongMany() async throws {
        let bed = try await ForwardingBed(["batch_ms": 3_600_000])
        let client = UpstreamBatchClient(upstream: bed.client, target: bed.target())
        let file = try await client.upload(Array("{}\n".utf8))
        var ids: [String] = []
        for number in 0..<230 {
            ids.append(
                try await client.create(file, endpoint: "/v1/chat/completions", window: "24h", token: "t\(number)"))
        }
        for number in [0, 29, 30, 130, 229] { #expect(try await client.find("t\(number)") == ids[number]) }
        #expect(try await client.find("t") == nil)
    }

    @Test func whatCannotBeReadOfAFileIsLeftOut() {
        let file = Array("""
            {"custom_id":"1","response":{"status_code":200,"body":{"a":1}},"error":null}
            {"custom_id":"9","response":{"status_code":200,"body":{}}}
            not JSON
            {"custom_id":"0","response":null,"error":{"code":"x","message":"no"}}

            """.utf8)
        let lines = UpstreamBatchFile.lines(file, count: 2)
        #expect(lines.map(\.number) == [1, 0])
        #expect(lines.map(\.status) == [200, 500])
        #expect(String(decoding: lines[0].body, as: UTF8.self) == #"{"a":1}"#)
        #expect(String(decoding: lines[1].body, as: UTF8.self).contains("\"no\""))
    }
}
