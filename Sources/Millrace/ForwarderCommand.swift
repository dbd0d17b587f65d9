import ArgumentParser
import Foundation
import JobQueue
import Logging
import Submitter
import Worker

/// `millrace forwarder --queue ADDRESS --config FILE`
struct ForwarderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forwarder", abstract: "Forward a queue's requests to upstreams, as a routes file says.",
        discussion: """
            Leases requests whose route leads to an upstream, sends them at the pace of its limits, and settles what \
            comes back. A route whose key or model does not work is parked with one message; its requests stay queued, \
            and one of them tries again every five minutes. docs/upstreams.md describes retries and limits, \
            docs/routes.md the file.

            SIGHUP reads the file and the keys that it names again; a file that is wrong is not taken up, and the old \
            one stays in force. The first SIGINT or SIGTERM drains: what is under way may end for --drain seconds. The \
            second hands everything back at once. Exit codes: 0 stopped; 2 the file is wrong; 3 the queue or a key \
            cannot be used; 64 wrong usage.
            """)

    @OptionGroup var queue: QueueOptions
    @Option(help: ArgumentHelp("Routes file.", valueName: "file")) var config: String
    @Option(help: ArgumentHelp("Name among the workers (default: forwarder-HOST-PID).", valueName: "name"))
    var name: String?
    @Option(help: ArgumentHelp("How long requests under way may go on after a signal.", valueName: "seconds"))
    var drain = 30.0
    @Option(
        help: ArgumentHelp("After this long without a sign of life its requests go to others.", valueName: "seconds"))
    var lease = 60.0
    @Option(help: ArgumentHelp("Transfers at once, to all upstreams together.", valueName: "n"))
    var maxTransfers = 4096
    @Option(
        help: ArgumentHelp(
            "How often batches at upstreams (mode = \"batch\") are looked at.", valueName: "seconds"))
    var batchPoll = 30.0
    @OptionGroup var log: LogOptions

    func validate() throws {
        guard (0...86_400).contains(drain) else { throw ValidationError("--drain \(drain) is not from 0 to 86400") }
        guard (1...86_400).contains(lease) else { throw ValidationError("--lease \(lease) is not from 1 to 86400") }
        guard (0.01...86_400).contains(batchPoll) else {
            throw ValidationError("--batch-poll \(batchPoll) is not from 0.01 to 86400")
        }
        guard (1...100_000).contains(maxTransfers) else {
            throw ValidationError("--max-transfers \(maxTransfers) is not from 1 to 100000")
        }
    }

    func run() async throws {
        do {
            try await forward()
        } catch let error as ConfigurationError {
            ConsoleOutput.note("millrace: \(error)")
            throw ExitCode(ExitStatus.input)
        } catch let error where error is SecretError || error is UpstreamFailure {
            ConsoleOutput.note("millrace: \(error)")
            throw ExitCode(ExitStatus.unusable)
        } catch {
            throw ExitStatus.end(error)
        }
    }

    private func forward() async throws {
        try ProcessSecrecy.begin()
        let configuration = try RouteConfiguration.read(config)
        let store = try await queue.address().open()
        let records = store as? any RecordStore
        let batchRoutes = ReloadableRoutes(try ConfiguredRoutes(configuration, records: records, mode: .batch))
        let routes = ReloadableRoutes(
            try ConfiguredRoutes(configuration, records: records), reportedWith: batchRoutes)
        let settings = settings()
        let spending = records.map { records in
            UpstreamSpending(
                book: SpendBook(records, sender: settings.name, caps: { routes.configuration.caps(tenant: $0) }),
                prices: { routes.configuration.prices })
        }
        var transfers = Upstream.Settings()
        transfers.maxTransfers = maxTransfers
        let upstream = try Upstream(transfers)
        defer { upstream.stop() }
        let log = log.logger("forwarder")
        let inbox = UpstreamWorker.Inbox()
        let worker = UpstreamWorker(
            settings, inbox: inbox, queue: store, upstream: upstream, routing: routes, spending: spending,
            budgets: records.map { RecordBudgetStore($0) }, log: log)
        let notifier = ServiceNotifier(environment: ProcessInfo.processInfo.environment, processID: getpid())
        let signals = StopSignals(
            onHangup: { [config] in
                notifier.reloading()
                do {
                    let next = try RouteConfiguration.read(config)
                    let batches = try ConfiguredRoutes(next, records: records, mode: .batch)
                    routes.replace(by: try ConfiguredRoutes(next, records: records))
                    batchRoutes.replace(by: batches)
                    inbox.reloaded()
                    log.notice("routes, limits, prices, caps and keys were read again")
                } catch {
                    log.error("the routes file was not taken up, the old one stays in force: \(error)")
                }
                notifier.ready("forwarding")
            },
            onSignal: { _, _ in
                notifier.stopping("waiting for what is under way")
                inbox.stop()
            })
        defer { withExtendedLifetime(signals) {} }
        log.notice("starting", metadata: ["worker": "\(settings.name)", "config": "\(config)"])
        notifier.ready("forwarding")
        let watch = watch(inbox, notifier)
        defer { watch.cancel() }
        let batches = records.map { records in
            let worker = UpstreamBatchWorker(
                batchSettings(settings.name), queue: store, records: records, upstream: upstream, routing: batchRoutes,
                spending: spending, log: log)
            return Task {
                do {
                    try await worker.run()
                } catch {
                    log.error("batches at upstreams are not looked after any more: \(error)")
                }
            }
        }
        _ = try await worker.run(.untilStopped)
        batches?.cancel()
        await batches?.value
        log.notice("stopped", metadata: Self.metadata(inbox.figures))
        try await store.close()
    }

    private func settings() -> UpstreamWorker.Settings {
        var settings = UpstreamWorker.Settings()
        settings.name = name ?? "forwarder-\(ProcessInfo.processInfo.hostName)-\(getpid())"
        settings.drainMs = Int64(drain * 1000)
        settings.leaseMs = Int64(lease * 1000)
        settings.serviceMs = min(5000, settings.leaseMs / 3)
        settings.outlastsOutages = true
        return settings
    }

    private func batchSettings(_ name: String) -> UpstreamBatchWorker.Settings {
        var settings = UpstreamBatchWorker.Settings()
        settings.name = name
        settings.pollMs = Int64(batchPoll * 1000)
        settings.keepMs = max(settings.keepMs, 4 * settings.pollMs)
        return settings
    }

    /// Feeds the service manager's watchdog while the worker's loop turns, and says how it does.
    private func watch(_ inbox: UpstreamWorker.Inbox, _ notifier: ServiceNotifier) -> Task<Void, any Error> {
        Task {
            guard notifier.isWanted else { return }
            var turns = -1
            while true {
                try await RunClock.system.pause(min(5000, (notifier.watchdogMs ?? 10_000) / 3))
                let figures = inbox.figures
                if figures.turns != turns { notifier.feedWatchdog() }
                turns = figures.turns
                let (answered, limited, broken) = (figures.answered, figures.limited, figures.broken)
                notifier.status("\(answered) answered, \(limited) turned away, \(broken) failed")
            }
        }
    }

    private static func metadata(_ figures: UpstreamWorkFigures) -> Logger.Metadata {
        [
            "sent": "\(figures.sent)", "answered": "\(figures.answered)", "refused": "\(figures.refused)",
            "turned_away": "\(figures.limited)", "failed_attempts": "\(figures.broken)",
            "cut_off": "\(figures.cutOff)", "taken_over": "\(figures.inherited)",
        ]
    }
}
