import JobQueue
import Scheduler

/// Taking from local workers what they cannot do in time.
extension UpstreamWorker {
    private static let pageRequests = 256

    func spillIfDue() async throws(JobQueueError) {
        let now = clock.now()
        guard routing.spills, now >= spillAt else { return }
        spillAt = now + settings.spillMs
        let claims = try await routing.spilled(
            from: queue, held: desk.countsOfBatches, budgetLeft: desk.budgetLeft(at: now.milliseconds), at: now)
        for claim in claims {
            let room = min(settings.maxHeld - desk.count, Self.pageRequests)
            guard room > 0 else { return }
            let leased = try await queue.lease(
                LeaseClaim(
                    worker: settings.name, maxRequests: room, maxTokens: claim.tokens, models: claim.models,
                    batches: [claim.batch], durationMs: settings.leaseMs), at: now)
            if leased.isEmpty { continue }
            do throws(JobQueueError) {
                let taken = try await sort(leased, at: now) { request, _ throws(JobQueueError) in
                    try await self.routing.decide(request, spilledTo: claim.to)
                }
                if taken > 0 { foundNothing = false }
            } catch {
                outbox.unsent += leased.map(\.lease)
                throw error
            }
            log.info("batch \(claim.batch): \(leased.count) requests go to \(claim.to.backend): \(claim.reason)")
        }
    }
}
