import JobQueue
import Scheduler

/// A batch of ours at an upstream, kept beside the queue until all its requests are settled and its files are deleted,
/// so that it is found again whatever dies.
struct UpstreamBatchRecord: Codable, Equatable, Sendable {
    struct Entry: Codable, Equatable, Sendable {
        var batch: String
        var ordinal: Int
        var attempt: Int
        var isMapped: Bool
        /// Place in `payers`; nil: nothing is set aside for it.
        var payer: Int?

        var lease: Lease {
            Lease(key: RequestKey(batch: BatchID(batch), ordinal: ordinal), attempt: attempt)
        }
    }

    /// Requests whose costs are counted in the same accounts, and what is set aside in each of these for all of them.
    /// It is so under the record's token: nobody else's reservation is mixed with it, whoever looks after the record.
    struct Payer: Codable, Equatable, Sendable {
        var accounts: [String]
        var reserved: Spending
    }

    /// Stands in the upstream's metadata: by it a batch is found that was created just before somebody died.
    var token: String
    var target: String
    /// Whose key; nil: the operator's.
    var owner: String?
    /// As the upstream names it.
    var model: String
    var entries: [Entry] = []
    var payers: [Payer]?
    /// The upstream's name for the file of requests, once it is there.
    var inputFile: String?
    /// The upstream's name for it; nil: it may not exist.
    var id: String?
    /// Not nil: everything is settled, and these files are left at the upstream to be deleted.
    var leftFiles: [String]?
    var deletions: Int?
    /// Since when the upstream says, whenever it is asked, that it has no such batch, or no such file of results.
    var absentSince: Int64?
    /// Since when there is no backend of this name any more, or no key for it.
    var orphanedAt: Int64?
    /// The forwarder that looks after it, until then.
    var keeper: String
    var keptUntil: Int64

    static let prefix = "upstream-batch/"
    var name: String { Self.prefix + token }

    /// What the requests of each payer did cost, as accounts are told it.
    func parts(_ costs: [Spending]) -> [SpendBook.Part] {
        zip(payers ?? [], costs).map { SpendBook.Part(accounts: $0.accounts, reserved: $0.reserved, actual: $1) }
    }
}
