import JobQueue
import Testing

@testable import Submitter

@Suite struct ProgressTests {
    private func outcome(prompt: Int, generated: Int, cached: Int = 0) -> Outcome {
        Outcome(
            result: .response(statusCode: 200, body: []),
            usage: Usage(promptTokens: prompt, completionTokens: generated, cachedTokens: cached))
    }

    /// `done` of `total` requests of 10 + 30 tokens each, at an even pace of one a second.
    private func steady(done: Int, total: Int, sizes: [Int] = [30]) -> Progress {
        var progress = Progress(start: BatchCounts(total: total), usage: Usage(), atMs: 0)
        var usage = Usage()
        progress.observe(BatchCounts(total: total), usage, nil, atMs: 0)
        for request in 0..<done {
            let settled = outcome(prompt: 10, generated: sizes[request % sizes.count])
            usage += settled.usage
            progress.note(settled)
            progress.observe(
                BatchCounts(total: total, completed: request + 1), usage, nil, atMs: Int64(request + 1) * 1000)
        }
        return progress
    }

    @Test func measuresRatesOverAWindow() throws {
        let progress = steady(done: 100, total: 200)
        let rates = try #require(progress.rates)
        #expect(abs(rates.prompt - 10) < 0.5)
        #expect(abs(rates.generated - 30) < 1.5)
        var stalled = progress
        stalled.observe(progress.counts, Usage(promptTokens: 1000, completionTokens: 3000), nil, atMs: 160_000)
        #expect(try #require(stalled.rates).generated < 1)
    }

    @Test func estimatesTheEnd() throws {
        let estimate = try #require(steady(done: 100, total: 200).estimate)
        #expect(abs(estimate.seconds - 100) < 3)
        #expect(estimate.uncertaintySeconds < 1)
    }

    @Test func uncertaintyGrowsWithTheSpreadOfSizesAndShrinksWithKnowledge() throws {
        let even = try #require(steady(done: 20, total: 400).estimate)
        let uneven = try #require(steady(done: 20, total: 400, sizes: [2, 58]).estimate)
        let later = try #require(steady(done: 320, total: 700, sizes: [2, 58]).estimate)
        #expect(abs(uneven.seconds - even.seconds) < even.seconds * 0.1)
        #expect(uneven.uncertaintySeconds > even.uncertaintySeconds + 50)
        #expect(later.uncertaintySeconds < uneven.uncertaintySeconds * 0.7)
    }

    @Test func knowsNothingAtFirstAndNothingIsLeftAtLast() {
        #expect(steady(done: 0, total: 10).rates == nil)
        #expect(steady(done: 0, total: 10).estimate == nil)
        #expect(steady(done: 2, total: 10).estimate == nil)
        #expect(steady(done: 3, total: 10).estimate != nil)
        #expect(steady(done: 10, total: 10).estimate == nil)
        #expect(steady(done: 10, total: 10).isOver)
    }

    @Test func aMeterShowsSpeedBeforeAnythingHasFinished() throws {
        var progress = Progress(start: BatchCounts(total: 8, completed: 4), usage: Usage(), atMs: 0)
        for _ in 0..<4 { progress.note(outcome(prompt: 50, generated: 50)) }
        let counts = BatchCounts(total: 8, leased: 4, completed: 4)
        progress.observe(counts, Usage(), WorkMeter(), atMs: 5000)
        progress.observe(counts, Usage(), WorkMeter(promptTokens: 200, generatedTokens: 0), atMs: 6000)
        progress.observe(counts, Usage(), WorkMeter(promptTokens: 200, generatedTokens: 100), atMs: 7000)
        // Loading, until the first token, is not speed.
        #expect(progress.rates == Progress.Rates(prompt: 100, generated: 50))
        // 400 tokens for four requests, of which 300 are done, at 150 a second.
        #expect(abs(try #require(progress.estimate).seconds - 0.667) < 0.01)
    }

    /// Of requests that end at very different lengths the short ones end first; the long ones then go on for
    /// a while.
    @Test func stragglersAreNotAlmostDone() throws {
        var progress = Progress(start: BatchCounts(total: 12), usage: Usage(), atMs: 0)
        var usage = Usage()
        for _ in 0..<8 {
            let short = outcome(prompt: 0, generated: 10)
            usage += short.usage
            progress.note(short)
        }
        let counts = BatchCounts(total: 12, leased: 4, completed: 8)
        progress.observe(counts, usage, WorkMeter(promptTokens: 0, generatedTokens: 480), atMs: 24_000)
        // Four that have 100 tokens each, at 20 a second.
        let estimate = try #require(progress.estimate)
        #expect(estimate.seconds > 4)
        #expect(estimate.uncertaintySeconds > 2)
    }

    @Test func refusedLinesAreNoWorkDone() throws {
        var progress = Progress(start: BatchCounts(total: 100, failed: 90), usage: Usage(), atMs: 0)
        for _ in 0..<90 { progress.note(.failure(OutcomeError(code: "invalid_json", message: ""))) }
        progress.observe(BatchCounts(total: 100, failed: 90), Usage(), nil, atMs: 1000)
        #expect(progress.estimate == nil)
        #expect(progress.errorCount == 90)
    }

    @Test func linesFitTheTerminal() {
        let progress = steady(done: 100, total: 200)
        let line = ProgressLine(progress)
        #expect(line.plain == "100/200 (50%), prompt 10 tok/s, generated 30 tok/s, ETA 1m40s ± 1 s")
        for width in 0...140 {
            for blocks in [true, false] {
                let text = line.terminal(width: width, blocks: blocks)
                #expect(text.count <= width)
            }
        }
        let wide = line.terminal(width: 140, blocks: false)
        #expect(wide.hasPrefix("[##############..............]  100/200 (50%)  prompt"))
        #expect(line.terminal(width: 140, blocks: true).hasPrefix("███████████████░░░░░░░░░░░░░░░  100/200"))
    }

    @Test func loadingIsShownUntilThereAreTokens() {
        var progress = Progress(start: BatchCounts(total: 10), usage: Usage(), atMs: 0)
        let counts = BatchCounts(total: 10, queued: 10)
        progress.observe(counts, Usage(), WorkMeter(loadedShare: 0.437), atMs: 1000)
        #expect(ProgressLine(progress).plain == "0/10 (0%), loading the model: 43%")
        progress.observe(counts, Usage(), WorkMeter(), atMs: 2000)
        #expect(ProgressLine(progress).plain == "0/10 (0%), starting")
    }

    @Test func terminalsAreDrawnTenTimesASecondAtMost() {
        var written: [String] = []
        let display = TerminalProgress(blocks: false, width: { 60 }, write: { written.append($0) })
        var progress = Progress(start: BatchCounts(total: 10), usage: Usage(), atMs: 0)
        for time in stride(from: Int64(0), through: 1000, by: 10) {
            progress.observe(BatchCounts(total: 10, queued: 10), Usage(), nil, atMs: time)
            display.show(progress)
        }
        #expect(written.count == 11)
        #expect(written.allSatisfy { $0.hasPrefix("\r") && $0.hasSuffix("\u{1B}[K") && $0.count <= 60 + 4 })
        display.end()
        #expect(written.last == "\r\u{1B}[K")
        display.end()
        #expect(written.count == 12)
    }

    @Test func logsGetALineNowAndThenAndOneAtTheEnd() {
        var written: [String] = []
        let display = PlainProgress(write: { written.append($0) })
        var progress = Progress(start: BatchCounts(total: 10), usage: Usage(), atMs: 0)
        for time in stride(from: Int64(0), through: 25_000, by: 50) {
            progress.observe(BatchCounts(total: 10, completed: Int(time / 2500)), Usage(), nil, atMs: time)
            display.show(progress)
        }
        #expect(written.count == 2)
        display.end()
        display.end()
        #expect(written.count == 3)
        #expect(written.last?.hasPrefix("10/10 (100%)") == true)
    }

    @Test func figuresAreShort() {
        #expect([0, 999, 1000, 1_234_567].map(\.grouped) == ["0", "999", "1,000", "1,234,567"])
        #expect([0.04, 4.24, 9.96, 345.4, 1234, 99_940, 123_456, 4_200_000].map(\.brief)
            == ["0.0", "4.2", "10", "345", "1.2k", "99.9k", "123k", "4.2M"])
        let durations: [(Double, String)] = [
            (0, "0.0 s"), (4.24, "4.2 s"), (42.4, "42 s"), (185, "3m05s"), (7380, "2h03m"), (446_400, "5d04h"),
        ]
        for (seconds, text) in durations { #expect(Duration.seconds(seconds).text == text) }
    }
}
