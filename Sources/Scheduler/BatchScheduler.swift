/// Packs sequences into steps: which rows of which sequence the next forward pass runs, and in
/// which blocks of the KV cache their keys and values lie. A synchronous value without I/O; the
/// engine's loop is
///
///     scheduler.schedule(into: &plan)          // what to run
///     ... forward pass, sampling ...
///     scheduler.commit(sampled)                // what came out; returns those that are done
///
/// or, where a step can be planned while the one before it is computed,
///
///     scheduler.commitAhead()
///     scheduler.schedule(into: &plan)          // rows of tokens that are not known yet
///     ... the last step's tokens arrive: scheduler.tell(token) ...
///
/// with `add`, `finish` and `cancel` at any time, also between the two.
///
/// **A step** (continuous batching with chunked prefill): every decoding sequence gets its row;
/// what is left of the token budget goes to prompts being computed, highest rank first, in chunks;
/// what is left then admits waiting sequences (`WaitingQueue` has the order) while places, budget
/// and blocks last. So sequences join and leave at every step.
///
/// **Blocks.** An admitted sequence gets blocks for all the tokens it has, and one more each time
/// it outgrows them. Admission beside others leaves a watermark and a share of the running
/// sequences' possible growth free. When blocks run out all the same, the lowest ranking running
/// sequence is preempted: its blocks go, and it waits again at the front of its class, to be
/// computed again over prompt and generated tokens. In a step that preempts nobody is admitted.
///
/// **Rank** among running sequences: priority, then first admission. After `seniorAfterPreemptions`
/// preemptions a sequence is senior and ranks before all that are not, seniors among themselves by
/// first admission.
///
/// **Everyone finishes.** The highest ranking running sequence gets its blocks (all others can be
/// preempted, and it fits alone, or `add` refused it) and at least one row in every step, so it
/// finishes. A sequence is outranked by finitely many once senior, and is so after finitely many
/// preemptions. A waiting sequence is admitted after finitely many others, since its class ages,
/// its tenant's share is bounded from below and its tenant's queue is in order of arrival.
///
/// **Several completions of one prompt** (`n > 1`): add one sequence for each. The first computes
/// the prompt; the others, if admitted in the same step, read the full blocks that it writes in
/// that step, or find them later; each computes only the prompt's last, partial block (at least its
/// last token) itself.
///
/// **Who ends a sequence.** The scheduler ends it at `maxNewTokens`; every other reason to stop is
/// the caller's, who calls `finish`.
package struct BatchScheduler: Sendable {
    /// What a prompt token that was computed, and a generated token, count in fair shares.
    static let promptTokenCost = 1.0
    static let generatedTokenCost = 2.0

    package let limits: SchedulerLimits
    var store = SequenceStore()
    var waiting: WaitingQueue
    /// Slots of running sequences, highest rank first.
    var running: [Int] = []
    var blocks: BlockManager
    var counts = SchedulerStatistics.Counts()

    /// Sequences that await a token: see `commitAhead`.
    var awaited = 0
    /// Slots that have rows in the step being computed; nil between steps.
    var inFlight: [Int]?
    /// Sum over running sequences of the tokens they may still generate.
    var remainingTokens = 0
    /// Mean tokens (prompt, and the reserved part of the completion) of recent sequences, for
    /// `room`.
    var typicalTokens = 0.0
    /// Who could not be admitted last for lack of blocks, and how many it needs: it is not tried
    /// again before there are.
    var blocked: (id: SequenceID, need: Int)?
    /// Reused by admissions.
    var prefix: [Int] = []

    /// - Parameter hashBits: bits of block hashes that are used; tests make hashes collide with
    ///   few.
    package init(_ limits: SchedulerLimits, hashBits: Int = 64) {
        self.limits = limits
        waiting = WaitingQueue(agingAdmissions: limits.agingAdmissions)
        blocks = BlockManager(
            blockSize: limits.blockSize, blockCount: limits.blockCount, hashBits: hashBits)
    }

    /// Neither waiting nor running sequences.
    package var isEmpty: Bool { store.count == 0 }

    package func contains(_ id: SequenceID) -> Bool { store.slot(of: id) != nil }

    /// A tenant of weight 2 gets twice the tokens of one of weight 1, which is what every tenant
    /// has at first.
    package mutating func setWeight(_ weight: Double, of tenant: TenantID) {
        waiting.setWeight(weight, of: tenant)
    }

    /// Queues a sequence.
    /// - Throws: `AdmissionError` when it could never run, or too many wait; nothing has changed
    ///   then.
    package mutating func add(_ new: NewSequence) throws(AdmissionError) {
        try check(new)
        var state = SequenceState()
        state.id = new.id
        state.tenant = new.tenant
        state.salt = new.cacheSalt
        state.needsPromptLogits = new.needsPromptLogits
        state.tokens = new.prompt
        state.promptCount = new.prompt.count
        state.maxNewTokens = new.maxNewTokens
        state.level = WaitingQueue.level(ofPriority: new.priority)
        state.originLevel = state.level
        waiting.append(store.insert(state), &store)

        let tokens = Double(new.prompt.count) + limits.growthReserve * Double(new.maxNewTokens)
        typicalTokens += (tokens - typicalTokens) / Double(min(counts.added + 1, 64))
        counts.added += 1
    }

    /// Takes a sequence out because the caller saw it end (a stop token, a stop string), at any
    /// time. Its blocks are free at once; full ones stay findable until others need the room.
    /// Called between `schedule` and `commit`, what the step samples for it is ignored.
    /// - Returns: nil when the sequence is not there.
    @discardableResult
    package mutating func finish(_ id: SequenceID) -> FinishedSequence? {
        guard let slot = store.slot(of: id) else { return nil }
        counts.finished += 1
        return leave(slot)
    }

    /// Like `finish`, for a sequence that nobody waits for any more.
    @discardableResult
    package mutating func cancel(_ id: SequenceID) -> FinishedSequence? {
        guard let slot = store.slot(of: id) else { return nil }
        counts.cancelled += 1
        return leave(slot)
    }

    private func check(_ new: NewSequence) throws(AdmissionError) {
        guard !new.prompt.isEmpty else { throw .emptyPrompt }
        guard new.maxNewTokens >= 0 else { throw .negativeNewTokens(new.maxNewTokens) }
        guard SchedulerLimits.priorities.contains(new.priority) else {
            throw .priority(new.priority)
        }
        let (length, overflow) = new.prompt.count.addingReportingOverflow(new.maxNewTokens)
        guard !overflow && length <= limits.contextLength else {
            throw .beyondContext(
                promptTokens: new.prompt.count, newTokens: new.maxNewTokens,
                contextLength: limits.contextLength)
        }
        guard new.cacheTokens <= limits.cacheTokens else {
            throw .beyondCache(
                promptTokens: new.prompt.count, newTokens: new.maxNewTokens,
                cacheTokens: limits.cacheTokens)
        }
        guard store.slot(of: new.id) == nil else { throw .duplicate(new.id) }
        guard waiting.count < limits.maxWaiting else {
            throw .tooManyWaiting(limit: limits.maxWaiting)
        }
    }

    mutating func leave(_ slot: Int) -> FinishedSequence {
        if store.states[slot].phase == .running {
            remainingTokens -= store.states[slot].remaining
            running.remove(at: runningPlace(slot))
            releaseBlocks(slot)
        } else {
            waiting.remove(slot, &store)
        }
        var state = store.remove(slot)
        if state.awaitsToken {
            state.tokens.removeLast()
            awaited -= 1
        }
        return FinishedSequence(
            id: state.id, tokens: state.tokens, promptCount: state.promptCount,
            cachedPromptTokens: state.cachedPromptTokens, preemptions: state.preemptions)
    }

    /// From the last block to the first, so that children are evicted before their parents.
    mutating func releaseBlocks(_ slot: Int) {
        for block in store.states[slot].table.reversed() { blocks.release(Int(block)) }
        store.states[slot].table.removeAll()
        store.states[slot].published = 0
        store.states[slot].computed = 0
        store.states[slot].rows = 0
    }

    /// Where a slot stands in `running`, or would by its rank.
    func runningPlace(_ slot: Int) -> Int {
        var low = 0
        var high = running.count
        while low < high {
            let middle = (low + high) / 2
            if store.states[running[middle]].outranks(store.states[slot]) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}
