import JSON
import JobQueue
import Submitter
import Testing

/// What commands on a queue print.
@Suite struct QueueTextTests {
    static let now = Timestamp(milliseconds: 1_700_000_100_000)

    static func worker(_ name: String, generated: Double = 100) -> WorkerReport {
        WorkerReport(
            name: name, host: "h", processID: 7, models: ["m", "n"], backend: "cpu", phase: .running,
            startedAt: Timestamp(milliseconds: 0), reportedAt: Timestamp(milliseconds: 1_700_000_098_000),
            leasedRequests: 12, runningSequences: 9, stepMs: 41.26, promptTokensPerSecond: 1234,
            generatedTokensPerSecond: generated, cacheUse: 0.567)
    }

    static func overview(_ depths: Int) -> QueueOverview {
        QueueOverview(
            isPaused: false, openBatches: 2,
            depths: (0..<depths).map {
                QueueOverview.Depth(
                    tenant: "t\($0)", priority: 1, model: "", queued: 1200, delayed: 3, leased: 4, queuedTokens: 99_000)
            }, oldestQueuedAt: Timestamp(milliseconds: 1_700_000_035_000))
    }

    @Test func topFitsTheScreen() {
        let view = TopView(
            Self.overview(40), (0..<30).map { Self.worker("w\($0)") }, name: "redis://h/0", at: Self.now)
        for (width, height) in [(80, 24), (20, 5), (200, 100), (10, 1)] {
            let screen = view.screen(width: width, height: height)
            #expect(screen.count <= height)
            #expect(screen.allSatisfy { $0.text.count <= width })
        }
        let screen = view.screen(width: 200, height: 24)
        #expect(screen[0].text == "redis://h/0: 2 open batches, 48,000 requests queued, 160 running, oldest waits 65 s")
        #expect(screen.contains { $0.text.hasPrefix("30 workers: 37.0k prompt tok/s, 3.0k generated tok/s") })
        #expect(screen.contains { $0.text.hasSuffix("more") })
    }

    /// Long names give way, figures stay; what a client put into a name is not the terminal's.
    @Test func topHasRoomForLongNames() {
        var overview = Self.overview(2)
        overview.depths[0].tenant = String(repeating: "a-long-name-", count: 20)
        overview.depths[1].tenant = "\u{1B}[31mred\u{7}\n"
        overview.depths[1].model = String(repeating: "\u{6A21}", count: 30)
        var worker = Self.worker(String(repeating: "w", count: 60))
        worker.models = (0..<20).map { "model-\($0)" }
        let view = TopView(overview, [worker], name: "unix:///run/" + String(repeating: "r", count: 60), at: Self.now)
        let screen = view.screen(width: 80, height: 24).map(\.text)
        #expect(screen[0].hasPrefix("unix:///run/rrr"))
        #expect(screen[1] == "2 open batches, 2,400 requests queued, 8 running, oldest waits 65 s")
        let depth = screen.filter { $0.hasPrefix("   1  ") }
        #expect(depth.count == 2)
        #expect(depth[0].contains("a-long-nam") && depth[0].contains("…"))
        #expect(depth[1].contains("?[31mred??  "))
        let row = screen.filter { $0.hasPrefix("wwww") }
        #expect(row.count == 1)
        #expect(row[0].contains("running") && row[0].contains("57%"))
        // A character of two columns counts twice.
        #expect(depth[1].count + depth[1].count { $0 == "\u{6A21}" } <= 80)
        #expect(!view.text.contains("\u{1B}"))
        let narrow = view.screen(width: 40, height: 8)
        #expect(narrow.count <= 8 && narrow.allSatisfy { $0.text.count <= 40 })
    }

    @Test func topSaysWhenNobodyWorks() {
        let screen = TopView(Self.overview(1), [], name: "q", at: Self.now).screen(width: 80, height: 24)
        #expect(screen.contains { $0.kind == .warning && $0.text.contains("no worker lives") })
        #expect(screen.last?.text == "no workers")
    }

    @Test func workersAreATable() {
        let lines = WorkersReport([Self.worker("alpha"), Self.worker("b")], at: Self.now).text.split(separator: "\n")
        #expect(
            lines == [
                "WORKER  BACKEND  MODELS  PHASE    LEASED  SEQS   STEP  PROMPT/S  GEN/S   KV   SEEN",
                "alpha   cpu      m,n     running      12     9  41 ms      1.2k    100  57%  2.0 s",
                "b       cpu      m,n     running      12     9  41 ms      1.2k    100  57%  2.0 s",
            ])
        #expect(WorkersReport([], at: Self.now).text == "no workers")
    }

    @Test func aPausedQueueSaysSo() {
        var overview = Self.overview(0)
        overview.isPaused = true
        overview.oldestQueuedAt = nil
        let report = QueueReport(overview, [], name: "q", at: Self.now)
        #expect(report.text == "q: PAUSED, 2 open batches, 0 requests queued, 0 running")
        #expect(report.json["paused"]?.bool == true)
        #expect(report.json["oldest_queued_seconds"]?.isNull == true)
    }

    @Test func whatNobodyServesIsNamed() {
        var worker = Self.worker("w")
        let queued = ["m": 5, "": 7, "x": 1200, "y": 1, "z": 0]
        let unserved = UnservedModels(queued, [worker])
        #expect(
            unserved.text == #"1,201 requests wait for models that no living worker serves: "x" (1,200), "y" (1); "#
                + "'millrace workers' shows what is served")
        #expect(unserved.json == ["x": 1200, "y": 1])
        worker.models = ["n", "*"]
        #expect(UnservedModels(queued, [worker]).text == nil)
        // One that is about to end takes nothing new.
        worker.phase = .draining
        #expect(
            UnservedModels(queued, [worker]).text
                == "1,213 requests wait, and no worker lives that would take them: start one "
                + "(millrace worker, millrace forwarder)")
        #expect(UnservedModels([:], []).text == nil)
        let many = Dictionary(uniqueKeysWithValues: (0..<9).map { ("m\($0)", 1) })
        #expect(UnservedModels(many, [Self.worker("w")]).text?.contains(#""m4" (1) and 4 more;"#) == true)

        let report = QueueReport(Self.overview(1), [Self.worker("w")], name: "q", at: Self.now)
        #expect(report.json["depths"]?.array?.first?["workers"]?.int == 1)
        #expect(report.text.split(separator: "\n")[1].contains(" WORKERS "))
        let alone = QueueReport(Self.overview(1), [], name: "q", at: Self.now)
        #expect(alone.json["unserved_models"]?[""]?.int == 1200)
    }

    @Test func usageIsSummedByWhatIsAskedFor() throws {
        func record(_ day: Int64, _ tenant: String, _ model: String, _ tokens: Int) -> UsageRecord {
            UsageRecord(
                day: Day(number: day), tenant: tenant, model: model, backend: "cpu", completed: 1, unsuccessful: 2,
                usage: Usage(promptTokens: tokens, completionTokens: 1, cachedTokens: 0))
        }
        // The last tenant's name is the first's to the eye, and not by its bytes.
        let records = [
            record(0, "\u{E9}", "m", 1), record(0, "b", "m", 10), record(1, "\u{E9}", "n", 100),
            record(1, "e\u{301}", "n", 1000),
        ]
        let byTenant = UsageReport(records, by: [.tenant])
        #expect(byTenant.rows.map(\.usage.promptTokens) == [101, 10, 1000])
        #expect(UsageReport(records, by: [.model, .day]).rows.map(\.usage.promptTokens) == [11, 1100])
        let all = UsageReport(records, by: [])
        #expect(all.rows.map(\.usage.promptTokens) == [1111])
        #expect(all.json.array?.first?["completed"]?.int == 4)
        #expect(byTenant.text.split(separator: "\n").last?.hasPrefix("all") == true)
        #expect(UsageReport([], by: [.day]).text == "no usage")
    }

    @Test func aPausedBatchSaysWhy() {
        var status = BatchStatus(
            id: BatchID("b"), specification: BatchSpecification(), state: .inProgress,
            counts: BatchCounts(total: 1, queued: 1), usage: Usage(), createdAt: Timestamp(milliseconds: 0),
            acceptedAt: Timestamp(milliseconds: 0), endedAt: nil)
        #expect(!status.text.contains("paused"))
        #expect(status.json["paused_for"]?.isNull == true)
        status.pausedFor = "the cap of $1.00 is reached"
        #expect(status.text.contains("\npaused    the cap of $1.00 is reached\n"))
        #expect(status.json["paused_for"]?.string == "the cap of $1.00 is reached")
    }

    @Test func costsAreShownWhereThereAreAny() throws {
        func record(_ tenant: String, _ cost: Int) -> UsageRecord {
            UsageRecord(
                day: Day(number: 0), tenant: tenant, model: "m", backend: "groq", completed: 1,
                usage: Usage(promptTokens: 1, costNanodollars: cost))
        }
        let report = UsageReport([record("a", 1_234_500_000_000), record("b", 34_000)], by: [.tenant])
        let lines = report.text.split(separator: "\n")
        #expect(lines[0].hasSuffix("COST"))
        #expect(lines[1].hasSuffix(" $1,234.50"))
        #expect(lines[2].hasSuffix(" $0.000034"))
        #expect(lines[3].hasSuffix(" $1,234.500034"))
        #expect(report.json.array?.map { $0["usage"]?["cost_usd"]?.double } == [1234.5, 0.000034])
        let free = UsageReport([record("a", 0)], by: [.tenant])
        #expect(!free.text.contains("COST"))
        #expect(free.json.array?.first?["usage"]?["cost_usd"]?.double == 0)
    }

    @Test(arguments: [
        (0, "$0.00"), (1, "$0.000000001"), (10_000_000, "$0.01"), (1_500_000_000, "$1.50"),
        (-1_500_000_000, "-$1.50"), (.max, "$9,223,372,036.854775807"), (.min, "-$9,223,372,036.854775808"),
    ] as [(Int, String)])
    func moneyIsShownExactly(_ nanodollars: Int, _ text: String) { #expect(nanodollars.dollars == text) }

    @Test func daysAreReadAndWritten() {
        #expect(Day("1970-01-01")?.number == 0)
        #expect(Day("2026-11-26")?.number == 20783)
        #expect(Day("2024-02-29")?.text == "2024-02-29")
        for wrong in ["2026-02-30", "2023-02-29", "26-11-01", "2026-11-1", "today", "", "2026-13-01", "2026-11-26T00"] {
            #expect(Day(wrong) == nil, "\(wrong)")
        }
    }
}
