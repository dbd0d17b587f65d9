/// Where people see how far a run is.
package protocol ProgressDisplay: AnyObject {
    /// Called often; shows as much of it as makes sense.
    func show(_ progress: Progress)
    /// Says something once.
    func note(_ text: String)
    /// No more progress comes; leaves the screen as it was.
    func end()
}

/// One line that is drawn over itself, at most ten times a second.
///
/// The cursor stays visible throughout: a run may be killed at any instant and could not bring it back.
package final class TerminalProgress: ProgressDisplay {
    private let write: (String) -> Void
    private let width: () -> Int
    private let blocks: Bool
    private var shownAtMs: Int64?
    private var hasLine = false

    private static let intervalMs: Int64 = 100

    /// - Parameters:
    ///   - blocks: whether the terminal shows Unicode's block characters.
    ///   - width: columns; asked for each drawing, as windows change.
    ///   - write: to the terminal.
    package init(blocks: Bool, width: @escaping () -> Int, write: @escaping (String) -> Void) {
        self.blocks = blocks
        self.width = width
        self.write = write
    }

    package func show(_ progress: Progress) {
        if let shownAtMs, progress.nowMs - shownAtMs < Self.intervalMs, !progress.isOver { return }
        shownAtMs = progress.nowMs
        // The last column stays free: writing there makes some terminals break the line.
        let line = ProgressLine(progress).terminal(width: width() - 1, blocks: blocks)
        write("\r" + line + Self.clearToEnd)
        hasLine = true
    }

    package func note(_ text: String) {
        end()
        write(text + "\n")
    }

    package func end() {
        if hasLine { write("\r" + Self.clearToEnd) }
        hasLine = false
    }

    private static let clearToEnd = "\u{1B}[K"
}

/// Plain lines now and then, for logs.
package final class PlainProgress: ProgressDisplay {
    private let write: (String) -> Void
    private let intervalMs: Int64
    private var shownAtMs: Int64?
    private var latest: Progress?

    package init(intervalMs: Int64 = 10_000, write: @escaping (String) -> Void) {
        self.intervalMs = intervalMs
        self.write = write
    }

    package func show(_ progress: Progress) {
        latest = progress
        guard let last = shownAtMs else {
            shownAtMs = progress.nowMs
            return
        }
        guard progress.nowMs - last >= intervalMs else { return }
        print(progress)
    }

    package func note(_ text: String) { write(text + "\n") }

    package func end() {
        if let latest { print(latest) }
        latest = nil
    }

    private func print(_ progress: Progress) {
        shownAtMs = progress.nowMs
        write(ProgressLine(progress).plain + "\n")
    }
}

/// For `--quiet`.
package final class NoProgress: ProgressDisplay {
    package init() {}
    package func show(_ progress: Progress) {}
    package func note(_ text: String) {}
    package func end() {}
}
