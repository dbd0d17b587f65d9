import Foundation
import JobQueue
import Submitter

/// Standard error, where progress and messages for people go.
enum ConsoleOutput {
    static func note(_ text: String) { write(text + "\n") }

    /// What nobody works on, if there is any.
    static func note(_ unserved: UnservedModels) {
        if let text = unserved.text { note("millrace: \(text)") }
    }

    static func write(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }

    /// A line drawn over itself on a terminal; now and then a line elsewhere.
    static func progress() -> any ProgressDisplay {
        guard isatty(STDERR_FILENO) == 1 else { return PlainProgress(write: write) }
        let environment = ProcessInfo.processInfo.environment
        let locale = environment["LC_ALL"] ?? environment["LC_CTYPE"] ?? environment["LANG"] ?? ""
        return TerminalProgress(blocks: locale.uppercased().contains("UTF"), width: columns, write: write)
    }

    private static func columns() -> Int {
        var size = winsize()
        if ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
        return ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) } ?? 80
    }
}

extension RunClock {
    static let system = RunClock(
        now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) },
        uptimeMs: { Int64(ProcessInfo.processInfo.systemUptime * 1000) },
        pause: { try await Task.sleep(for: .milliseconds($0)) })
}
