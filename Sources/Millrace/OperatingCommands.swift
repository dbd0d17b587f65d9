import ArgumentParser
import Foundation
import JSON
import JobQueue
import Submitter

/// `millrace usage`
struct UsageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage", abstract: "Sum up requests, tokens and what they cost.",
        discussion: """
            The sums over all outcomes, also of batches whose results were forgotten. Days are UTC's, and inclusive. \
            Costs are those of upstreams with a price in the forwarder's routes file.

            Exit codes: 0; 3 the queue cannot be used; 64 wrong usage.
            """)

    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Option(help: "Only this tenant's.") var tenant: String?
    @Option(help: "Only for this model.") var model: String?
    @Option(help: ArgumentHelp("First day, as 2026-11-01.", valueName: "day")) var from: Day?
    @Option(help: ArgumentHelp("Last day.", valueName: "day")) var to: Day?

    @Option(help: ArgumentHelp("What rows are for, with commas: day, tenant, model, backend.", valueName: "columns"))
    var by = "tenant,model"

    @Flag(help: "Print JSON.") var json = false

    private var columns: [UsageReport.Column]? {
        let names = by.split(separator: ",").map(String.init)
        let columns = names.compactMap(UsageReport.Column.init)
        return columns.count == names.count && !names.isEmpty ? columns : nil
    }

    func validate() throws {
        if columns == nil { throw ValidationError("--by '\(by)' is not of day, tenant, model, backend") }
        if let from, let to, to < from { throw ValidationError("--to is before --from") }
    }

    func run() async throws {
        try await queue.withQueue { queue in
            let records = try await queue.usage(UsageQuery(tenant: tenant, model: model, first: from, last: to))
            let report = UsageReport(records, by: columns ?? [])
            print(json ? report.json.text : report.text)
        }
    }
}

extension Day: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// `millrace queues`
struct QueuesCommand: AsyncParsableCommand {
    enum Action: String, ExpressibleByArgument, CaseIterable { case show, pause, resume }

    static let configuration = CommandConfiguration(
        commandName: "queues", abstract: "Show what waits and runs; pause or resume.",
        discussion: """
            While a queue is paused nothing new starts; what runs goes on, and submits are accepted.

            Exit codes: 0; 3 the queue cannot be used; 64 wrong usage.
            """)

    @Argument(help: "show, pause or resume.") var action = Action.show
    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Flag(help: "Print JSON.") var json = false

    func run() async throws {
        let name = try ExitStatus.reporting { try queue.address().description }
        try await queue.withQueue { queue in
            let now = RunClock.system.now()
            switch action {
            case .show: break
            case .pause: try await queue.pause(at: now)
            case .resume: try await queue.resume(at: now)
            }
            let report = QueueReport(
                try await queue.overview(at: now), try await queue.workers(at: now), name: name, at: now)
            print(json ? report.json.text : report.text)
            if !json { ConsoleOutput.note(report.unserved) }
        }
    }
}

/// `millrace workers`
struct WorkersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workers", abstract: "Show the workers that serve a queue.",
        discussion: "Exit codes: 0; 3 the queue cannot be used; 64 wrong usage.")

    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Flag(help: "Print JSON.") var json = false

    func run() async throws {
        try await queue.withQueue { queue in
            let now = RunClock.system.now()
            let report = WorkersReport(try await queue.workers(at: now), at: now)
            print(json ? report.json.text : report.text)
        }
    }
}

/// `millrace top`
struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Watch a queue and its workers; once where there is no terminal.",
        discussion: """
            'q' or Ctrl-C ends it. Exit codes: 0; 3 the queue cannot be used; 64 wrong usage.
            """)

    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Option(help: ArgumentHelp("Between two looks, as 2s.", valueName: "time")) var interval = DurationOption(ms: 1000)
    @Flag(help: "Print JSON, once.") var json = false

    func run() async throws {
        let name = try ExitStatus.reporting { try queue.address().description }
        try await queue.withQueue { queue in
            let look = { @Sendable () async throws(JobQueueError) -> TopView in
                let now = RunClock.system.now()
                return TopView(try await queue.overview(at: now), try await queue.workers(at: now), name: name, at: now)
            }
            guard !json, let screen = TerminalScreen() else {
                let view = try await look()
                return print(json ? view.json.text : view.text)
            }
            defer { screen.close() }
            while !screen.isOver {
                let result = await screen.whileOpen { () async -> Result<TopView, JobQueueError> in
                    do throws(JobQueueError) { return .success(try await look()) } catch { return .failure(error) }
                }
                switch result {
                case .success(let view)?: screen.draw(view.screen(width: screen.width, height: screen.height))
                case .failure(.unavailable(let reason))?:
                    screen.draw([
                        TopView.Line(text: "the queue does not answer; waiting for it", kind: .warning),
                        TopView.Line(text: reason),
                    ])
                case .failure(let error)?: throw error
                case nil:
                    // A call is under way that nobody waits for any more.
                    screen.close()
                    Foundation.exit(0)
                }
                try await screen.pause(interval.ms)
            }
        }
    }
}

extension ExitStatus {
    static let timedOut: Int32 = 4

    /// For what is done before a queue is open.
    static func reporting<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch {
            throw end(error)
        }
    }
}
