import ArgumentParser
import Foundation
import JobQueue
import Submitter
import Worker

/// What a worker may be told, on the command line or in its configuration file.
struct WorkerOptions: ParsableArguments {
    @Option(help: "A GGUF file, a Hugging Face folder, or the name of a fetched model.") var model: String?

    @Option(
        help: ArgumentHelp(
            "Names that requests have for the model, with commas; '*' serves requests for any (default: the model's "
                + "own). The first is what responses say.", valueName: "names"))
    var servedModelName: String?

    @Option(help: ArgumentHelp("Name of the worker (default: host, model and process).", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("How long a lease lasts without renewal, as 60s.", valueName: "time"))
    var lease = DurationOption(ms: WorkerSettings.shared.leaseMs)

    @Option(help: ArgumentHelp("How long what runs may go on at a stop, as 30s.", valueName: "time"))
    var drainTimeout = DurationOption(ms: WorkerSettings.shared.drainMs)

    @Option(help: ArgumentHelp("A step that takes longer ends the worker, as 10m.", valueName: "time"))
    var stepTimeout = DurationOption(ms: WorkerSettings.shared.stepLimitMs ?? 600_000)

    @OptionGroup(title: "Queue") var queue: QueueOptions
    @OptionGroup(title: "Model") var options: ModelOptions
    @OptionGroup(title: "Batching") var batching: BatchingOptions
    @OptionGroup(title: "Logging") var log: LogOptions

    /// What a running worker takes over from a changed configuration.
    static let reloadable: Set = ["served-model-name", "lease", "drain-timeout", "step-timeout"]

    func validate() throws {
        if lease.ms < 3_000 { throw ValidationError("--lease is below 3s, which no renewal could keep up with") }
        if let servedModelName, !servedModelName.split(separator: ",").contains(where: { $0 != "*" }),
            servedModelName != "*"
        {
            throw ValidationError("--served-model-name '\(servedModelName)' names nothing")
        }
    }

    func requireModel() throws -> String {
        guard let model else {
            throw CommandFailure.input("no model: give --model, or 'model = …' in the configuration")
        }
        return model
    }

    /// Requests' names for the model, `*` left out.
    func names(_ model: String) -> [String] {
        let given = (servedModelName ?? "").split(separator: ",").map(String.init).filter { $0 != "*" }
        return given.isEmpty ? [ModelOptions.shortName(model)] : given
    }

    private var servesAll: Bool { (servedModelName ?? "").split(separator: ",").contains("*") }

    func settings(_ model: String) -> WorkerSettings {
        var settings = WorkerSettings.shared
        settings.models = servesAll ? nil : names(model)
        settings.leaseMs = lease.ms
        settings.drainMs = drainTimeout.ms
        settings.stepLimitMs = stepTimeout.ms
        return settings
    }

    var modelSettings: LocalModel.Settings { batching.applied(to: options.settings) }

    func identity(_ model: String) -> WorkerIdentity {
        let host = ProcessInfo.processInfo.hostName
        let process = getpid()
        return WorkerIdentity(
            name: name ?? "\(host)/\(ModelOptions.shortName(model))/\(process)", host: host,
            processID: Int(process), backend: options.device.name, startedAt: RunClock.system.now())
    }
}

/// A worker's options out of its configuration file and its command line.
struct WorkerConfiguration: Sendable {
    struct Reading: Sendable {
        var options: WorkerOptions
        var file: ConfigurationFile?
    }

    /// Nil: there is no file.
    let path: String?
    /// The command line behind `worker`, without `--config`.
    private let arguments: [String]

    init(path: String?, arguments: [String]) {
        self.path = path
        self.arguments = Self.withoutConfig(arguments)
    }

    private static func withoutConfig(_ arguments: [String]) -> [String] {
        var kept: [String] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--config" {
                _ = rest.popFirst()
            } else if !argument.hasPrefix("--config=") {
                kept.append(argument)
            }
        }
        return kept
    }

    /// - Throws: `CommandFailure` that names file and line.
    func read() throws -> Reading {
        guard let path else { return Reading(options: try parse([]), file: nil) }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw CommandFailure.input("\(path) cannot be read as a text file")
        }
        let file: ConfigurationFile
        do {
            file = try ConfigurationFile(text, path: path)
        } catch {
            throw CommandFailure.input("\(error)")
        }
        // One by one first, so that a fault is known by its line.
        for entry in file.entries {
            do {
                _ = try WorkerOptions.parse([entry.argument])
            } catch {
                let fault = ConfigurationFile.Fault(path: path, line: entry.line, WorkerOptions.message(for: error))
                throw CommandFailure.input("\(fault)")
            }
        }
        return Reading(options: try parse(file.entries.map(\.argument)), file: file)
    }

    private func parse(_ fromFile: [String]) throws -> WorkerOptions {
        do {
            return try WorkerOptions.parse(fromFile + arguments)
        } catch {
            throw CommandFailure.input(WorkerOptions.message(for: error))
        }
    }
}
