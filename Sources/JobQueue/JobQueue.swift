/// Where batches live, and every transition a request can make. Two stores implement it, held to one
/// conformance suite.
///
/// ```
///            append            lease              settle
///   client ---------> queued ---------> leased ---------> completed | failed
///                       ^  \              |  \
///                       |   \ cancel,     |   \ cancel: cancelled at once;
///                       |    \ expiry     |    \ the worker learns it from `renew`
///                       |     v           |
///                       |   cancelled | expired
///                       +--- release, recover (or failed, when attempts are used up)
/// ```
/// Each call is one atomic step that is durable when it returns. Calls that carry a lease are fenced by its
/// attempt. All throw `JobQueueError`: a wrong request of the caller's, or a store that cannot be reached or
/// read. A call that throws has changed nothing. Cancelling the task that waits for a call does not undo the
/// call.
package protocol JobQueue: Sendable {
    // Submitting: open, append in chunks, seal. Nothing is leased before the seal.

    /// Opens a batch, or finds the one that the tenant opened with the same idempotency key; then the first
    /// specification stands, and `status` tells it.
    func open(_ specification: BatchSpecification, at now: Timestamp) async throws(JobQueueError) -> BatchID
    /// Appends requests at `ordinal`...; repeating what was appended before changes nothing, so that a
    /// cut-off submit can be repeated (also after the seal). Other requests at ordinals already taken, or a
    /// gap, are a `conflict`; a refused request is recognised by its line and name alone, since its error may
    /// be worded anew.
    ///
    /// A `custom_id` that the batch has already (bytewise) makes the later request fail with
    /// `duplicate_custom_id`; a refused request without one is named `line-N`, which takes no client's name
    /// away.
    func append(_ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp)
        async throws(JobQueueError)
    /// Accepts the batch (I2): its `total` requests may be leased from now on. Throws when another number was
    /// appended. Repeating it changes nothing. A batch with nothing to run (empty, or all refused) is
    /// completed by it.
    func seal(_ batch: BatchID, total: Int, at now: Timestamp) async throws(JobQueueError)

    // Working.

    /// Claims requests for a worker: see `LeaseClaim` for how many. Highest priorities first; within a priority the
    /// tenant that was served the fewest tokens (`Request.cost`) in the current backlog, so that a small batch does
    /// not wait behind another tenant's large one (of equals the first by name); within a tenant oldest first: by
    /// the batch's opening, then by ordinal. A tenant is charged at each lease. One whose last queued request was
    /// leased and that queues again starts at the least that a tenant with queued requests was served, or where it
    /// was; when nobody has any at that priority, all start anew. Nothing of a paused queue, nor of a batch past its
    /// window, is leased, whether `recover` has run or not.
    func lease(_ claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> [LeasedRequest]
    /// Whether `lease` would lease something now.
    func hasWork(for claim: LeaseClaim, at now: Timestamp) async throws(JobQueueError) -> Bool
    /// Extends leases to `durationMs` from now; `.lost` for each that is not the caller's any more. A lease
    /// past its time is still its worker's until `recover` takes it back.
    func renew(_ leases: [Lease], durationMs: Int64, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    /// Writes outcomes: result, counts, usage and lease end in one atomic step. A response completes the
    /// request, an error fails it.
    func settle(_ settlements: [Settlement], at now: Timestamp) async throws(JobQueueError) -> [FencedResult]
    /// Gives requests back unfinished.
    func release(_ leases: [Lease], reason: ReleaseReason, at now: Timestamp)
        async throws(JobQueueError) -> [FencedResult]
    /// Expires batches past their window (queued and leased requests become expired), then takes back leases
    /// that expired: a failed attempt; queued again, or failed with `attempts_exhausted`. An instant that
    /// equals the limit is past it. Then forgets batches whose retention is over, and workers' reports. Returns how
    /// many requests it moved.
    func recover(at now: Timestamp) async throws(JobQueueError) -> Int

    // Following.

    /// Nothing of the batch starts after this returns (I6): queued and leased requests become cancelled.
    /// Repeating it changes nothing; a batch that ended otherwise throws `wrongState`.
    func cancel(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError)
    func status(_ batch: BatchID) async throws(JobQueueError) -> BatchStatus
    /// Requests of the batch that are queued, by model; what no worker serves waits here.
    func backlog(_ batch: BatchID) async throws(JobQueueError) -> [String: Int]
    /// Batches of `tenant` (nil: of all), newest first (by opening).
    func list(tenant: String?, limit: Int) async throws(JobQueueError) -> [BatchStatus]
    /// Outcomes after `cursor` (nil: from the first), at most `limit`, in the order asked for. In input order
    /// it stops before the first request behind the cursor that has no outcome yet. Outcomes of refused
    /// requests can be read before the seal.
    func results(_ batch: BatchID, after cursor: ResultCursor?, limit: Int, order: ResultOrder)
        async throws(JobQueueError) -> [ResultRecord]
    /// Requests of the batch that failed with `attempts_exhausted`, after `ordinal` (nil: from the first), by
    /// ordinal. To run them again they are submitted as a batch of their own: terminal is terminal (I5).
    func deadLetters(_ batch: BatchID, after ordinal: Int?, limit: Int)
        async throws(JobQueueError) -> [DeadLetter]

    // Operating.

    /// While a queue is paused nothing is leased from it; what is leased goes on. Repeating changes nothing.
    func pause(at now: Timestamp) async throws(JobQueueError)
    func resume(at now: Timestamp) async throws(JobQueueError)
    /// While a batch is paused nothing of it is leased; what is leased goes on, and its window runs on. `reason` is for
    /// people, and stands in its status; repeating the call replaces it. A batch that ended throws `wrongState`.
    func pause(_ batch: BatchID, reason: String, at now: Timestamp) async throws(JobQueueError)
    /// Repeating it changes nothing.
    func resume(_ batch: BatchID, at now: Timestamp) async throws(JobQueueError)
    func overview(at now: Timestamp) async throws(JobQueueError) -> QueueOverview
    /// Sums over outcomes by tenant, model, backend and UTC day of settling; they outlive the results (I4 holds for
    /// them too). A refused request counts for the model "". Days are inclusive. By day, then by the bytes of tenant,
    /// model and backend.
    func usage(_ query: UsageQuery) async throws(JobQueueError) -> [UsageRecord]
    /// Says that a worker lives and how it does; forgotten `report.lifetimeMs` after the last one.
    func heartbeat(_ report: WorkerReport, at now: Timestamp) async throws(JobQueueError)
    /// Workers whose last report is not forgotten, by name.
    func workers(at now: Timestamp) async throws(JobQueueError) -> [WorkerReport]
    /// Removes a worker's report at once: it ended in good order.
    func forget(worker: String) async throws(JobQueueError)
    /// Lets go of connections or files; the queue answers no call after it.
    func close() async throws(JobQueueError)
}

package struct Settlement: Sendable, Equatable {
    package var lease: Lease
    package var outcome: Outcome

    package init(lease: Lease, outcome: Outcome) {
        self.lease = lease
        self.outcome = outcome
    }
}

package enum ResultOrder: String, Sendable, CaseIterable { case input, completion }

/// A place in a batch's results; opaque to clients, comparable only within one batch and order.
package struct ResultCursor: Sendable, Hashable {
    package var value: Int64
    package init(_ value: Int64) { self.value = value }
}

/// One settled request as clients read it.
package struct ResultRecord: Sendable, Equatable {
    /// Pass as `after` to go on behind this record.
    package var cursor: ResultCursor
    package var ordinal: Int
    package var customID: String
    package var line: Int
    package var state: RequestState
    package var attempt: Int
    package var settledAt: Timestamp
    package var outcome: Outcome

    package init(
        cursor: ResultCursor, ordinal: Int, customID: String, line: Int, state: RequestState, attempt: Int,
        settledAt: Timestamp, outcome: Outcome
    ) {
        self.cursor = cursor
        self.ordinal = ordinal
        self.customID = customID
        self.line = line
        self.state = state
        self.attempt = attempt
        self.settledAt = settledAt
        self.outcome = outcome
    }
}

package enum JobQueueError: Error, Sendable, Equatable, CustomStringConvertible {
    case unknownBatch(BatchID)
    /// The batch is in a state that does not allow the call.
    case wrongState(BatchID, BatchState, String)
    /// The call contradicts what the store has (appending other requests at ordinals already taken, a wrong
    /// total).
    case conflict(BatchID, String)
    /// A value that no store could take (no attempts allowed, a negative usage); names it and what is
    /// allowed.
    case invalidArgument(String)
    /// The store is another program's file, of a newer version, or damaged.
    case unusableStore(String)
    /// The store cannot be reached or written now (disk full, locked, no connection); worth another try.
    case unavailable(String)

    package var description: String {
        switch self {
        case .unknownBatch(let id): "no batch \(id) in this queue"
        case .wrongState(let id, let state, let what): "batch \(id) is \(state.rawValue): \(what)"
        case .conflict(let id, let what): "batch \(id): \(what)"
        case .invalidArgument(let what), .unusableStore(let what), .unavailable(let what): what
        }
    }
}
