import ArgumentParser
import Foundation
import JobQueue
import Submitter

/// Where the queue is; the same for every command that talks to one.
struct QueueOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A file, redis://[user@]host[:port][/db], rediss://… or unix:///socket (default: $MILLRACE_QUEUE, else a "
                + "file of this user's).", valueName: "address"))
    var queue: String?

    @Option(
        help: ArgumentHelp(
            "File with the Redis password (default: 'redis-password' in $CREDENTIALS_DIRECTORY, if it is there).",
            valueName: "file"))
    var queuePasswordFile: String?

    /// - Throws: `CommandFailure` that says which part of the address is wrong.
    func address(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws -> QueueAddress {
        let text = queue ?? environment["MILLRACE_QUEUE"].flatMap { $0.isEmpty ? nil : $0 }
        guard let text else { return .file(path: try Self.ownFile(environment)) }
        do {
            let password = try password(environment, isServer: text.contains("://"))
            return try QueueAddress(text, password: password)
        } catch let error as JobQueueError {
            throw CommandFailure.input("\(queue == nil ? "MILLRACE_QUEUE" : "--queue"): \(error)")
        }
    }

    private func password(_ environment: [String: String], isServer: Bool) throws -> String? {
        let path: String
        if let queuePasswordFile {
            path = queuePasswordFile
        } else if isServer, let folder = environment["CREDENTIALS_DIRECTORY"] {
            path = folder + "/redis-password"
            guard FileManager.default.fileExists(atPath: path) else { return nil }
        } else {
            return nil
        }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw CommandFailure.input("--queue-password-file: \(path) cannot be read as a text file")
        }
        guard let line = text.split(whereSeparator: \.isNewline).first else {
            // A service without a password file is handed an empty credential.
            if queuePasswordFile == nil { return nil }
            throw CommandFailure.input("--queue-password-file: \(path) is empty; put the password in its first line")
        }
        return String(line)
    }

    /// `$XDG_STATE_HOME/millrace/queue.sqlite` (https://specifications.freedesktop.org/basedir-spec/latest/). Its
    /// folder is made where it is missing.
    private static func ownFile(_ environment: [String: String]) throws -> String {
        let base =
            environment["XDG_STATE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
            ?? (environment["HOME"] ?? "") + "/.local/state"
        let folder = base + "/millrace"
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw CommandFailure.store(
                "\(folder) cannot be made for the queue: \(error.localizedDescription); name another with --queue")
        }
        return folder + "/queue.sqlite"
    }

    /// Opens the queue, and closes it behind `body`. What goes wrong ends the command with the status that says who
    /// can mend it.
    func withQueue(_ body: (any JobQueue) async throws -> Void) async throws {
        do {
            let queue = try await address().open()
            do {
                try await body(queue)
            } catch {
                try? await queue.close()
                throw error
            }
            try await queue.close()
        } catch {
            throw ExitStatus.end(error)
        }
    }
}

extension ExitStatus {
    /// Prints what happened and gives the status that tells who can mend it.
    static func end(_ error: any Error) -> any Error {
        switch error {
        case let error as RunError: return report(error)
        case let error as CommandFailure:
            ConsoleOutput.note("millrace: \(error)")
            return ExitCode(error.isOfInput ? input : unusable)
        case let error as JobQueueError:
            ConsoleOutput.note("millrace: \(error)")
            return ExitCode(error.isOfInput ? input : unusable)
        case let error as BatchInputError:
            ConsoleOutput.note("millrace: \(error)")
            return ExitCode(input)
        case let error as ResultFileError:
            ConsoleOutput.note("millrace: \(error)")
            return ExitCode(unusable)
        case is CancellationError: return ExitCode(130)
        default: return error
        }
    }
}

extension JobQueueError {
    /// What was asked for is wrong, not the store.
    fileprivate var isOfInput: Bool {
        switch self {
        case .unknownBatch, .wrongState, .conflict, .invalidArgument: true
        case .unusableStore, .unavailable: false
        }
    }
}
