/// What becomes of a step.
extension BatchScheduler {
    /// The step was computed: its K/V are there, and its sampled tokens join their sequences.
    ///
    /// - Parameter sampled: a token for every entry of the plan that samples; those of sequences
    ///   that left in the meantime are ignored, and may be missing.
    /// - Returns: the sequences that reached `maxNewTokens`, which have left.
    @discardableResult
    package mutating func commit(_ sampled: [SampledToken]) -> [FinishedSequence] {
        precondition(inFlight != nil || sampled.isEmpty, "there is no step to commit")
        for sample in sampled {
            guard let slot = store.slot(of: sample.id), store.states[slot].rows > 0 else {
                continue
            }
            precondition(
                store.states[slot].samples, "\(sample.id) was not to be sampled in this step")
            store.states[slot].sampled = sample.token
        }
        return land(ahead: false)
    }

    /// `commit` before the step's tokens are known, so that the next step can be planned while this one is computed.
    /// Each sampled sequence goes on with a token that `tell` brings: after the next `schedule`, and before what is
    /// then called next of `commit`, `commitAhead` and `abandon`.
    /// - Returns: the sequences that reached `maxNewTokens`, which have left, without their last token.
    package mutating func commitAhead() -> [FinishedSequence] { land(ahead: true) }

    /// The token of a sequence that `commitAhead` went on with. Sequences that left in the meantime are ignored.
    package mutating func tell(_ sample: SampledToken) {
        guard let slot = store.slot(of: sample.id), store.states[slot].awaitsToken else { return }
        store.states[slot].tokens[store.states[slot].tokens.count - 1] = sample.token
        store.states[slot].awaitsToken = false
        awaited -= 1
    }

    /// What was in flight is computed, or will be before anything that is planned from now on.
    private mutating func land(ahead: Bool) -> [FinishedSequence] {
        guard let slots = inFlight else { return [] }
        precondition(awaited == 0, "\(awaited) tokens of the step before were not told")
        inFlight = nil
        blocks.settle()
        var finished: [FinishedSequence] = []
        // A sequence that left has no rows, nor has one that took over its slot.
        for slot in slots where store.states[slot].rows > 0 {
            advance(slot)
            if store.states[slot].samples { append(slot, ahead: ahead) }
            // With no new token to generate, it is done once its prompt is computed.
            let isDone =
                store.states[slot].remaining == 0
                && (store.states[slot].maxNewTokens > 0 || store.states[slot].missing == 0)
            if isDone {
                counts.finished += 1
                finished.append(leave(slot))
            }
        }
        return finished
    }

    /// The step came to nothing: the forward pass failed. All its sequences wait again, as if
    /// preempted, and are computed from their start; tokens sampled in earlier steps stay.
    package mutating func abandon() {
        guard let slots = inFlight else { return }
        precondition(awaited == 0, "\(awaited) tokens of the step before were not told")
        inFlight = nil
        blocks.withdraw()
        for slot in slots where store.states[slot].rows > 0 {
            remainingTokens -= store.states[slot].remaining
            running.remove(at: runningPlace(slot))
            releaseBlocks(slot)
            waiting.insertPreempted(slot, &store)
        }
    }

    /// The rows in flight are computed.
    private mutating func advance(_ slot: Int) {
        store.states[slot].computed += store.states[slot].rows
        store.states[slot].rows = 0
        store.states[slot].deliveredLogits = max(
            store.states[slot].deliveredLogits,
            min(store.states[slot].computed, store.states[slot].promptCount))
        publishComputed(slot)
    }

    private mutating func append(_ slot: Int, ahead: Bool) {
        if ahead {
            store.states[slot].tokens.append(SequenceState.unknownToken)
            store.states[slot].awaitsToken = true
            awaited += 1
        } else {
            guard let token = store.states[slot].sampled else {
                preconditionFailure("commit lacks the token of \(store.states[slot].id)")
            }
            store.states[slot].tokens.append(token)
        }
        remainingTokens -= 1
        waiting.charge(
            store.states[slot].tenant, level: store.states[slot].originLevel,
            Self.generatedTokenCost)
    }

    /// Publishes the full blocks that are not yet. Where the prefix cache has the same prefix in
    /// another block, the sequence goes over to that one and gives up its own: what they hold is
    /// the same, bit for bit, and no block is ever kept twice.
    private mutating func publishComputed(_ slot: Int) {
        let fullBlocks = store.states[slot].computed / limits.blockSize
        while store.states[slot].published < fullBlocks {
            let number = store.states[slot].published
            let own = Int(store.states[slot].table[number])
            let parent = number == 0 ? BlockManager.root : Int(store.states[slot].table[number - 1])
            switch blocks.publish(
                own, parent: parent, store.states[slot].tokens, number * limits.blockSize,
                salt: store.states[slot].salt, pending: false)
            {
            case .published: break
            case .duplicate(let other):
                blocks.retain(other)
                blocks.release(own)
                store.states[slot].table[number] = Int32(other)
            case .refused: return
            }
            store.states[slot].published = number + 1
        }
    }
}
