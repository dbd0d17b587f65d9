import Foundation
import JobQueue

/// A batch of ours at an upstream, kept beside the queue until all its requests are settled, so that it is found again
/// whatever dies.
struct UpstreamBatchRecord: Codable, Equatable, Sendable {
    struct Entry: Codable, Equatable, Sendable {
        var batch: String
        var ordinal: Int
        var attempt: Int
        var isMapped: Bool

        var lease: Lease {
            Lease(key: RequestKey(batch: BatchID(batch), ordinal: ordinal), attempt: attempt)
        }
    }

    /// Stands in the upstream's metadata: by it a batch is found that was created just before somebody died.
    var token: String
    var target: String
    /// Whose key; nil: the operator's.
    var owner: String?
    /// As the upstream names it.
    var model: String
    var entries: [Entry]
    /// The upstream's name for it; nil: it may not exist.
    var id: String?
    /// The forwarder that looks after it, until then.
    var keeper: String
    var keptUntil: Int64

    static let prefix = "upstream-batch/"
    var name: String { Self.prefix + token }
}

/// Those records.
struct UpstreamBatchBook: Sendable {
    let records: any RecordStore
    let keeper: String
    let keepMs: Int64

    func write(_ record: UpstreamBatchRecord) async throws(JobQueueError) {
        try await records.change([record.name]) { $0[0] = Self.encoded(record) }
    }

    func remove(_ record: UpstreamBatchRecord) async throws(JobQueueError) {
        try await records.change([record.name]) { $0[0] = nil }
    }

    /// Takes on what is nobody's, and goes on keeping what is ours.
    func keep(at now: Timestamp) async throws(JobQueueError) -> [UpstreamBatchRecord] {
        var kept: [UpstreamBatchRecord] = []
        for name in try await records.recordNames(prefix: UpstreamBatchRecord.prefix) {
            let (keeper, keepMs) = (keeper, keepMs)
            let record = try await records.change([name]) { values -> UpstreamBatchRecord? in
                guard let value = values[0],
                    var record = try? JSONDecoder().decode(UpstreamBatchRecord.self, from: Data(value)),
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
                guard let value = values[0],
                    var record = try? JSONDecoder().decode(UpstreamBatchRecord.self, from: Data(value)),
                    record.keeper == keeper
                else { return }
                record.keptUntil = 0
                values[0] = Self.encoded(record)
            }
        }
    }

    private static func encoded(_ record: UpstreamBatchRecord) -> [UInt8]? {
        // Names and numbers alone: always encodable.
        (try? JSONEncoder().encode(record)).map { [UInt8]($0) }
    }
}
