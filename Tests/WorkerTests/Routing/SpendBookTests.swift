import Foundation
import JobQueue
import Scheduler
import Testing
import Worker

@Suite struct SpendBookTests {
    private static let start = Timestamp(milliseconds: 1_790_000_000_000)

    private static func book(_ records: any RecordStore, _ sender: String = "w", tokens: Int = 1000) -> SpendBook {
        SpendBook(records, sender: sender) { tenant in
            tenant == "free"
                ? [.batch: SpendCap(tokens: tokens), .tenantDay: SpendCap(money: Money(nanodollars: 500))]
                : [.batch: SpendCap(tokens: tokens)]
        }
    }

    private static func claim(
        _ batch: String, _ tokens: Int, tenant: String = "acme", nano: Int64 = 0
    ) -> SpendBook.Claim {
        SpendBook.Claim(
            batch: BatchID(batch), tenant: tenant,
            most: Spending(money: Money(nanodollars: nano), tokens: tokens))
    }

    private static func grants(_ verdicts: [SpendBook.Verdict]) -> [SpendBook.Grant] {
        verdicts.compactMap { if case .granted(let grant) = $0 { grant } else { nil } }
    }

    @Test func grantsUpToTheCap() async throws {
        let book = Self.book(MemoryRecords())
        let verdicts = try await book.reserve(
            [Self.claim("b", 600), Self.claim("b", 500), Self.claim("b", 400), Self.claim("c", 1000)],
            durationMs: 1000, at: Self.start)
        #expect(verdicts.map { Self.grants([$0]).count } == [1, 0, 1, 1])
        guard case .refused(let reached) = verdicts[1] else { return }
        #expect(reached.scope == .batch)
        for part in ["cap of 1000 tokens for batch b", "600 tokens on their way", "500 tokens", "caps set"] {
            #expect(reached.description.contains(part), "\(reached)")
        }
        try await book.settle([(Self.grants(verdicts)[0], Spending(tokens: 100))], at: Self.start)
        let account = try await book.account(.batch, batch: BatchID("b"), tenant: "acme", at: Self.start)
        #expect(account.spent.tokens == 100)
        #expect(account.inReserve.tokens == 400)
        let again = try await book.reserve([Self.claim("b", 500)], durationMs: 1000, at: Self.start)
        #expect(Self.grants(again).count == 1)
    }

    /// A claim that one scope refuses leaves nothing in the others.
    @Test func aRefusedClaimReservesNothing() async throws {
        let book = Self.book(MemoryRecords())
        let verdicts = try await book.reserve(
            [Self.claim("b", 10, tenant: "free", nano: 400), Self.claim("d", 10, tenant: "free", nano: 200)],
            durationMs: 1000, at: Self.start)
        #expect(Self.grants(verdicts).count == 1)
        guard case .refused(let reached) = verdicts[1] else {
            Issue.record("granted")
            return
        }
        #expect(reached.scope == .tenantDay)
        let other = try await book.account(.batch, batch: BatchID("d"), tenant: "free", at: Self.start)
        #expect(other.inReserve == Spending())
        // The next day is another.
        let tomorrow = Self.start + 86_400_000
        let later = try await book.reserve(
            [Self.claim("d", 10, tenant: "free", nano: 200)], durationMs: 1000, at: tomorrow)
        #expect(Self.grants(later).count == 1)
    }

    @Test func aRaisedCapCounts() async throws {
        let book = Self.book(MemoryRecords())
        #expect(Self.grants(try await book.reserve([Self.claim("b", 2000)], durationMs: 9, at: Self.start)).isEmpty)
        try await book.setCap(SpendCap(tokens: 2000), of: BatchID("b"), at: Self.start)
        #expect(Self.grants(try await book.reserve([Self.claim("b", 2000)], durationMs: 9, at: Self.start)).count == 1)
        try await book.setCap(nil, of: BatchID("b"), at: Self.start)
        #expect(Self.grants(try await book.reserve([Self.claim("b", 1)], durationMs: 9, at: Self.start)).isEmpty)
    }

    @Test func aDeadSenderIsCountedUntilProven() async throws {
        let records = MemoryRecords()
        let grants = Self.grants(
            try await Self.book(records, "dead").reserve([Self.claim("b", 900)], durationMs: 100, at: Self.start))
        let other = Self.book(records, "other")
        let later = Self.start + 100
        #expect(Self.grants(try await other.reserve([Self.claim("b", 200)], durationMs: 100, at: later)).isEmpty)
        let account = try await other.account(.batch, batch: BatchID("b"), tenant: "acme", at: later)
        #expect(account.unproven.tokens == 900)
        try await Self.book(records, "dead").settle([(grants[0], Spending(tokens: 300))], at: later)
        #expect(Self.grants(try await other.reserve([Self.claim("b", 700)], durationMs: 100, at: later)).count == 1)
    }

    @Test func renewedReservationsLast() async throws {
        let records = MemoryRecords()
        let book = Self.book(records)
        let grants = Self.grants(try await book.reserve([Self.claim("b", 900)], durationMs: 100, at: Self.start))
        try await book.renew(grants, durationMs: 200, at: Self.start + 50)
        let account = try await book.account(.batch, batch: BatchID("b"), tenant: "acme", at: Self.start + 200)
        #expect(account.inReserve.tokens == 900)
    }

    /// What is set aside for something on record comes and goes with the record, whoever does it, and only once.
    @Test(arguments: [50, 5000] as [Int64]) func aRecordIsSettledOnce(_ afterMs: Int64) async throws {
        let records = MemoryRecords()
        let book = Self.book(records, "dead")
        let verdicts = try await book.reserve(
            [Self.claim("b", 600), Self.claim("b", 600), Self.claim("b", 300)], for: "token", durationMs: 100,
            at: Self.start, with: "batch/token"
        ) { [UInt8(Self.grants($0).count)] }
        #expect(verdicts.map { Self.grants([$0]).count } == [1, 0, 1])
        #expect(try await records.records(["batch/token"]).first??.value == [2])
        let time = Self.start + afterMs
        let other = Self.book(records, "other")
        // Others' reservations are others'; and whoever makes one notices what has lapsed.
        let own = Self.grants(try await other.reserve([Self.claim("b", 100)], durationMs: 100, at: time))
        #expect(own.count == 1)
        var account = try await other.account(.batch, batch: BatchID("b"), tenant: "acme", at: time)
        #expect(account.unproven.tokens == (afterMs > 100 ? 900 : 0))
        let part = SpendBook.Part(
            accounts: Self.grants(verdicts)[0].records, reserved: Spending(tokens: 900),
            actual: Spending(tokens: 40))
        for isFirst in [true, false] {
            let isDone = try await other.settle([part], for: "token", at: time, with: "batch/token") { value in
                guard value != nil else { return false }
                value = nil
                return true
            }
            #expect(isDone == isFirst)
        }
        account = try await other.account(.batch, batch: BatchID("b"), tenant: "acme", at: time)
        #expect(account.spent.tokens == 40)
        #expect(account.unproven == Spending())
        #expect(account.inReserve.tokens == 100)
    }

    @Test func nothingGrantedLeavesNoRecord() async throws {
        let records = MemoryRecords()
        let verdicts = try await Self.book(records).reserve(
            [Self.claim("b", 2000)], for: "token", durationMs: 100, at: Self.start, with: "batch/token"
        ) { Self.grants($0).isEmpty ? nil : [1] }
        #expect(Self.grants(verdicts).isEmpty)
        #expect(try await records.recordNames(prefix: "") == [])
    }

    /// Four senders at one file: what all of them spend stays within the cap, and reaches it.
    @Test func manySendersKeepOneCap() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "spend-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "queue.sqlite").path
        let spent = try await withThrowingTaskGroup(of: Int.self) { group in
            for sender in 0..<4 {
                group.addTask {
                    let queue = try SQLiteQueue(path: path)
                    let book = Self.book(queue, "s\(sender)", tokens: 5000)
                    var sum = 0
                    while true {
                        let verdicts = try await book.reserve(
                            (0..<5).map { _ in Self.claim("b", 30) }, durationMs: 60_000, at: Self.start)
                        let grants = Self.grants(verdicts)
                        if grants.isEmpty { break }
                        sum += 20 * grants.count
                        try await book.settle(grants.map { ($0, Spending(tokens: 20)) }, at: Self.start)
                    }
                    try await queue.close()
                    return sum
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(spent <= 5000)
        // All stop when less than one request's most is left, of what nobody else has in reserve.
        #expect(spent > 5000 - 4 * 5 * 30)
        let queue = try SQLiteQueue(path: path)
        let account = try await Self.book(queue).account(.batch, batch: BatchID("b"), tenant: "acme", at: Self.start)
        #expect(account.spent.tokens == spent)
        #expect(account.inReserve == Spending())
        try await queue.close()
    }

    @Test(arguments: [
        (0, "1970-01"), (-1, "1969-12"), (951_782_400_000, "2000-02"), (951_868_800_000, "2000-03"),
        (1_798_761_599_999, "2026-12"), (1_798_761_600_000, "2027-01"),
    ] as [(Int64, String)])
    func monthsAreUTC(_ time: Int64, _ month: String) {
        #expect(SpendScope.month(Timestamp(milliseconds: time)) == month)
    }
}
