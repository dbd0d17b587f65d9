import JobQueue

/// When a worker's recurring duties are due next.
struct Agenda {
    enum Duty: Hashable { case renew, cancelCheck, recover, heartbeat, suspect }

    private var due: [Duty: Timestamp] = [:]

    /// Whether a duty's time has come; a duty without an interval has none.
    func isDue(_ duty: Duty, every intervalMs: Int64?, at now: Timestamp) -> Bool {
        guard intervalMs != nil else { return false }
        return due[duty].map { now >= $0 } ?? true
    }

    /// To be called when the duty is done; one that failed stays due.
    mutating func done(_ duty: Duty, every intervalMs: Int64?, at now: Timestamp) {
        due[duty] = now + (intervalMs ?? 0)
    }
}
