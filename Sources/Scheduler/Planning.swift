/// Planning a step.
extension BatchScheduler {
    /// The next step, as a new plan; the engine's loop reuses one with `schedule(into:)`.
    package mutating func schedule() -> StepPlan {
        var plan = StepPlan()
        schedule(into: &plan)
        return plan
    }

    /// Replaces `plan` by the next step. It is empty only when no sequence is left; otherwise it is
    /// run whole, and `commit` (or `commitAhead`, or `abandon`) comes before the next `schedule`.
    package mutating func schedule(into plan: inout StepPlan) {
        precondition(inFlight == nil, "commit or abandon the last step before scheduling another")
        plan.removeAll()
        var slots: [Int] = []
        slots.reserveCapacity(running.count + 1)
        growTables(&plan)

        for slot in running where store.states[slot].isDecoding {
            emit(slot, rows: 1, .decode, &plan)
            slots.append(slot)
        }
        for slot in running where !store.states[slot].isDecoding {
            let rows = min(store.states[slot].missing, limits.tokenBudget - plan.rowCount)
            guard rows > 0 else { break }
            emit(slot, rows: rows, .prefill, &plan)
            slots.append(slot)
        }
        if plan.preempted.isEmpty { admit(&plan, &slots) }

        guard !plan.isEmpty else { return }
        inFlight = slots
        counts.steps += 1
    }

    /// Gives every running sequence blocks for all its tokens, highest rank first, at the expense
    /// of the lowest.
    private mutating func growTables(_ plan: inout StepPlan) {
        var place = 0
        while place < running.count {
            let slot = running[place]
            let isCovered =
                store.states[slot].table.count * limits.blockSize >= store.states[slot].tokens.count
            if isCovered {
                place += 1
            } else if let block = blocks.allocate() {
                store.states[slot].table.append(Int32(block))
            } else {
                preemptLowest(&plan)
            }
        }
    }

    private mutating func preemptLowest(_ plan: inout StepPlan) {
        let slot = running.removeLast()
        releaseBlocks(slot)
        remainingTokens -= store.states[slot].remaining
        store.states[slot].preemptions += 1
        if store.states[slot].preemptions >= limits.seniorAfterPreemptions {
            store.states[slot].level = WaitingQueue.seniorLevel
        }
        waiting.insertPreempted(slot, &store)
        counts.preemptions += 1
        plan.preempted.append(store.states[slot].id)
    }

    /// Writes the next `rows` rows of a running sequence into the plan, and publishes the blocks
    /// that they fill.
    mutating func emit(_ slot: Int, rows: Int, _ phase: StepPlan.Phase, _ plan: inout StepPlan) {
        let start = store.states[slot].computed
        let end = start + rows
        let firstRow = plan.tokens.count
        let firstBlock = plan.blockTables.count
        let firstLogit = plan.logitRows.count
        let blockCount = (end + limits.blockSize - 1) / limits.blockSize
        let samples = end == store.states[slot].tokens.count && store.states[slot].maxNewTokens > 0

        plan.tokens.append(contentsOf: store.states[slot].tokens[start..<end])
        plan.blockTables.append(contentsOf: store.states[slot].table[..<blockCount])
        for position in start..<end {
            let block = Int(plan.blockTables[firstBlock + position / limits.blockSize])
            plan.positions.append(Int32(truncatingIfNeeded: position))
            plan.slots.append(
                Int32(truncatingIfNeeded: block * limits.blockSize + position % limits.blockSize))
        }
        if store.states[slot].needsPromptLogits {
            let first = max(start, store.states[slot].deliveredLogits)
            let last = min(end, store.states[slot].promptCount - 1)
            for position in stride(from: first, to: last, by: 1) {
                plan.logitRows.append(Int32(truncatingIfNeeded: firstRow + position - start))
            }
        }
        if samples { plan.logitRows.append(Int32(truncatingIfNeeded: firstRow + rows - 1)) }
        plan.entries.append(
            StepPlan.Entry(
                id: store.states[slot].id, phase: phase, rows: firstRow..<(firstRow + rows),
                start: start,
                blocks: firstBlock..<(firstBlock + blockCount),
                logits: firstLogit..<plan.logitRows.count,
                samples: samples, awaitsToken: store.states[slot].awaitsToken))

        if phase == .decode { counts.decodeRows += rows } else { counts.prefillRows += rows }
        store.states[slot].rows = rows
        store.states[slot].samples = samples
        store.states[slot].sampled = nil
        // A block with a token that is not known yet is published once it is computed.
        if limits.sharesWithinStep && !store.states[slot].awaitsToken {
            publishPending(slot, upTo: end / limits.blockSize)
        }
    }

    /// Lets sequences planned later in this step find the blocks that this one fills. A block that
    /// is there already, under another number, waits for `commit`.
    private mutating func publishPending(_ slot: Int, upTo fullBlocks: Int) {
        while store.states[slot].published < fullBlocks {
            let number = store.states[slot].published
            let parent = number == 0 ? BlockManager.root : Int(store.states[slot].table[number - 1])
            let publication = blocks.publish(
                Int(store.states[slot].table[number]), parent: parent, store.states[slot].tokens,
                number * limits.blockSize, salt: store.states[slot].salt, pending: true)
            guard publication == .published else { return }
            store.states[slot].published = number + 1
        }
    }
}
