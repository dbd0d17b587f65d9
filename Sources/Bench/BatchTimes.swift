import JSON

/// One run of a bulk job, from opening the model to the last result.
package struct BatchTimes: Sendable, Equatable {
    package var seconds: Double
    package var firstResultSeconds: Double
    package var requests: Int
    /// Those that the prefix cache had are not among them.
    package var promptTokens: Int
    package var generatedTokens: Int
    /// Of the process, so far.
    package var peakBytes: Int
    /// How many results there were, and when.
    package var progress: [Point] = []

    package struct Point: Sendable, Equatable {
        package var seconds: Double
        package var requests: Int

        package init(seconds: Double, requests: Int) {
            self.seconds = seconds
            self.requests = requests
        }
    }

    package init(
        seconds: Double, firstResultSeconds: Double, requests: Int, promptTokens: Int, generatedTokens: Int,
        peakBytes: Int, progress: [Point] = []
    ) {
        self.seconds = seconds
        self.firstResultSeconds = firstResultSeconds
        self.requests = requests
        self.promptTokens = promptTokens
        self.generatedTokens = generatedTokens
        self.peakBytes = peakBytes
        self.progress = progress
    }

    /// A row for each run, and their median where there are several.
    package static func report(_ runs: [BatchTimes], facts: [(name: String, value: JSON)]) -> Report {
        var report = Report(
            title: "bulk job", facts: facts,
            columns: [
                Report.Column("run", "RUN"), Report.Column("seconds", "SECONDS", digits: 2),
                Report.Column("first_result_seconds", "FIRST RESULT", digits: 2),
                Report.Column("requests_per_second", "REQUESTS/S", digits: 2),
                Report.Column("prompt_tokens_per_second", "PROMPT TOK/S", digits: 0),
                Report.Column("generated_tokens_per_second", "GENERATED TOK/S", digits: 0),
                Report.Column("peak_mib", "PEAK MIB", digits: 0),
            ])
        func add(_ name: String, _ figure: (KeyPath<BatchTimes, Double>) -> Double) {
            report.add([
                .text(name), .number(figure(\.seconds)), .number(figure(\.firstResultSeconds)),
                .number(figure(\.requestsPerSecond)), .number(figure(\.promptRate)),
                .number(figure(\.generatedRate)), .number(figure(\.peakMiB)),
            ])
        }
        for (number, run) in runs.enumerated() { add("\(number + 1)") { run[keyPath: $0] } }
        if runs.count > 1 { add("median") { path in Samples(runs.map { $0[keyPath: path] }).median } }
        return report
    }

    package static func plot(_ runs: [BatchTimes], title: String) -> Plot {
        Plot(
            title: title, x: Plot.Axis("seconds", isLogarithmic: false),
            y: Plot.Axis("results", isLogarithmic: false),
            series: runs.enumerated().map { number, run in
                Plot.Series(
                    "run \(number + 1)", run.progress.map { (x: $0.seconds, y: Double($0.requests)) })
            })
    }

    private func rate(_ count: Int) -> Double { seconds > 0 ? Double(count) / seconds : 0 }
    private var requestsPerSecond: Double { rate(requests) }
    private var promptRate: Double { rate(promptTokens) }
    private var generatedRate: Double { rate(generatedTokens) }
    private var peakMiB: Double { Double(peakBytes) / 0x1p20 }
}
