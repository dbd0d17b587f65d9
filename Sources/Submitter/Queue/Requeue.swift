import JobQueue

/// Submits a batch's dead letters once more, as a batch of their own: what has ended stays ended.
package struct Requeue: Sendable {
    package static let originName = "requeued.from"
    private static let pageRequests = 200

    package init() {}

    /// Repeating it finds the same new batch, and goes on where it was cut off.
    /// - Throws: `CommandFailure` when there is nothing to requeue, or more may come.
    package func run(_ batch: BatchID, on queue: any JobQueue, at now: Timestamp) async throws -> BatchStatus {
        let origin = try await queue.status(batch)
        guard origin.state.isTerminal else {
            throw CommandFailure.input(
                "\(batch) is \(origin.state.rawValue), and more of it may fail: wait for its end ('millrace wait') or "
                    + "cancel it first")
        }
        guard var page = try await page(of: batch, after: nil, queue) else {
            throw CommandFailure.input("\(batch) has no dead letters: no request of it used up its attempts")
        }
        var specification = origin.specification
        specification.metadata[Self.originName] = batch.value
        specification.idempotencyKey = "requeue-\(batch)"
        let new = try await queue.open(specification, at: now)
        if try await queue.status(new).acceptedAt != nil { return try await queue.status(new) }
        var total = 0
        while true {
            try await queue.append(page.map { .accepted($0.request) }, to: new, from: total, at: now)
            total += page.count
            guard let next = try await self.page(of: batch, after: page.last?.ordinal, queue) else { break }
            page = next
        }
        try await queue.seal(new, total: total, at: now)
        return try await queue.status(new)
    }

    /// Nil behind the last.
    private func page(
        of batch: BatchID, after ordinal: Int?, _ queue: any JobQueue
    ) async throws -> [DeadLetter]? {
        let page = try await queue.deadLetters(batch, after: ordinal, limit: Self.pageRequests)
        return page.isEmpty ? nil : page
    }
}
