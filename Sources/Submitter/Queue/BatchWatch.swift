import JobQueue

/// Looks at a batch until it has ended.
package struct BatchWatch: Sendable {
    private let queue: any JobQueue
    private let clock: RunClock

    private static let pollMs: Int64 = 500
    /// Longer than a worker takes to report what it serves.
    private static let unservedMs: Int64 = 5_000

    package init(_ queue: any JobQueue, clock: RunClock) {
        self.queue = queue
        self.clock = clock
    }

    /// - Parameter limitMs: nil: as long as it takes.
    /// - Returns: the batch as it was last seen; not ended when the time was over.
    package func run(
        _ batch: BatchID, limitMs: Int64? = nil, display: any ProgressDisplay
    ) async throws -> BatchStatus {
        defer { display.end() }
        let startMs = clock.uptimeMs()
        // A batch that is not there is a mistake, not an absence.
        var status = try await queue.status(batch)
        var progress = Progress(start: status.counts, usage: status.usage, atMs: startMs)
        let retry = StoreRetry(clock: clock, note: display.note)
        var unserved: UnservedModels?
        var lookedMs = startMs - Self.unservedMs
        while !status.state.isTerminal {
            if clock.uptimeMs() - lookedMs >= Self.unservedMs {
                lookedMs = clock.uptimeMs()
                let now = try await retry { try await UnservedModels.of(batch, on: queue, at: clock.now()) }
                // Said when it changes, not for as long as it is so.
                if let text = now.text, now.waiting.map(\.model) != unserved?.waiting.map(\.model) {
                    display.note("millrace: \(text)")
                }
                unserved = now
            }
            if let limitMs, clock.uptimeMs() - startMs >= limitMs { return status }
            try await clock.pause(Self.pollMs)
            status = try await retry { try await queue.status(batch) }
            progress.observe(status.counts, status.usage, nil, atMs: clock.uptimeMs())
            display.show(progress)
        }
        return status
    }
}
