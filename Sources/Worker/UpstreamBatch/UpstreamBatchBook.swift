import Foundation
import JobQueue
import Scheduler

/// The records of batches at upstreams, and what is set aside for them: one step of the store changes both.
struct UpstreamBatchBook: Sendable {
    /// A request that is to go into a batch, and what it can cost at most.
    struct Candidate: Sendable {
        var entry: UpstreamBatchRecord.Entry
        var claim: SpendBook.Claim
    }

    /// What became of candidates.
    struct Beginning: Sendable {
        /// With those that caps let through, in their order; nil: none.
        var record: UpstreamBatchRecord?
        /// Why the others are not in it, by place.
        var refused: [Int: SpendBook.CapReached] = [:]
    }

    let records: any RecordStore
    let spending: SpendBook?
    let keeper: String
    let keepMs: Int64

    // MARK: A batch's life

    /// Writes a record and sets aside what its requests can cost; neither is there without the other.
    /// - Parameter durationMs: how long that is set aside without `renew`; then it counts as spent, perhaps.
    func begin(
        _ draft: UpstreamBatchRecord, _ candidates: [Candidate], durationMs: Int64, at now: Timestamp
    ) async throws(JobQueueError) -> Beginning {
        guard let spending else {
            var record = draft
            record.entries = candidates.map(\.entry)
            try await records.change([record.name]) { [record] in $0[0] = Self.encoded(record) }
            return Beginning(record: record)
        }
        let verdicts = try await spending.reserve(
            candidates.map(\.claim), for: draft.token, durationMs: durationMs, at: now, with: draft.name
        ) { Self.beginning(draft, candidates, $0).record.flatMap(Self.encoded) }
        return Self.beginning(draft, candidates, verdicts)
    }

    private static func beginning(
        _ draft: UpstreamBatchRecord, _ candidates: [Candidate], _ verdicts: [SpendBook.Verdict]
    ) -> Beginning {
        var record = draft
        var payers: [UpstreamBatchRecord.Payer] = []
        var places: [[String]: Int] = [:]
        var refused: [Int: SpendBook.CapReached] = [:]
        for (place, verdict) in verdicts.enumerated() {
            switch verdict {
            case .granted(let grant):
                var entry = candidates[place].entry
                let payer = places[grant.records] ?? payers.count
                if payer == payers.count {
                    places[grant.records] = payer
                    payers.append(.init(accounts: grant.records, reserved: Spending()))
                }
                payers[payer].reserved += grant.claim.most
                entry.payer = payer
                record.entries.append(entry)
            case .refused(let reached): refused[place] = reached
            }
        }
        record.payers = payers
        return Beginning(record: record.entries.isEmpty ? nil : record, refused: refused)
    }

    /// Changes what is on record. False: it is another forwarder's by now, or gone.
    func update(
        _ record: UpstreamBatchRecord, _ body: @Sendable (inout UpstreamBatchRecord) -> Void
    ) async throws(JobQueueError) -> Bool {
        try await changeOurs(record) { value, known in
            body(&known)
            value = Self.encoded(known)
            return true
        }
    }

    private func changeOurs(
        _ record: UpstreamBatchRecord,
        _ body: @Sendable (_ value: inout [UInt8]?, _ known: inout UpstreamBatchRecord) -> Bool
    ) async throws(JobQueueError) -> Bool {
        let keeper = keeper
        return try await records.change([record.name]) { values in
            guard var known = Self.decoded(values[0]), known.keeper == keeper else { return false }
            return body(&values[0], &known)
        }
    }

    func isGone(_ record: UpstreamBatchRecord) async throws(JobQueueError) -> Bool {
        try await records.change([record.name]) { $0[0] == nil }
    }

    /// It is alive: what is set aside lasts longer.
    func renew(_ record: UpstreamBatchRecord, durationMs: Int64, at now: Timestamp) async throws(JobQueueError) {
        let accounts = Set((record.payers ?? []).flatMap(\.accounts))
        try await spending?.renew(Array(accounts), for: record.token, durationMs: durationMs, at: now)
    }

    /// All requests are settled: so is what they did cost, in the same step, however often somebody tries.
    /// - Parameters:
    ///   - costs: by payer.
    ///   - files: what is to be deleted at the upstream; none: the record is removed.
    /// - Returns: false when it was done before, or is another forwarder's by now.
    func end(
        _ record: UpstreamBatchRecord, costs: [Spending], leaving files: [String], at now: Timestamp
    ) async throws(JobQueueError) -> Bool {
        let keeper = keeper
        let close = { @Sendable (value: inout [UInt8]?) -> Bool in
            guard var known = Self.decoded(value), known.keeper == keeper, known.leftFiles == nil else { return false }
            known.entries = []
            known.payers = nil
            known.leftFiles = files
            value = files.isEmpty ? nil : Self.encoded(known)
            return true
        }
        guard let spending else {
            return try await records.change([record.name]) { close(&$0[0]) }
        }
        return try await spending.settle(record.parts(costs), for: record.token, at: now, with: record.name, close)
    }

    func remove(_ record: UpstreamBatchRecord) async throws(JobQueueError) {
        try await records.change([record.name]) { $0[0] = nil }
    }

    /// Removes the record of a batch that nobody can ask about. False: somebody can by now, or it is another
    /// forwarder's.
    func forget(_ record: UpstreamBatchRecord, orphanedSince: Int64) async throws(JobQueueError) -> Bool {
        try await changeOurs(record) { value, known in
            guard known.orphanedAt == orphanedSince else { return false }
            value = nil
            return true
        }
    }

    // MARK: Keeping

    /// Takes on what is nobody's, and goes on keeping what is ours.
    func keep(at now: Timestamp) async throws(JobQueueError) -> [UpstreamBatchRecord] {
        var kept: [UpstreamBatchRecord] = []
        for name in try await records.recordNames(prefix: UpstreamBatchRecord.prefix) {
            let (keeper, keepMs) = (keeper, keepMs)
            let record = try await records.change([name]) { values -> UpstreamBatchRecord? in
                guard var record = Self.decoded(values[0]),
                    record.keeper == keeper || record.keptUntil <= now.milliseconds
                else { return nil }
                record.keeper = keeper
                record.keptUntil = (now + keepMs).milliseconds
                values[0] = Self.encoded(record)
                return record
            }
            if let record { kept.append(record) }
        }
        return kept
    }

    func letGo() async throws(JobQueueError) {
        for name in try await records.recordNames(prefix: UpstreamBatchRecord.prefix) {
            let keeper = keeper
            try await records.change([name]) { values in
                guard var record = Self.decoded(values[0]), record.keeper == keeper else { return }
                record.keptUntil = 0
                values[0] = Self.encoded(record)
            }
        }
    }

    private static func decoded(_ value: [UInt8]?) -> UpstreamBatchRecord? {
        value.flatMap { try? JSONDecoder().decode(UpstreamBatchRecord.self, from: Data($0)) }
    }

    private static func encoded(_ record: UpstreamBatchRecord) -> [UInt8]? {
        // Names and numbers alone: always encodable.
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return (try? encoder.encode(record)).map { [UInt8]($0) }
    }
}
