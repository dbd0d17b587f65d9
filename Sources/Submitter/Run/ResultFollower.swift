import JobQueue

/// Carries results from the store to the files as they come, and counts them on the way.
struct ResultFollower {
    let batch: BatchID
    private(set) var progress: Progress
    private let queue: any JobQueue
    private let order: ResultOrder
    private let file: ResultFile
    private let start: BatchStatus
    private var cursor: ResultCursor?
    private var errors: [String: Int] = [:]

    init(
        queue: any JobQueue, batch: BatchID, order: ResultOrder, file: ResultFile, start: BatchStatus,
        startMs: Int64
    ) {
        self.queue = queue
        self.batch = batch
        self.order = order
        self.file = file
        self.start = start
        progress = Progress(start: start.counts, usage: start.usage, atMs: startMs)
    }

    /// Writes every result that the store has and the files have not.
    mutating func poll(_ clock: RunClock, _ meter: WorkMeter?) async throws -> BatchStatus {
        // The counts first: when they say that the batch is over, its results are all there.
        let status = try await queue.status(batch)
        var page: [ResultRecord]
        repeat {
            page = try await queue.results(
                batch, after: cursor, limit: RunSession.pageRecords, order: order)
            try file.append(page)
            for record in page {
                if let error = record.outcome.error { errors[error.code, default: 0] += 1 }
                progress.note(record.outcome)
            }
            cursor = page.last?.cursor ?? cursor
        } while page.count == RunSession.pageRecords
        try file.flush()
        progress.observe(status.counts, status.usage, meter, atMs: clock.uptimeMs())
        return status
    }

    func summary(_ status: BatchStatus, wasComplete: Bool, output: String, wallMs: Int64) -> Summary {
        Summary(
            batch: batch, state: status.state, counts: status.counts, usage: status.usage, errors: errors,
            thisRun: Summary.Share(
                requests: status.counts.settled - start.counts.settled, usage: status.usage - start.usage,
                wallMs: wallMs),
            wasComplete: wasComplete, output: output, errorsFile: file.errorsPath)
    }
}

extension Usage {
    static func - (a: Usage, b: Usage) -> Usage {
        Usage(
            promptTokens: a.promptTokens - b.promptTokens,
            completionTokens: a.completionTokens - b.completionTokens,
            cachedTokens: a.cachedTokens - b.cachedTokens,
            costNanodollars: a.costNanodollars - b.costNanodollars)
    }
}
