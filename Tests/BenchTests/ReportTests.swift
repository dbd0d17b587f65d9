import Bench
import JSON
import Testing

@Suite struct ReportTests {
    private static var report: Report {
        var report = Report(
            title: "steps", facts: [("device", "cpu")],
            columns: [
                Report.Column("kernel", "KERNEL"), Report.Column("rows", "ROWS"),
                Report.Column("milliseconds", "MS", digits: 2),
            ])
        report.add([.text("down"), .count(4), .number(1.005)])
        report.add([.text("gate, up"), .count(256), .none])
        return report
    }

    @Test func figuresStandToTheRight() {
        #expect(
            Self.report.text == """
                steps
                KERNEL    ROWS    MS
                down         4  1.00
                gate, up   256     -
                """)
    }

    @Test func jsonHasEveryRowUnderItsKeys() {
        #expect(
            Self.report.json.text
                == #"{"title":"steps","device":"cpu","rows":[{"kernel":"down","rows":4,"milliseconds":1.005},"#
                + #"{"kernel":"gate, up","rows":256,"milliseconds":null}]}"#)
    }

    @Test(arguments: [
        (0.0, 1, "0.0"), (-0.04, 1, "0.0"), (-0.05, 1, "-0.1"), (12.5, 0, "13"), (99.996, 2, "100.00"),
        (1.07, 2, "1.07"), (.infinity, 1, "inf"),
    ])
    func decimals(_ value: Double, _ digits: Int, _ text: String) {
        var report = Report(title: "", columns: [Report.Column("a", "A", digits: digits)])
        report.add([.number(value)])
        #expect(report.text.split(separator: "\n").last.map(String.init) == text)
    }

    @Test func runsAndTheirMedian() {
        let runs = [2.0, 4.0, 8.0].map {
            BatchTimes(
                seconds: $0, firstResultSeconds: $0 / 4, requests: 16, promptTokens: 800, generatedTokens: 400,
                peakBytes: 3 << 20)
        }
        let lines = BatchTimes.report(runs, facts: []).text.split(separator: "\n").map {
            $0.split(separator: " ").map(String.init)
        }
        #expect(lines[2] == ["1", "2.00", "0.50", "8.00", "400", "200", "3"])
        #expect(lines[5] == ["median", "4.00", "1.00", "4.00", "200", "100", "3"])
        #expect(BatchTimes.report([runs[0]], facts: []).rows.count == 1)
    }
}
