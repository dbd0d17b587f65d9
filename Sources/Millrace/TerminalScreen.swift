import Foundation
import Submitter
import Synchronization

/// The whole terminal, on its alternate screen, so that what was there before is back afterwards. `q`, SIGINT and
/// SIGTERM end it.
///
/// Sources: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html, https://no-color.org
final class TerminalScreen: Sendable {
    private let ended = Atomic(false)
    private let isOpen = Atomic(true)
    private let signals = Mutex<StopSignals?>(nil)
    private let hasColors: Bool
    /// What the terminal was like; nil: it is not read from.
    private let before: termios?
    private let drawn = Mutex((width: 0, height: 0))

    private static let lookMs: Int64 = 50
    // Alternate screen, no cursor, no lines that wrap.
    private static let enter = "\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l"
    private static let leave = "\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l"

    /// Nil when standard output is no terminal that can do it.
    init?() {
        let environment = ProcessInfo.processInfo.environment
        let kind = environment["TERM"] ?? ""
        guard isatty(STDOUT_FILENO) == 1, !kind.isEmpty, kind != "dumb" else { return nil }
        hasColors = (environment["NO_COLOR"] ?? "").isEmpty
        var mode = termios()
        if isatty(STDIN_FILENO) == 1, tcgetattr(STDIN_FILENO, &mode) == 0 {
            before = mode
            // Keys come one by one and are not shown. A stopped program would leave the shell this screen.
            mode.c_lflag &= ~tcflag_t(ICANON | ECHO)
            withUnsafeMutableBytes(of: &mode.c_cc) { keys in
                keys[Int(VMIN)] = 0
                keys[Int(VTIME)] = 0
                keys[Int(VSUSP)] = 0
            }
            _ = tcsetattr(STDIN_FILENO, TCSANOW, &mode)
        } else {
            before = nil
        }
        write(Self.enter)
        let stops = StopSignals { [weak self] count, status in
            self?.ended.store(true, ordering: .releasing)
            guard count > 1 else { return }
            self?.close()
            _exit(status)
        }
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

    func draw(_ lines: [TopView.Line]) {
        drawn.withLock { $0 = size }
        // Cleared before it is written: behind a line's last column there is nothing left to clear.
        write("\u{1B}[H" + lines.map { "\u{1B}[K" + styled($0) }.joined(separator: "\r\n") + below(lines.count))
    }

    private func below(_ count: Int) -> String { count < height ? "\r\n\u{1B}[J" : "" }

    private func styled(_ line: TopView.Line) -> String {
        switch line.kind {
        case .heading: "\u{1B}[1m\(line.text)\u{1B}[0m"
        case .warning: (hasColors ? "\u{1B}[1;33m" : "\u{1B}[1m") + line.text + "\u{1B}[0m"
        case .plain: line.text
        }
    }

    /// Ends early when the screen is over, or has another size than what was drawn.
    func pause(_ ms: Int64) async throws {
        var left = ms
        while left > 0, !isOver, drawn.withLock({ $0 }) == size {
            try await Task.sleep(for: .milliseconds(min(left, Self.lookMs)))
            readKeys()
            left -= Self.lookMs
        }
    }

    /// - Returns: what `body` does; nil when the screen is over first.
    func whileOpen<R: Sendable>(_ body: @escaping @Sendable () async -> R) async -> R? {
        let (results, continuation) = AsyncStream<R?>.makeStream()
        Task { continuation.yield(await body()) }
        let watch = Task {
            while !isOver, !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(Self.lookMs))
                readKeys()
            }
            continuation.yield(nil)
        }
        defer { watch.cancel() }
        for await result in results { return result }
        return nil
    }

    private func readKeys() {
        guard before != nil else { return }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        if count > 0, bytes[..<count].contains(where: { $0 == UInt8(ascii: "q") || $0 == UInt8(ascii: "Q") }) {
            ended.store(true, ordering: .releasing)
        }
    }

    /// Gives the terminal back as it was. Once is enough.
    func close() {
        guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
        write(Self.leave)
        if var before { _ = tcsetattr(STDIN_FILENO, TCSANOW, &before) }
    }

    private func write(_ text: String) { try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8)) }
}
