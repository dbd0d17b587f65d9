import JSON
import JobQueue

/// One `millrace results`: a batch's outcomes as lines, from a queue that others work on.
package struct ResultsExport: Sendable {
    package var batch: BatchID
    /// A file is compared with the store and mended, so the same command adds what is new.
    package var places: ResultPlaces
    package var order: ResultOrder
    /// Where to go on; nil: from the first. Only for what takes a stream.
    package var cursor: ResultCursor?
    /// Most lines; nil: all. Only for what takes a stream.
    package var limit: Int?
    /// Until the batch has ended.
    package var follows: Bool

    private static let pollMs: Int64 = 250

    package init(
        batch: BatchID, places: ResultPlaces, order: ResultOrder = .completion, cursor: ResultCursor? = nil,
        limit: Int? = nil, follows: Bool = false
    ) {
        self.batch = batch
        self.places = places
        self.order = order
        self.cursor = cursor
        self.limit = limit
        self.follows = follows
    }

    package struct Report: Sendable, Equatable {
        package var status: BatchStatus
        /// Results that were read.
        package var lines: Int
        /// Where to go on; nil: there is nothing yet.
        package var cursor: ResultCursor?
        /// Where error lines are, if there are any and they have a file of their own.
        package var errorsFile: String?

        package var json: JSON {
            [
                "batch": .string(status.id.value), "state": .string(status.state.rawValue),
                "finished": .bool(status.state.isTerminal), "results": lines.json,
                "cursor": cursor.map { .int($0.value) } ?? .null,
                "errors_file": errorsFile.map { .string($0) } ?? .null,
            ]
        }
    }

    /// - Throws: `RunError`, `ResultFileError`, `JobQueueError`.
    package func run(
        on queue: any JobQueue, clock: RunClock, display: any ProgressDisplay
    ) async throws -> Report {
        defer { display.end() }
        try places.check()
        let start = try await queue.status(batch)
        try places.refuseOverwriting(by: batch, ownsOutput: false, remedy: "remove it first")
        let file = try ResultFile(
            places, batch: batch, inputName: RunIdentity(of: start).displayedInput)
        let retry = StoreRetry(clock: clock, note: follows ? display.note : { _ in })
        var progress = Progress(start: start.counts, usage: start.usage, atMs: clock.uptimeMs())
        var report = Report(status: start, lines: 0, cursor: cursor)
        var isFirst = true
        while true {
            // The counts first: when they say that the batch is over, its results are all there.
            report.status = try await attempt(retry) { try await queue.status(batch) }
            while let page = try await page(after: report, queue, retry) {
                try file.append(page)
                report.lines += page.count
                report.cursor = page.last?.cursor
            }
            if isFirst { try file.endReplay() }
            isFirst = false
            try file.flush()
            progress.observe(report.status.counts, report.status.usage, nil, atMs: clock.uptimeMs())
            if follows { display.show(progress) }
            if !follows || report.status.state.isTerminal || report.lines == limit { break }
            try await clock.pause(Self.pollMs)
        }
        try file.finish()
        report.errorsFile = file.errorsPath
        return report
    }

    /// Nil when there is nothing more now.
    private func page(
        after report: Report, _ queue: any JobQueue, _ retry: StoreRetry
    ) async throws -> [ResultRecord]? {
        let most = min(RunSession.pageRecords, limit.map { $0 - report.lines } ?? .max)
        guard most > 0 else { return nil }
        let page = try await attempt(retry) {
            try await queue.results(batch, after: report.cursor, limit: most, order: order)
        }
        return page.isEmpty ? nil : page
    }

    private func attempt<R>(_ retry: StoreRetry, _ body: () async throws -> R) async throws -> R {
        follows ? try await retry(body) : try await body()
    }
}
