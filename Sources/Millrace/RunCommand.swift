import ArgumentParser
import Foundation
import JSON
import JobQueue
import Models
import Submitter
import Synchronization
import Worker

/// `millrace run INPUT -o OUTPUT`
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Complete a file of prompts with a model on this machine, or an upstream.",
        discussion: """
            INPUT holds OpenAI batch lines, lines of {"prompt": …} or {"messages": […]} with optional \
            parameters, or, as .txt, one prompt a line; '-' is standard input. OUTPUT gets a line for each request as \
            it finishes. Kill it at any moment and run the same command again: it goes on where it was.

            Exit codes: 0 all requests completed; 1 finished, but some requests failed (see the errors file); 2 the \
            input cannot be used, or differs from the run that OUTPUT belongs to; 3 the model, the state or the output \
            cannot be used; 64 wrong usage; 130 or 143 stopped by SIGINT or SIGTERM (run again to go on).
            """)

    @Argument(help: "Batch file, or '-' for standard input.") var input: String

    @Option(name: [.short, .long], help: "Where results go; '-' for standard output.") var output: String

    @Option(help: "Where error lines go (default: OUTPUT with '.errors' before its extension).") var errors: String?

    @Option(
        help: ArgumentHelp(
            "A GGUF file, a Hugging Face folder, or the name of a fetched model (default: smollm2). With an upstream: "
                + "its name there (default: as each request says)."))
    var model: String?

    @Option(help: "Order of OUTPUT's lines: completion or input.") var order = ResultOrder.completion

    @Flag(help: "Forget what an earlier run has done, and start over.") var restart = false

    @Flag(help: "No progress and no summary.") var quiet = false

    @Flag(help: "Print the summary as JSON to standard output.") var json = false

    @Option(help: ArgumentHelp("Where the run's state is kept (default: OUTPUT.millrace).", valueName: "folder"))
    var state: String?

    @OptionGroup(title: "Backend") var upstream: BackendOptions
    @OptionGroup(title: "Defaults for requests that do not say") var defaults: DefaultOptions
    @OptionGroup(title: "Model") var options: ModelOptions
    @OptionGroup(title: "Batching") var batching: BatchingOptions

    func validate() throws {
        if json, output == "-" { throw ValidationError("--json and '-o -' would both write to standard output") }
    }

    func run() async throws {
        do {
            let outcome = try await complete()
            if !outcome.summary.isFinished { throw ExitCode(outcome.signalCode ?? ExitStatus.unusable) }
            if !outcome.summary.allCompleted { throw ExitCode(ExitStatus.someFailed) }
        } catch let error as RunError {
            throw ExitStatus.report(error)
        }
    }

    private func complete() async throws(RunError) -> (summary: Summary, signalCode: Int32?) {
        if !upstream.isLocal { return try await forward() }
        let model = model ?? "smollm2"
        let local: LocalModel
        do {
            local = try LocalModel(path: ModelOptions.resolve(model), name: ModelOptions.shortName(model))
        } catch {
            throw .worker("\(error)")
        }
        let loading = LoadMeter()
        let meter = EngineMeter(loading)
        let isQuiet = quiet
        let work = LocalWork(
            model: local, settings: batching.applied(to: options.settings), loading: loading,
            onRemark: { if !isQuiet { ConsoleOutput.note($0) } }, onStart: meter.attach)
        var settings = ["dtype": options.dtype]
        // Widened and stored weights are the same numbers.
        if options.weights == .int8 { settings["weights"] = options.weights.rawValue }
        if let length = options.maxModelLen { settings["max_model_len"] = String(length) }
        if options.kvCacheDtype != "auto" { settings["kv_cache_dtype"] = options.kvCacheDtype }
        let identity = ModelIdentity(
            name: local.name, fingerprint: local.checkpoint.fingerprint, settings: settings)
        return try await complete(identity, meter: meter.read, stop: work.inbox.stop, work: work.run)
    }

    private func forward() async throws(RunError) -> (summary: Summary, signalCode: Int32?) {
        let target: UpstreamTarget
        do {
            try ProcessSecrecy.begin()
            target = try upstream.target()
        } catch {
            throw .worker("\(error)")
        }
        let work = ForwardedWork(target: target, model: model, isQuiet: quiet)
        let identity = ModelIdentity(
            name: model ?? "", fingerprint: target.baseURL, settings: ["backend": upstream.backend])
        let ended = try await complete(identity, meter: work.meter, stop: work.inbox.stop, work: work.run)
        if let duplicates = work.duplicates, !quiet { ConsoleOutput.note(duplicates) }
        return ended
    }

    private func complete(
        _ identity: ModelIdentity, meter: @escaping @Sendable () -> WorkMeter, stop: @escaping @Sendable () -> Void,
        work: @escaping RunSession.Work
    ) async throws(RunError) -> (summary: Summary, signalCode: Int32?) {
        let hasBegun = Atomic(false)
        let signals = StopSignals { count, status in
            // Before the worker runs nothing is lost by ending at once.
            guard hasBegun.load(ordering: .acquiring) else { _exit(status) }
            if count == 1, !quiet { ConsoleOutput.note("stopping; what runs may finish (again to stop at once)") }
            stop()
        }
        let configuration = RunConfiguration(
            input: input, places: ResultPlaces(output: output, errors: errors), stateFolder: state, order: order,
            restarts: restart, defaults: defaults.parameters, model: identity)
        let session = RunSession(
            configuration, clock: .system, openQueue: { try SQLiteQueue(path: $0, exclusive: true) })
        let summary = try await session.run(
            display: quiet ? NoProgress() : ConsoleOutput.progress(), meter: meter,
            work: { queue, batch in
                hasBegun.store(true, ordering: .releasing)
                return try await work(queue, batch)
            })
        if json { print(summary.json.text) } else if !quiet { ConsoleOutput.note(summary.text) }
        return (summary, signals.exitCode)
    }
}

extension ResultOrder: ExpressibleByArgument {}

/// How a run's end shows in the exit status.
enum ExitStatus {
    static let someFailed: Int32 = 1
    static let input: Int32 = 2
    static let unusable: Int32 = 3

    /// Prints the message; the status tells who can mend it.
    static func report(_ error: RunError) -> ExitCode {
        ConsoleOutput.note("millrace: \(error)")
        switch error {
        case .input, .changed, .foreignOutput: return ExitCode(input)
        case .output, .queue, .busy, .worker: return ExitCode(unusable)
        }
    }
}

/// For the progress line: how far the model is loaded, then the engine's counts.
final class EngineMeter: Sendable {
    private let engine = Mutex<Engine?>(nil)
    private let loading: LoadMeter

    init(_ loading: LoadMeter) { self.loading = loading }

    func attach(_ engine: Engine) { self.engine.withLock { $0 = engine } }

    func read() -> WorkMeter {
        guard let snapshot = engine.withLock({ $0 })?.snapshot else {
            return WorkMeter(loadedShare: loading.share)
        }
        return WorkMeter(promptTokens: snapshot.promptTokens, generatedTokens: snapshot.generatedTokens)
    }
}
