/// One step: which rows of which sequences a forward pass runs, laid out as kernels want them, so
/// that turning it into a packed batch copies nothing. Reuse one plan for all steps
/// (`schedule(into:)`): it keeps its memory.
///
/// Nothing is ever copied between blocks: only full blocks are shared, and a full block is never
/// written again.
package struct StepPlan: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package var id: SequenceID
        package var phase: Phase
        /// Rows of this sequence in `tokens`, `positions` and `slots`.
        package var rows: Range<Int>
        /// Position of the first of those rows; what lies before it is in the KV cache, or written
        /// by a row of this step that belongs to an earlier entry (blocks shared within the step).
        package var start: Int
        /// Its part of `blockTables`: `ceil((start + rows.count) / blockSize)` blocks.
        package var blocks: Range<Int>
        /// Its part of `logitRows`. Each but the last is a prompt row whose logits were asked for,
        /// and scores the token at `positions[row] + 1`; the last one is to be sampled from if
        /// `samples`, else it is such a prompt row too.
        package var logits: Range<Int>
        /// Whether `commit` expects a token for this sequence.
        package var samples: Bool
        /// Its one row's token is what the step before samples for it, and not known yet; `tokens` has 0.
        package var awaitsToken = false
    }

    package enum Phase: Sendable, Equatable {
        /// Tokens of a prompt, or of a preempted sequence that is computed again.
        case prefill
        /// One row: the token sampled last.
        case decode
    }

    /// Decodes first, then running prefills, then sequences admitted in this step.
    package var entries: [Entry] = []
    /// `[rows]` token ids.
    package var tokens: [Int32] = []
    /// `[rows]` position of each token in its sequence.
    package var positions: [Int32] = []
    /// `[rows]` where K/V are written: block number * block size + offset.
    package var slots: [Int32] = []
    /// Block tables of all entries, one after another.
    package var blockTables: [Int32] = []
    /// Rows whose logits are wanted, ascending.
    package var logitRows: [Int32] = []
    /// Sequences that lost their blocks to others in this step; they wait again, and need nothing
    /// from the caller.
    package var preempted: [SequenceID] = []

    package init() {}

    package var rowCount: Int { tokens.count }
    /// Nothing to run: every sequence has left.
    package var isEmpty: Bool { entries.isEmpty }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        tokens.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
        slots.removeAll(keepingCapacity: true)
        blockTables.removeAll(keepingCapacity: true)
        logitRows.removeAll(keepingCapacity: true)
        preempted.removeAll(keepingCapacity: true)
    }
}
