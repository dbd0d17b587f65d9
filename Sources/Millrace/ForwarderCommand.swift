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

            The first SIGINT or SIGTERM drains: what is under way may end for --drain seconds. The second hands \
            everything back at once. Exit codes: 0 stopped; 3 the queue, the file or a key cannot be used; 64 wrong usage.
            """)

    @OptionGroup var queue: QueueOption
    @Option(help: ArgumentHelp("Routes file.", valueName: "file")) var config: String
    @Option(help: ArgumentHelp("Name among the workers (default: forwarder-HOST-PID).", valueName: "name"))
    var name: String?
    @Option(help: ArgumentHelp("How long requests under way may go on after a signal.", valueName: "seconds"))
    var drain = 30.0
    @Option(help: ArgumentHelp("After this long without a sign of life its requests go to others.", valueName: "seconds"))
    var lease = 60.0
    @Option(help: ArgumentHelp("Transfers at once, to all upstreams together.", valueName: "n"))
    var maxTransfers = 4096
    @Option(help: ArgumentHelp("trace, debug, info, notice, warning or error.", valueName: "level"))
    var logLevel = "info"

    func validate() throws {
        guard (0...86_400).contains(drain) else { throw ValidationError("--drain \(drain) is not from 0 to 86400") }
        guard (1...86_400).contains(lease) else { throw ValidationError("--lease \(lease) is not from 1 to 86400") }
        guard (1...100_000).contains(maxTransfers) else {
            throw ValidationError("--max-transfers \(maxTransfers) is not from 1 to 100000")
        }
        guard Logger.Level(rawValue: logLevel) != nil else {
            throw ValidationError("--log-level '\(logLevel)' is no level")
        }
    }

    func run() async throws {
        do {
            try await forward()
        } catch let error where !(error is ExitCode || error is ValidationError) {
            ConsoleOutput.note("millrace: \(error)")
            throw ExitCode(ExitStatus.unusable)
        }
    }

    private func forward() async throws {
        try ProcessSecrecy.begin()
        let configuration = try RouteConfiguration.read(config)
        let store = try await queue.open()
        let records = store as? any RecordStore
        let routes = try ConfiguredRoutes(configuration, records: records)
        var settings = UpstreamWorker.Settings()
        settings.name = name ?? "forwarder-\(ProcessInfo.processInfo.hostName)-\(getpid())"
        settings.drainMs = Int64(drain * 1000)
        settings.leaseMs = Int64(lease * 1000)
        settings.serviceMs = min(5000, settings.leaseMs / 3)
        settings.outlastsOutages = true
        let spending = records.map { records in
            UpstreamSpending(
                book: SpendBook(records, sender: settings.name, caps: { configuration.caps(tenant: $0) }),
                prices: configuration.prices)
        }
        var transfers = Upstream.Settings()
        transfers.maxTransfers = maxTransfers
        let upstream = try Upstream(transfers)
        var log = Logger(label: "forwarder") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = Logger.Level(rawValue: logLevel) ?? .info
        let inbox = UpstreamWorker.Inbox()
        let worker = UpstreamWorker(
            settings, inbox: inbox, queue: store, upstream: upstream, routing: routes, spending: spending, log: log)
        let signals = StopSignals { _, _ in inbox.stop() }
        log.info("forwarding as \(settings.name)")
        _ = try await worker.run(NativeWorker.Goal.untilStopped)
        withExtendedLifetime(signals) {}
        upstream.stop()
        let done = inbox.figures
        log.info(
            """
            stopped: \(done.sent) sent, \(done.answered) answered, \(done.refused) refused, \(done.limited) turned away \
            by limits, \(done.broken) failed attempts, \(done.cutOff) cut off, \(done.inherited) taken over from workers \
            that died
            """)
        try await store.close()
    }
}
