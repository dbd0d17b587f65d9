/// A sequence inside the scheduler.
struct SequenceState: Sendable {
    enum Phase: Sendable, Equatable {
        /// The slot is empty.
        case vacant
        /// Never ran.
        case waiting
        /// Ran, lost its blocks, waits to run again.
        case preempted
        case running
    }

    var id = SequenceID(0)
    var tenant = TenantID(0)
    var salt: UInt64 = 0
    var needsPromptLogits = false
    /// Prompt and generated tokens.
    var tokens: [Int32] = []
    /// The last of `tokens` is `unknownToken`, until `tell` brings the right one.
    var awaitsToken = false
    static let unknownToken: Int32 = 0
    var promptCount = 0
    var maxNewTokens = 0

    var phase = Phase.vacant
    /// Priority class it was added to, which its tenant is charged in.
    var originLevel = 0
    /// Priority class it ranks in; rises to senior.
    var level = 0
    /// Number of its first admission; the order among sequences of a level.
    var admission = Int.max
    var preemptions = 0

    /// Blocks of positions 0, blockSize, ...; empty unless running.
    var table: [Int32] = []
    /// Leading blocks of `table` that are published in the prefix cache.
    var published = 0
    /// Tokens whose K/V are computed and committed.
    var computed = 0
    /// Rows in the step that is being computed.
    var rows = 0
    /// Whether the last of those rows is sampled from, and what came out.
    var samples = false
    var sampled: Int32?
    /// Prompt rows whose logits were delivered, for `needsPromptLogits`.
    var deliveredLogits = 0
    var cachedPromptTokens = 0

    /// Neighbours in the queue of its tenant while waiting.
    var previous = -1
    var next = -1

    /// New tokens it may still generate.
    var remaining: Int { maxNewTokens - (tokens.count - promptCount) }
    /// Tokens to compute before it can be sampled from.
    var missing: Int { tokens.count - computed }
    var isDecoding: Bool { missing == 1 && tokens.count > promptCount }

    /// The first position that the prefix cache may not serve: the first whose prompt logits are
    /// still owed, the last at the latest, for its logits.
    var firstToCompute: Int {
        needsPromptLogits && deliveredLogits < promptCount ? deliveredLogits : tokens.count - 1
    }

    /// Whether it is served before the other: a higher level first, then the earlier admission.
    func outranks(_ other: SequenceState) -> Bool {
        (other.level, admission) < (level, other.admission)
    }
}
