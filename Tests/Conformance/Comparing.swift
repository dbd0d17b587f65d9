import JobQueue
import Testing

/// What is read of a store and of the model, and must be the same.
extension Comparison {
    /// What operators see.
    mutating func compareOverviews() async {
        let at = now
        _ = await same("overview") {
            try await $0.overview(at: at)
        } _: {
            await $0.overview(at: at)
        }
        _ = await same("workers") {
            try await $0.workers(at: at)
        } _: {
            await $0.workers(at: at)
        }
        _ = await same("usage") {
            try await $0.usage(UsageQuery())
        } _: {
            await $0.usage(UsageQuery())
        }
    }

    mutating func compareAll(records: Bool) async throws {
        await compareOverviews()
        let anonymous = { (status: BatchStatus) in
            var status = status
            status.id = BatchID("")
            return status
        }
        _ = await same("list") {
            try await $0.list(limit: 99).map(anonymous)
        } _: {
            try await $0.list(limit: 99).map(anonymous)
        }
        if records {
            for batch in batches {
                for order in ResultOrder.allCases {
                    _ = await same("all") {
                        try await $0.all(batch.store, order).map(plain)
                    } _: {
                        try await $0.all(batch.model, order).map(plain)
                    }
                }
                _ = await same("dead letters") {
                    try await $0.deadLetters(batch.store, after: nil, limit: 99).map(plain)
                } _: {
                    try await $0.deadLetters(batch.model, after: nil, limit: 99).map(plain)
                }
            }
        }
        if records || !store.isSlowToCheck { differences += try await store.problems(queue) }
    }

    /// Seals and works off everything: each request ends exactly once (I1).
    mutating func drain() async throws {
        try await queue.resume(at: now)
        await model.resume(at: now)
        for b in batches.indices where (try? await model.status(batches[b].model).state) == .validating {
            let (batch, total, at) = (batches[b], appended[b].count, now)
            _ = await same("seal") { queue in
                try await queue.seal(batch.store, total: total, at: at)
                return true
            } _: { model in
                try await model.seal(batch.model, total: total, at: at)
                return true
            }
        }
        for _ in 0..<200 {
            now = now + 10_000
            await recover()
            await lease(LeaseClaim(worker: "w", maxRequests: 20, durationMs: 1000))
            await settle()
            try await compareAll(records: false)
            if try await queue.list(limit: 99).allSatisfy(\.state.isTerminal) { break }
        }
        for (b, batch) in batches.enumerated() {
            // Some have been forgotten.
            guard (try? await model.status(batch.model)) != nil else { continue }
            let status = try await queue.status(batch.store)
            #expect(status.state.isTerminal)
            #expect(status.counts.settled == appended[b].count)
            #expect(try await queue.all(batch.store).map(\.ordinal) == Array(0..<appended[b].count))
        }
        try await compareAll(records: true)
    }
}

/// A record without the words that are the store's own.
func plain(_ record: ResultRecord) -> ResultRecord {
    var record = record
    if let error = record.outcome.error,
        ["duplicate_custom_id", "attempts_exhausted", "cancelled", "expired"].contains(error.code)
    {
        record.outcome = .failure(OutcomeError(code: error.code, message: ""))
    }
    return record
}

/// A dead letter without the words that are the store's own.
func plain(_ letter: DeadLetter) -> DeadLetter {
    var letter = letter
    letter.error.message = ""
    return letter
}
