import JSON
import JobQueue

/// `millrace top`: a queue and its workers, as text, for programs, and on one screen.
package struct TopView: Sendable {
    /// One line of a screen.
    package struct Line: Sendable, Equatable {
        package enum Kind: Sendable { case plain, heading, warning }

        package var text: String
        package var kind: Kind

        package init(text: String, kind: Kind = .plain) {
            self.text = text
            self.kind = kind
        }
    }

    private let queue: QueueReport
    private let workers: WorkersReport

    package init(_ overview: QueueOverview, _ workers: [WorkerReport], name: String, at now: Timestamp) {
        queue = QueueReport(overview, workers, name: name, at: now)
        self.workers = WorkersReport(workers, at: now)
    }

    package var json: JSON { ["queue": queue.json, "workers": workers.json] }

    package var text: String {
        let warning = queue.unserved.text.map { [$0] } ?? []
        return (queue.lines + warning + ["", workers.speedLine] + workers.lines).joined(separator: "\n")
    }

    /// Lines of at most `width` columns; workers come first where not all fits, since depths can be long.
    package func screen(width: Int, height: Int) -> [Line] {
        let workerTable = Self.table(workers.table?.lines(width: width) ?? workers.lines)
        let tail = Self.fit(
            [Line(text: ""), Line(text: workers.speedLine, kind: .heading)] + workerTable, max(0, height * 2 / 3))
        let depths = queue.table.isEmpty ? [] : Self.table(queue.table.lines(width: width))
        let head = Self.fit(headLines(width) + depths, max(0, height - tail.count))
        return (head + tail).map { Line(text: $0.text.shown.fitted(to: width), kind: $0.kind) }
    }

    /// The queue's name and its sums on one line, or on two.
    private func headLines(_ width: Int) -> [Line] {
        let kind: Line.Kind = queue.isPaused ? .warning : .heading
        let whole = queue.head
        let sums = queue.sums
        var lines = [Line(text: whole, kind: kind)]
        if whole.columns > width {
            let fitting = sums.columns <= width ? sums : queue.shortSums
            lines = [Line(text: queue.name, kind: .heading), Line(text: fitting, kind: kind)]
        }
        if let warning = queue.unserved.text { lines.append(Line(text: warning, kind: .warning)) }
        return lines
    }

    private static func table(_ lines: [String]) -> [Line] {
        lines.enumerated().map { Line(text: $1, kind: $0 == 0 && lines.count > 1 ? .heading : .plain) }
    }

    private static func fit(_ lines: [Line], _ room: Int) -> [Line] {
        guard lines.count > room else { return lines }
        guard room > 0 else { return [] }
        return lines.prefix(room - 1) + [Line(text: "… \((lines.count - room + 1).grouped) more")]
    }
}
