import JobQueue

/// What a worker has to tell its store and could not yet. Bounded by what was leased: as long as something is in it
/// nothing more is.
struct Outbox {
    var settlements: [Settlement] = []
    /// Leases of requests that were not begun, or not finished in time.
    var handBacks: [Lease] = []

    var isEmpty: Bool { settlements.isEmpty && handBacks.isEmpty }
    var count: Int { settlements.count + handBacks.count }
}
