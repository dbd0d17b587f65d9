import ArgumentParser
import Foundation
import JSON
import JobQueue
import Submitter
import Worker

/// `millrace keys provider`
struct ProviderKeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "provider", abstract: "Providers' keys that tenants bring, sealed in the queue's store.",
        subcommands: [SetProviderKeyCommand.self, ListProviderKeysCommand.self, RemoveProviderKeyCommand.self])
}

/// `millrace keys`
struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Keep keys.", subcommands: [ProviderKeysCommand.self])
}

struct SetProviderKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Seal a tenant's key for a provider, read from standard input or a file.",
        discussion: """
            The key is never an argument: arguments can be seen by everyone on the machine. It is encrypted with the \
            master key (AES-256-GCM) before it reaches the store.
            """)

    @OptionGroup var queue: QueueOptions
    @Option(help: ArgumentHelp("Whose key it is.", valueName: "name")) var tenant: String
    @Option(help: ArgumentHelp("Its name, as 'tenant_key' in the routes file says it.", valueName: "name"))
    var name: String
    @Option(help: ArgumentHelp("Where the key is (default: standard input).", valueName: "file:PATH"))
    var from: String?
    @OptionGroup var master: MasterKeyOption

    func run() async throws {
        try await SecretFailure.reported {
            try ProcessSecrecy.begin()
            let master = try master.read()
            let key: ProviderKey
            if let from {
                key = try SecretSource(from).key()
            } else {
                if isatty(STDIN_FILENO) == 1 { ConsoleOutput.note("key (then Enter and Ctrl-D):") }
                let text = try FileHandle.standardInput.read(upToCount: ProviderKey.maxBytes * 2) ?? Data()
                key = try ProviderKey([UInt8](text), origin: "standard input")
            }
            try await queue.withRecords { _, records in
                try await ProviderKeyStore(records).set(
                    key, tenant: tenant, name: name, sealedWith: master, at: RunClock.system.now())
            }
            ConsoleOutput.note("key \(name) of tenant \(tenant) is set (\(key.fingerprint))")
        }
    }
}

struct ListProviderKeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List tenants' keys by name and fingerprint; no key is shown.")

    @OptionGroup var queue: QueueOptions
    @Option(help: ArgumentHelp("Only this tenant's.", valueName: "name")) var tenant: String?
    @Flag(help: "Print a JSON object a line.") var json = false

    func run() async throws {
        try await SecretFailure.reported {
            let entries = try await queue.withRecords { _, records in
                try await ProviderKeyStore(records).list(tenant: tenant)
            }
            for entry in entries {
                let set = Date(timeIntervalSince1970: Double(entry.setAt.milliseconds) / 1000)
                    .formatted(.iso8601)
                guard json else {
                    print("\(entry.tenant)\t\(entry.name)\t\(entry.fingerprint)\t\(set)")
                    continue
                }
                print(
                    JSON.object(
                        JSONObject([
                            (name: "tenant", value: .string(entry.tenant)), (name: "name", value: .string(entry.name)),
                            (name: "fingerprint", value: .string(entry.fingerprint)),
                            (name: "set_at", value: .string(set)),
                        ])
                    ).text)
            }
        }
    }
}

struct RemoveProviderKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "remove", abstract: "Remove a tenant's key.")

    @OptionGroup var queue: QueueOptions
    @Option(help: ArgumentHelp("Whose key it is.", valueName: "name")) var tenant: String
    @Option(help: ArgumentHelp("Its name.", valueName: "name")) var name: String

    func run() async throws {
        try await SecretFailure.reported {
            let existed = try await queue.withRecords { _, records in
                try await ProviderKeyStore(records).remove(tenant: tenant, name: name)
            }
            guard existed else { throw SecretError("tenant \(tenant) has no key named \(name)") }
        }
    }
}

struct MasterKeyOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the master key is: credential:NAME, file:PATH or env:NAME.", valueName: "source"))
    var masterKey = "file:/etc/millrace/keys/master"

    func read() throws -> MasterKey {
        let source = try SecretSource(masterKey)
        return try MasterKey(source.read(), origin: source.description)
    }
}

/// Secrets' and stores' errors in one line, with an exit status.
enum SecretFailure {
    static func reported(_ body: () async throws -> Void) async throws {
        do { try await body() } catch let error where error is SecretError || error is ConfigurationError {
            ConsoleOutput.note("millrace: \(error)")
            throw ExitCode(ExitStatus.unusable)
        } catch {
            throw ExitStatus.end(error)
        }
    }
}
