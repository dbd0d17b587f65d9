import ArgumentParser
import Foundation
import JSON
import JobQueue
import Submitter

/// `millrace results BATCH`
struct ResultsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "results", abstract: "Write a batch's results, as they are now or as they come.",
        discussion: """
            Lines are as 'millrace run' writes them. A file is compared with the queue and completed: run the same \
            command again for what came since. Standard output gets each line once; --cursor goes on behind an earlier \
            one, whose place is told at the end on standard error.

            Exit codes: 0; with --follow also 1: the batch ended and some of its requests did not succeed; 2 there is \
            no such batch, or the output is somebody else's; 3 the queue or the output cannot be used; 64 wrong usage; \
            130 or 143 stopped by SIGINT or SIGTERM.
            """)

    @Argument(help: "The batch's id.") var batch: BatchID
    @OptionGroup(title: "Queue") var queue: QueueOptions

    @Option(name: [.short, .long], help: "Where results go; '-' for standard output.") var output = "-"
    @Option(help: "Where error lines go (default: OUTPUT with '.errors' before its extension).") var errors: String?
    @Option(help: "Order of lines: completion or input.") var order = ResultOrder.completion
    @Flag(help: "Go on until the batch has ended.") var follow = false
    @Option(help: ArgumentHelp("Begin behind this place.", valueName: "cursor")) var cursor: Int64?
    @Option(help: ArgumentHelp("At most so many lines.", valueName: "n")) var limit: Int?
    @Flag(help: "Print what was written as JSON to standard output.") var json = false
    @Flag(help: "No progress, and no word of where it ended.") var quiet = false

    func validate() throws {
        if json, output == "-" { throw ValidationError("--json needs a file for the results: -o FILE") }
        if output != "-", cursor != nil || limit != nil {
            throw ValidationError("a file gets all results: --cursor and --limit go with standard output only")
        }
        if let limit, limit < 1 { throw ValidationError("--limit \(limit) is below 1") }
        if let cursor, cursor < 0 { throw ValidationError("--cursor \(cursor) is below 0") }
    }

    func run() async throws {
        try await queue.withQueue { queue in
            let export = ResultsExport(
                batch: batch, places: ResultPlaces(output: output, errors: errors), order: order,
                cursor: cursor.map(ResultCursor.init), limit: limit, follows: follow)
            let report = try await export.run(
                on: queue, clock: .system, display: quiet || !follow ? NoProgress() : ConsoleOutput.progress())
            if json {
                print(report.json.text)
            } else if !quiet {
                let place = output == "-" ? report.cursor.map { "; cursor \($0.value)" } ?? "" : ""
                ConsoleOutput.note("\(report.lines) results, batch \(report.status.state.rawValue)\(place)")
            }
            if follow { try ExitStatus.end(of: report.status) }
        }
    }
}
