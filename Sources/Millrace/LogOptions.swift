import ArgumentParser
import Foundation
import Logging
import Worker

/// How a service logs, to standard error.
struct LogOptions: ParsableArguments {
    enum Format: String, ExpressibleByArgument, CaseIterable { case auto, json, text }

    @Option(help: "Log lines: json, text, or auto (json where a journal reads them).") var logFormat = Format.auto
    @Option(help: "Least that is logged: trace, debug, info, notice, warning, error or critical.")
    var logLevel = Logger.Level.info

    func logger(_ label: String) -> Logger {
        let isJournal = ProcessInfo.processInfo.environment["JOURNAL_STREAM"] != nil
        var logger = Logger(label: label) { label in
            switch logFormat {
            case .json: JSONLogHandler(label: label, write: ConsoleOutput.write)
            case .auto where isJournal: JSONLogHandler(label: label, write: ConsoleOutput.write)
            case .auto, .text: StreamLogHandler.standardError(label: label)
            }
        }
        logger.logLevel = logLevel
        return logger
    }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
