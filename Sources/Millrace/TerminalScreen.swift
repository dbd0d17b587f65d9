import Foundation
import Synchronization

/// The whole terminal, on its alternate screen, so that what was there before is back afterwards. SIGINT and SIGTERM
/// end it.
final class TerminalScreen: Sendable {
    private let ended = Atomic(false)
    private let signals = Mutex<StopSignals?>(nil)

    /// Nil when standard output is no terminal.
    init?() {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        write("\u{1B}[?1049h")
        let stops = StopSignals { [weak self] _, _ in self?.ended.store(true, ordering: .releasing) }
        signals.withLock { $0 = stops }
    }

    var isOver: Bool { ended.load(ordering: .acquiring) }
    var width: Int { size.width }
    var height: Int { size.height }

    private var size: (width: Int, height: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    func draw(_ lines: [String]) {
        write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// Ends early when the screen is over.
    func pause(_ ms: Int64) async throws {
        var left = ms
        while left > 0, !isOver {
            try await Task.sleep(for: .milliseconds(min(left, 100)))
            left -= 100
        }
    }

    func close() { write("\u{1B}[?1049l") }

    private func write(_ text: String) { try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8)) }
}
