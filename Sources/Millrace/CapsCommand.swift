import ArgumentParser
import JSON
import JobQueue
import Scheduler
import Submitter
import Worker

/// `millrace caps`
struct CapsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "caps", abstract: "See what a batch has spent, and raise its cap.",
        subcommands: [ShowCapsCommand.self, SetCapCommand.self, ResumeCommand.self])
}

struct ShowCapsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "What a batch, and its tenant, have spent and reserved.")

    @OptionGroup var queue: QueueOptions
    @Argument(help: "The batch.") var batch: String
    @Option(help: ArgumentHelp("Routes file, for the configured caps.", valueName: "file")) var config: String?
    @Flag(help: "Print a JSON object a line.") var json = false

    func run() async throws {
        try await SecretFailure.reported {
            let configuration = try config.map { try RouteConfiguration.read($0) }
            try await queue.withRecords { queue, records in
                let status = try await queue.status(BatchID(batch))
                let tenant = status.specification.tenant
                let book = SpendBook(records, sender: "caps") { configuration?.caps(tenant: $0) ?? [:] }
                let now = RunClock.system.now()
                for kind in SpendScope.Kind.allCases {
                    let account = try await book.account(kind, batch: status.id, tenant: tenant, at: now)
                    let cap = account.cap ?? configuration?.caps(tenant: tenant)[kind]
                    if account == SpendAccount(), cap == nil, kind != .batch { continue }
                    show(kind, account, cap, status)
                }
            }
        }
    }

    private func show(_ kind: SpendScope.Kind, _ account: SpendAccount, _ cap: SpendCap?, _ status: BatchStatus) {
        let reserved = account.inReserve
        guard json else {
            print(
                "\(kind.rawValue): spent \(account.spent.money) and \(account.spent.tokens) tokens, perhaps "
                    + "\(account.unproven.money) and \(account.unproven.tokens), reserved \(reserved.money) and "
                    + "\(reserved.tokens); cap: \(cap?.text ?? "none")"
                    + (kind == .batch ? status.pausedFor.map { "; paused: \($0)" } ?? "" : ""))
            return
        }
        func spending(_ value: Spending) -> JSON {
            .object(
                JSONObject([
                    (name: "usd", value: .double(value.money.dollars)), (name: "tokens", value: .int(Int64(value.tokens))),
                ]))
        }
        print(
            JSON.object(
                JSONObject([
                    (name: "scope", value: .string(kind.rawValue)), (name: "spent", value: spending(account.spent)),
                    (name: "unproven", value: spending(account.unproven)),
                    (name: "reserved", value: spending(reserved)),
                    (name: "cap_usd", value: cap?.money.map { .double($0.dollars) } ?? .null),
                    (name: "cap_tokens", value: cap?.tokens.map { .int(Int64($0)) } ?? .null),
                    (name: "paused_for", value: status.pausedFor.map { .string($0) } ?? .null),
                ])
            ).text)
    }
}

struct SetCapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Give a batch a cap of its own, and let it go on if it was paused.")

    @OptionGroup var queue: QueueOptions
    @Argument(help: "The batch.") var batch: String
    @Option(help: ArgumentHelp("Dollars in all.", valueName: "amount")) var usd: Double?
    @Option(help: ArgumentHelp("Tokens in all.", valueName: "n")) var tokens: Int?

    func validate() throws {
        guard usd != nil || tokens != nil else { throw ValidationError("give --usd, --tokens or both") }
        if let usd, !(0...1e9).contains(usd) { throw ValidationError("--usd \(usd) is not from 0 to 1000000000") }
        if let tokens, tokens < 0 { throw ValidationError("--tokens \(tokens) is below 0") }
    }

    func run() async throws {
        try await SecretFailure.reported {
            try await queue.withRecords { queue, records in
                let status = try await queue.status(BatchID(batch))
                let now = RunClock.system.now()
                let cap = SpendCap(money: usd.flatMap { Money(dollars: $0) }, tokens: tokens)
                try await SpendBook(records, sender: "caps", caps: { _ in [:] }).setCap(cap, of: status.id, at: now)
                if status.pausedFor != nil { try await queue.resume(status.id, at: now) }
                ConsoleOutput.note(
                    "batch \(status.id): cap \(cap.text)" + (status.pausedFor == nil ? "" : "; it goes on"))
            }
        }
    }
}

struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Let a paused batch go on.")

    @OptionGroup var queue: QueueOptions
    @Argument(help: "The batch.") var batch: String

    func run() async throws {
        try await SecretFailure.reported {
            try await queue.withRecords { queue, _ in
                try await queue.resume(BatchID(batch), at: RunClock.system.now())
            }
        }
    }
}
