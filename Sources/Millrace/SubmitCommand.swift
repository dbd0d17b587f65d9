import ArgumentParser
import Foundation
import JSON
import JobQueue
import Submitter

/// `millrace submit FILE`
struct SubmitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit", abstract: "Queue a file of prompts for workers, and print the batch's id.",
        discussion: """
            FILE is as for 'millrace run'. Once the id is printed the queue has the batch, durably. A submit that was \
            cut off is repeated as it was: it goes on, and never queues a request twice. The same contents with the \
            same defaults are the same batch of a tenant, so a second submit queues nothing, unless --anew.

            Exit codes: 0 queued (bad lines too: they are errors among the results); 2 the input or the address cannot \
            be used; 3 the queue cannot be used; 64 wrong usage.
            """)

    @Argument(help: "Batch file, or '-' for standard input.") var input: String

    @OptionGroup(title: "Queue") var queue: QueueOptions

    @Option(help: "Who is accounted, and scheduled fairly.") var tenant = "default"
    @Option(help: ArgumentHelp("Larger goes first.", valueName: "n")) var priority = 0

    @Option(help: ArgumentHelp("What is not done this long after now expires, as 24h.", valueName: "time"))
    var window: DurationOption?

    @Option(help: ArgumentHelp("The batch is forgotten this long after its end, as 7d.", valueName: "time"))
    var retention: DurationOption?

    @Option(help: ArgumentHelp("Attempts of a request before it is a dead letter.", valueName: "n"))
    var maxAttempts = 3

    @Option(help: ArgumentHelp("Kept with the batch; may be repeated.", valueName: "name=value"))
    var metadata: [String] = []

    @Option(
        help: ArgumentHelp(
            "Submits with the same key are the same batch (default: made of the contents and the defaults).",
            valueName: "key"))
    var idempotencyKey: String?

    @Flag(help: "A new batch, even if the same contents were submitted before.") var anew = false

    @Option(help: "For requests that name no model.") var model: String?
    @Flag(help: "Print JSON.") var json = false
    @Flag(help: "Print nothing but the id.") var quiet = false

    @OptionGroup(title: "Defaults for requests that do not say") var defaults: DefaultOptions

    func validate() throws {
        for pair in metadata where !pair.contains("=") || pair.hasPrefix("=") {
            throw ValidationError("--metadata '\(pair)' is not name=value")
        }
        if anew, idempotencyKey != nil {
            throw ValidationError("--anew and --idempotency-key contradict each other; give one")
        }
        if idempotencyKey == "" { throw ValidationError("--idempotency-key is empty") }
        guard (1...1000).contains(maxAttempts) else {
            throw ValidationError("--max-attempts \(maxAttempts) is not from 1 to 1000")
        }
    }

    func run() async throws {
        try await queue.withQueue { queue in
            let report: Submission.Report
            do {
                report = try await submission.run(on: queue, now: RunClock.system.now)
            } catch JobQueueError.unavailable(let reason) {
                throw JobQueueError.unavailable(
                    "\(reason). The batch was not accepted; repeat the same command and it goes on where it was")
            }
            let unserved = try await UnservedModels.of(report.status.id, on: queue, at: RunClock.system.now())
            if json { return print(report.json.with(unserved).text) }
            print(report.status.id)
            if !quiet {
                ConsoleOutput.note(report.text)
                ConsoleOutput.note(unserved)
            }
        }
    }

    private var submission: Submission {
        let pairs = metadata.map { pair in
            let equals = pair.firstIndex(of: "=") ?? pair.endIndex
            return (String(pair[..<equals]), String(pair[equals...].dropFirst()))
        }
        return Submission(
            input: input,
            specification: BatchSpecification(
                tenant: tenant, priority: priority, completionWindowMs: window?.ms, idempotencyKey: idempotencyKey,
                maxAttempts: maxAttempts, metadata: Dictionary(pairs, uniquingKeysWith: { $1 }),
                retentionMs: retention?.ms),
            defaults: defaults.parameters.with("model", model.map(JSON.string)), isAnew: anew)
    }
}
