import ArgumentParser
import Foundation
import JobQueue
import Logging
import Submitter
import Worker

/// `millrace worker --model MODEL`
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Serve a queue with a model on this machine, until told to stop.",
        discussion: """
            Leases requests as it has room for them, settles them, and takes over what dead workers left. A queue that \
            is away for a while is waited for. SIGTERM or SIGINT drains: what runs may finish within --drain-timeout, \
            the rest goes back unpenalised; a second one hands everything back at once. SIGHUP reads --config again.

            --config holds the same options, one 'name = value' a line, without dashes; the command line goes first.

            Exit codes: 0 stopped in good order; 2 the configuration is wrong; 3 the model, the device or the queue \
            cannot be used; 64 wrong usage. A queue that does not answer does not end it.
            """)

    @Option(help: ArgumentHelp("File with options.", valueName: "file")) var config: String?
    @OptionGroup var options: WorkerOptions

    func run() async throws {
        do {
            try await serve()
        } catch {
            throw ExitStatus.end(error)
        }
    }

    private func serve() async throws {
        let source = WorkerConfiguration(path: config, arguments: Array(CommandLine.arguments.dropFirst(2)))
        let read = try source.read()
        let options = read.options
        let log = options.log.logger("worker")
        let address = try options.queue.address()
        let model = try options.requireModel()
        let local: LocalModel
        do {
            local = try LocalModel(path: ModelOptions.resolve(model), name: options.names(model).first)
        } catch {
            throw CommandFailure.store("\(error)")
        }
        let notifier = ServiceNotifier(environment: ProcessInfo.processInfo.environment, processID: getpid())
        let service = WorkerService(
            options.settings(model), identity: options.identity(model), notifier: notifier, now: RunClock.system.now,
            pause: RunClock.system.pause, log: log,
            openQueue: { () async throws(JobQueueError) in try await address.open() },
            start: { meter, onEvent in
                try await local.start(
                    options.modelSettings, meter: meter, onRemark: { log.notice("\($0)") }, onEvent: onEvent)
            })
        let reloader = ConfigurationReloader(source, read, service: service, model: model, log: log)
        let signals = StopSignals(
            onHangup: { reloader.reload() },
            onSignal: { _, _ in if !service.stop() { _exit(0) } })
        defer { withExtendedLifetime(signals) {} }
        log.notice(
            "starting",
            metadata: [
                "model": "\(local.name)", "queue": "\(address)", "worker": "\(options.identity(model).name)",
            ])
        do {
            try await service.run()
        } catch {
            let reason = "\(error)"
            log.critical("cannot go on", metadata: ["reason": "\(reason)"])
            notifier.failed(reason)
            // The engine's thread may hang in a step for ever: nothing of it may be waited for.
            ConsoleOutput.note("millrace: \(reason)")
            _exit(ExitStatus.unusable)
        }
    }
}

/// Reads the configuration again when told to, and says what of it cannot be taken over while the worker runs.
private final class ConfigurationReloader: Sendable {
    private let source: WorkerConfiguration
    private let atStart: WorkerConfiguration.Reading
    private let service: WorkerService
    private let model: String
    private let log: Logger

    init(
        _ source: WorkerConfiguration, _ read: WorkerConfiguration.Reading, service: WorkerService, model: String,
        log: Logger
    ) {
        self.source = source
        atStart = read
        self.service = service
        self.model = model
        self.log = log
    }

    func reload() {
        guard source.path != nil else {
            return log.warning("nothing to read again: the worker was started without --config")
        }
        do {
            let read = try source.read()
            let fixed = atStart.file?.changedNames(in: read.file ?? atStart.file!) ?? []
            let late = fixed.filter { !WorkerOptions.reloadable.contains($0) }
            if !late.isEmpty {
                log.warning(
                    "some of the configuration is taken over at the next start only",
                    metadata: ["options": "\(late.joined(separator: ", "))"])
            }
            service.reload(read.options.settings(model))
            log.notice("configuration read again")
        } catch {
            log.error("the configuration was not read again; the old one stays", metadata: ["reason": "\(error)"])
        }
    }
}
