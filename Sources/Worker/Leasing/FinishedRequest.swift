import JobQueue

/// A request all of whose sequences have ended, on its way to an outcome.
struct FinishedRequest {
    private let item: HeldWork.Item

    init(_ item: HeldWork.Item) { self.item = item }

    func outcome(_ intake: Intake, backend: String, at now: Timestamp) -> Outcome {
        let generations = item.finished.compactMap(\.self)
        let started = generations.map(\.startedAt).min() ?? item.leasedAt
        let firstToken = generations.map(\.firstTokenAt).min() ?? started
        let ended = generations.map(\.endedAt).max() ?? firstToken
        let response = intake.response(item.plan, generations.map(\.sequence), at: now)
        return Outcome(
            result: .response(statusCode: 200, body: response.bytes), usage: response.usage, backend: backend,
            timings: Timings(
                queuedMs: started.since(item.leasedAt), prefillMs: firstToken.since(started),
                decodeMs: ended.since(firstToken)))
    }
}

extension ContinuousClock.Instant {
    /// Whole milliseconds from `start` to here.
    fileprivate func since(_ start: Self) -> Int64 {
        let (seconds, attoseconds) = start.duration(to: self).components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
