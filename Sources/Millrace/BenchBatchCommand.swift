import ArgumentParser
import Bench
import Foundation
import JSON
import JobQueue
import Models
import Submitter
import Synchronization
import Worker

/// `millrace bench batch`
struct BenchBatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch", abstract: "Time a bulk job, from opening the model to the last result.",
        discussion: """
            The whole of 'millrace run': the queue in SQLite, the model's loading, the results in a file (of a \
            temporary folder). Without --input the prompts are random tokens, 16 to 300 of them.
            """)

    @Option(help: ArgumentHelp("A batch file to time instead.", valueName: "file")) var input: String?
    @Option(help: ArgumentHelp("Requests, without --input.", valueName: "n")) var requests = 200
    @Option(help: ArgumentHelp("New tokens for each, without --input.", valueName: "n")) var newTokens = 64
    @Option(help: ArgumentHelp("Times that the job is run.", valueName: "n")) var runs = 1
    @Option(help: ArgumentHelp("A GGUF file, a folder, or the name of a fetched model.", valueName: "model"))
    var model = "smollm2"
    @OptionGroup var options: ModelOptions
    @OptionGroup var batching: BatchingOptions
    @OptionGroup var output: BenchOutput

    func validate() throws {
        for (name, value) in [("requests", requests), ("new-tokens", newTokens), ("runs", runs)]
        where !(1...1_000_000).contains(value) {
            throw ValidationError("--\(name) \(value) is not from 1 to 1000000")
        }
    }

    func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var taken: [BatchTimes] = []
        for number in 1...runs {
            output.note("run \(number) of \(runs)")
            taken.append(try await time(in: folder, number))
        }
        let facts: [(name: String, value: JSON)] = [
            ("model", .string(model)), ("device", .string(options.device.name)),
            ("requests", .int(Int64(taken[0].requests))), ("prompt_tokens", .int(Int64(taken[0].promptTokens))),
            ("generated_tokens", .int(Int64(taken[0].generatedTokens))),
        ]
        var report = BatchTimes.report(taken, facts: facts)
        report.title =
            "\(model) on \(options.device.name): \(taken[0].requests) requests, \(taken[0].promptTokens) prompt and "
            + "\(taken[0].generatedTokens) generated tokens"
        try output.put(report) { BatchTimes.plot(taken, title: "\(model), \(taken[0].requests) requests") }
    }

    private func time(in folder: URL, _ number: Int) async throws -> BatchTimes {
        let display = TimedProgress()
        let local = try LocalModel(path: ModelOptions.resolve(model), name: ModelOptions.shortName(model))
        let path = try input ?? jobFile(in: folder, vocabulary: local.tokenizer.vocabularySize)
        let work = LocalWork(
            model: local, settings: batching.applied(to: options.settings), loading: LoadMeter(),
            onRemark: { ConsoleOutput.note($0) }, onStart: { _ in })
        let configuration = RunConfiguration(
            input: path, places: ResultPlaces(output: folder.appending(path: "results-\(number).jsonl").path),
            model: ModelIdentity(name: local.name, fingerprint: local.checkpoint.fingerprint, settings: [:]))
        let session = RunSession(
            configuration, clock: .system, openQueue: { try SQLiteQueue(path: $0, exclusive: true) })
        let summary: Summary
        do {
            summary = try await session.run(display: display, work: work.run)
        } catch {
            throw ExitStatus.report(error)
        }
        guard summary.allCompleted else {
            ConsoleOutput.note("millrace: \(summary.counts.failed) of \(summary.counts.total) requests failed")
            throw ExitCode(ExitStatus.someFailed)
        }
        let usage = summary.thisRun.usage
        return display.times(
            requests: summary.counts.total, promptTokens: usage.promptTokens - usage.cachedTokens,
            generatedTokens: usage.completionTokens)
    }

    private func jobFile(in folder: URL, vocabulary: Int) throws -> String {
        let job = BulkJob(requests: requests, newTokens: newTokens, vocabulary: vocabulary)
        let file = folder.appending(path: "job.jsonl")
        try Data((job.lines.joined(separator: "\n") + "\n").utf8).write(to: file)
        return file.path
    }
}

/// Notes when results came, for a plot instead of for people.
private final class TimedProgress: ProgressDisplay {
    private let start = ContinuousClock.now
    private var points: [BatchTimes.Point] = []

    func show(_ progress: Submitter.Progress) {
        let settled = progress.counts.settled
        guard settled > points.last?.requests ?? 0 else { return }
        points.append(BatchTimes.Point(seconds: elapsed, requests: settled))
    }

    func note(_ text: String) { ConsoleOutput.note(text) }

    func end() {}

    private var elapsed: Double { (ContinuousClock.now - start) / .seconds(1) }

    func times(requests: Int, promptTokens: Int, generatedTokens: Int) -> BatchTimes {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = elapsed
        return BatchTimes(
            seconds: seconds, firstResultSeconds: points.first?.seconds ?? seconds, requests: requests,
            promptTokens: promptTokens, generatedTokens: generatedTokens, peakBytes: usage.ru_maxrss << 10,
            progress: points)
    }
}
