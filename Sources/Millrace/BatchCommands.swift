import ArgumentParser
import Foundation
import JSON
import JobQueue
import Submitter

extension BatchID: ExpressibleByArgument {
    public init?(argument: String) {
        guard !argument.isEmpty else { return nil }
        self.init(argument)
    }
}

extension ExitStatus {
    /// How a batch that was followed ended, as `run` says it.
    static func end(of batch: BatchStatus) throws {
        if batch.state.isTerminal, !batch.allCompleted { throw ExitCode(someFailed) }
    }
}

/// `millrace status [BATCH]`
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how far a batch is; without one, all that have not ended.",
        discussion: """
            Exit codes: 0; with --watch also 1: the batch ended and some of its requests did not succeed; 2 there is \
            no such batch; 3 the queue cannot be used; 64 wrong usage.
            """)

    @Argument(help: "The batch's id.") var batch: BatchID?
    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Flag(help: "Show progress until the batch has ended.") var watch = false
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        if watch, batch == nil { throw ValidationError("--watch needs a batch") }
    }

    func run() async throws {
        try await queue.withQueue { queue in
            guard let batch else { return try await showOpen(queue) }
            let status =
                watch
                ? try await BatchWatch(queue, clock: .system).run(batch, display: ConsoleOutput.progress())
                : try await queue.status(batch)
            let unserved = try await UnservedModels.of(batch, on: queue, at: RunClock.system.now())
            print(json ? status.json.with(unserved).text : status.text)
            if !json { ConsoleOutput.note(unserved) }
            if watch { try ExitStatus.end(of: status) }
        }
    }

    private func showOpen(_ queue: any JobQueue) async throws {
        let list = BatchList(try await queue.list(tenant: nil, limit: 1000).filter { !$0.state.isTerminal })
        print(json ? list.json.text : list.text)
        let now = RunClock.system.now()
        let unserved = UnservedModels(try await queue.overview(at: now), try await queue.workers(at: now))
        if !json { ConsoleOutput.note(unserved) }
    }
}

/// `millrace list`
struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List batches, newest first.",
        discussion: "Exit codes: 0; 3 the queue cannot be used; 64 wrong usage.")

    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Option(help: "Only this tenant's.") var tenant: String?
    @Option(help: ArgumentHelp("At most so many.", valueName: "n")) var limit = 20
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...100_000).contains(limit) else {
            throw ValidationError("--limit \(limit) is not from 1 to 100000")
        }
    }

    func run() async throws {
        try await queue.withQueue { queue in
            let list = BatchList(try await queue.list(tenant: tenant, limit: limit))
            print(json ? list.json.text : list.text)
        }
    }
}

/// `millrace wait BATCH`
struct WaitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wait", abstract: "Wait until a batch has ended.",
        discussion: """
            Exit codes: 0 every request completed; 1 the batch ended and some did not; 2 there is no such batch; 3 the \
            queue cannot be used; 4 --timeout was over first; 64 wrong usage. A queue that does not answer for a while \
            is waited for.
            """)

    @Argument(help: "The batch's id.") var batch: BatchID
    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Option(help: ArgumentHelp("Give up after this long, as 15m.", valueName: "time")) var timeout: DurationOption?
    @Flag(help: "No progress.") var quiet = false
    @Flag(help: "Print JSON.") var json = false

    func run() async throws {
        try await queue.withQueue { queue in
            let status = try await BatchWatch(queue, clock: .system).run(
                batch, limitMs: timeout?.ms, display: quiet ? NoProgress() : ConsoleOutput.progress())
            let unserved = try await UnservedModels.of(batch, on: queue, at: RunClock.system.now())
            print(json ? status.json.with(unserved).text : status.text)
            guard status.state.isTerminal else { throw ExitCode(ExitStatus.timedOut) }
            try ExitStatus.end(of: status)
        }
    }
}

/// `millrace cancel BATCH`
struct CancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Cancel what of a batch is not done; what is done stays.",
        discussion: """
            Nothing of the batch starts once this has returned; what runs stops within moments. Cancelling again \
            changes nothing.

            Exit codes: 0 cancelled; 2 there is no such batch, or it ended before; 3 the queue cannot be used; 64 \
            wrong usage.
            """)

    @Argument(help: "The batch's id.") var batch: BatchID
    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Flag(help: "Print JSON.") var json = false

    func run() async throws {
        try await queue.withQueue { queue in
            try await queue.cancel(batch, at: RunClock.system.now())
            let status = try await queue.status(batch)
            print(json ? status.json.text : status.text)
        }
    }
}

/// `millrace requeue BATCH`
struct RequeueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "requeue", abstract: "Submit a batch's dead letters once more, as a new batch; print its id.",
        discussion: """
            Dead letters are requests that used up their attempts. The old batch stays as it is; the new one has its \
            tenant, priority, window and metadata. Repeating the command gives the same new batch.

            Exit codes: 0; 2 there is no such batch, it has not ended, or has no dead letters; 3 the queue cannot be \
            used; 64 wrong usage.
            """)

    @Argument(help: "The batch's id.") var batch: BatchID
    @OptionGroup(title: "Queue") var queue: QueueOptions
    @Flag(help: "Print JSON.") var json = false

    func run() async throws {
        try await queue.withQueue { queue in
            let status = try await Requeue().run(batch, on: queue, at: RunClock.system.now())
            guard !json else { return print(status.json.text) }
            print(status.id)
            ConsoleOutput.note("\(status.counts.total) requests queued once more")
        }
    }
}
