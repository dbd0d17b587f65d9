/// Admitting waiting sequences into a step.
extension BatchScheduler {
    mutating func admit(_ plan: inout StepPlan, _ slots: inout [Int]) {
        while plan.rowCount < limits.tokenBudget, running.count < limits.maxSequences,
            let slot = waiting.next(), findBlocks(slot)
        {
            start(slot)
            let rows = min(store.states[slot].missing, limits.tokenBudget - plan.rowCount)
            emit(slot, rows: rows, .prefill, &plan)
            slots.append(slot)
        }
    }

    /// Whether there are blocks to admit the slot; `prefix` then holds those that the prefix cache
    /// has for it.
    private mutating func findBlocks(_ slot: Int) -> Bool {
        let id = store.states[slot].id
        let spare =
            running.isEmpty
            ? 0 : limits.watermarkBlocks + growthBlocks(store.states[slot].remaining)
        if let blocked, blocked.id == id, !running.isEmpty,
            blocks.availableCount < blocked.need + spare
        {
            return false
        }
        let tokens = store.states[slot].tokens.count
        blocks.longestPrefix(
            of: store.states[slot].tokens,
            limit: store.states[slot].firstToCompute / limits.blockSize,
            salt: store.states[slot].salt, into: &prefix)
        // A hit that nobody references now is taken from the available ones, like a new block.
        let held = prefix.count { blocks.blocks[$0].references > 0 }
        let need = (tokens + limits.blockSize - 1) / limits.blockSize - held
        if blocks.availableCount >= need + spare {
            blocked = nil
            return true
        }
        blocked = (id, need)
        return false
    }

    /// Blocks to leave free for what running sequences, and one with `more` tokens to generate,
    /// will need.
    func growthBlocks(_ more: Int) -> Int {
        Int(limits.growthReserve * Double(remainingTokens + more)) / limits.blockSize
    }

    /// Makes the slot a running sequence with blocks for all its tokens, the first of them from
    /// `prefix`.
    private mutating func start(_ slot: Int) {
        waiting.admit(slot, &store)
        for block in prefix { blocks.retain(block) }
        let tokens = store.states[slot].tokens.count
        let blockCount = (tokens + limits.blockSize - 1) / limits.blockSize
        store.states[slot].table.reserveCapacity(blockCount + 1)
        for block in prefix { store.states[slot].table.append(Int32(block)) }
        while store.states[slot].table.count < blockCount {
            guard let block = blocks.allocate() else {
                preconditionFailure("blocks were counted before")
            }
            store.states[slot].table.append(Int32(block))
        }
        let hits = prefix.count * limits.blockSize
        store.states[slot].phase = .running
        store.states[slot].computed = hits
        store.states[slot].published = prefix.count
        counts.prefixTokens += tokens
        counts.prefixHitTokens += hits
        if store.states[slot].admission == .max {
            store.states[slot].admission = waiting.admissions
            store.states[slot].cachedPromptTokens = hits
            waiting.charge(
                store.states[slot].tenant, level: store.states[slot].originLevel,
                Self.promptTokenCost * Double(tokens - hits))
        } else {
            counts.recomputedTokens += tokens - hits
        }
        remainingTokens += store.states[slot].remaining
        running.insert(slot, at: runningPlace(slot))
    }
}
