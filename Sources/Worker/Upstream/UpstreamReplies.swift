import JobQueue
import Logging
import Scheduler

/// What comes back from upstreams, and what becomes of it.
extension UpstreamWorker {
    func take(_ reply: UpstreamReply, of lease: Lease) {
        Failpoint.hit("upstream.replied")
        // What was given up meanwhile is nobody's any more.
        guard let pending = desk.pending(lease), pending.ticket != nil else { return }
        let wasCutOff = reply.failure != nil && reply.mayHaveRun
        figures.cutOff += max(0, reply.sends - 1) + (wasCutOff ? 1 : 0)
        let now = clock.now()
        let target = pending.choice.target
        let verdict = UpstreamVerdict(
            reply, backend: target.name, model: pending.model, isMapped: pending.body.isMapped)
        if let refusal = desk.account(verdict, reply, of: pending, at: now, random: .random(in: 0..<1)) {
            // The lane's limits, as when it asks: a reload may have changed those of the target since.
            let limits = desk.limits(pending.lane) ?? target.limits
            outbox.refusals[UpstreamOutbox.Budget(name: pending.lane.text, limits: limits), default: []]
                .append(refusal)
        }
        switch verdict {
        case .answered(let plain):
            desk.remove(lease.key)
            let answer = spending?.priced(plain, backend: target.name, model: pending.model) ?? plain
            figures.answered += 1
            figures.usage += answer.usage
            spend(pending, Spending(answer.usage))
            outbox.settlements.append(Settlement(lease: lease, outcome: pending.outcome(answer, reply)))
        case .refused(let error):
            desk.remove(lease.key)
            figures.refused += 1
            spend(pending, Spending())
            outbox.settlements.append(
                Settlement(lease: lease, outcome: Outcome(result: .error(error), backend: target.name)))
        case .later(let error, let afterMs):
            figures.limited += 1
            if !isStopping, pending.turnedAway < settings.maxTurnedAway { return desk.putBack(lease.key) }
            desk.remove(lease.key)
            spend(pending, Spending())
            if isStopping { return outbox.unsent.append(lease) }
            outbox.failures.append((lease, error, afterMs ?? retryMs(lease)))
        case .broken(let error, let afterMs):
            desk.remove(lease.key)
            figures.broken += 1
            // Of what was cut off nobody knows what it has cost.
            spend(pending, wasCutOff ? pending.grant?.claim.most ?? Spending() : Spending())
            log.debug("an attempt failed: \(error.message)", metadata: lease.metadata)
            // Not in the upstream's words: they may repeat what the request says.
            let what = reply.failure == nil ? "\(target.name) answered \(reply.status), \(error.code)" : error.message
            if let note = failures.take(what, of: target.name, at: now) { log.warning("\(note)") }
            outbox.failures.append((lease, error, afterMs ?? retryMs(lease)))
        case .parked(let error, let scope):
            park(pending, error, scope, at: now)
        }
    }

    /// Doubling with every attempt, and scattered, so that what failed together does not come back together.
    private func retryMs(_ lease: Lease) -> Int64 {
        let step = Double(settings.retryFirstMs) * Double(UInt64(1) << UInt64(min(lease.attempt - 1, 30)))
        return max(1, Int64(min(step, Double(settings.retryMostMs)) * .random(in: 0.5...1)))
    }

    private func park(
        _ pending: UpstreamDesk.Pending, _ error: OutcomeError, _ scope: UpstreamVerdict.ParkScope, at now: Timestamp
    ) {
        let until = settings.retryParkedMs.map { (now + $0).milliseconds } ?? .max
        let (isNew, waiting) = desk.park(pending, error, scope, until: until)
        if isNew {
            let place = pending.choice.target.id.description
            let what = scope == .route ? place : "\(place), model \(pending.model),"
            log.error("\(what) is parked, its requests stay queued: \(error.code): \(error.message)")
        }
        desk.remove(pending.lease.key)
        handBack(waiting + [pending])
    }
}
