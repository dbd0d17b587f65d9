import JobQueue

/// A request of the model queue.
struct ModelRequest {
    var appended: AppendedRequest
    var customID: String
    /// Whether later requests may not use `customID`.
    var owns: Bool
    var line: Int
    var state: RequestState = .queued
    var attempt = 0
    var failures = 0
    var crashes = 0
    var notBefore: Timestamp?
    var expiresAt: Timestamp?
    var end: (outcome: Outcome, at: Timestamp, completion: Int)?

    /// What was accepted; nil for a refused request.
    var request: Request? { if case .accepted(let request) = appended { request } else { nil } }
}

/// A batch of the model queue.
struct ModelBatch {
    var id: BatchID
    var specification: BatchSpecification
    var state = BatchState.validating
    var createdAt: Timestamp
    var acceptedAt: Timestamp?
    var endedAt: Timestamp? { didSet { if endedAt != nil { pausedFor = nil } } }
    var pausedFor: String?
    var items: [ModelRequest] = []

    func count(_ state: RequestState) -> Int { items.count { $0.state == state } }
    var completions: Int { items.count { $0.end != nil } }
    var deadline: Timestamp? {
        guard let acceptedAt, let window = specification.completionWindowMs else { return nil }
        return acceptedAt + window
    }

    var status: BatchStatus {
        BatchStatus(
            id: id, specification: specification, state: state,
            counts: BatchCounts(
                total: items.count, queued: count(.queued), leased: count(.leased),
                completed: count(.completed),
                failed: count(.failed), cancelled: count(.cancelled), expired: count(.expired)),
            usage: items.compactMap(\.end?.outcome.usage).reduce(Usage(), +),
            createdAt: createdAt, acceptedAt: acceptedAt, endedAt: endedAt, pausedFor: pausedFor)
    }

    mutating func end(_ i: Int, _ state: RequestState, _ outcome: Outcome, at now: Timestamp) {
        items[i].end = (outcome, now, completions + 1)
        items[i].state = state
        items[i].notBefore = nil
        items[i].expiresAt = nil
    }

    mutating func endAll(_ state: RequestState, _ ends: BatchState, at now: Timestamp) -> Int {
        let left = items.indices.filter { !items[$0].state.isTerminal }
        let error = OutcomeError(code: state.rawValue, message: "")
        for i in left { end(i, state, .failure(error), at: now) }
        (self.state, endedAt) = (ends, now)
        return left.count
    }

    mutating func endIfDone(at now: Timestamp) {
        guard state == .inProgress, items.allSatisfy(\.state.isTerminal) else { return }
        (state, endedAt) = (.completed, now)
    }

    mutating func failAttempt(
        _ i: Int, _ error: OutcomeError, isCrash: Bool = false, notBefore: Timestamp?, at now: Timestamp
    ) {
        items[i].failures += 1
        items[i].crashes += isCrash ? 1 : 0
        if items[i].failures >= specification.maxAttempts {
            var exhausted = error
            (exhausted.code, exhausted.message) = (
                "attempts_exhausted", "\(error.code): \(error.message)"
            )
            end(i, .failed, .failure(exhausted), at: now)
        } else {
            items[i].state = .queued
            items[i].notBefore = notBefore
            items[i].expiresAt = nil
        }
    }
}
