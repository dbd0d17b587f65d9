/// What `checkIntegrity` found broken: a fault of the scheduler itself.
package struct IntegrityError: Error, CustomStringConvertible {
    package let violations: [String]
    package var description: String { violations.joined(separator: "; ") }
}

extension BatchScheduler {
    /// Checks everything that must always hold, at any time between calls: blocks conserved and
    /// held as block tables say, the prefix cache consistent with its tokens, every sequence in
    /// exactly one place, sums equal to what they sum. Costs time in proportion to all blocks and
    /// sequences: for tests, and for hunting a fault.
    package func checkIntegrity() throws(IntegrityError) {
        var found = store.violations()
        var references = Array(repeating: 0, count: limits.blockCount)
        var remaining = 0
        for (place, slot) in running.enumerated() {
            let state = store.states[slot]
            if state.phase != .running { found.append("\(state.id) runs but is not marked so") }
            if place > 0 && !store.states[running[place - 1]].outranks(state) {
                found.append("\(state.id) runs out of rank")
            }
            for block in state.table { references[Int(block)] += 1 }
            remaining += state.remaining
            checkTable(state, &found)
        }
        for state in store.states where state.phase != .running {
            if !state.table.isEmpty || state.computed + state.published + state.rows > 0 {
                found.append("\(state.id) holds blocks or has rows without running")
            }
        }
        found += blocks.violations(references: references)
        found += waiting.violations(store)
        if running.count > limits.maxSequences { found.append("\(running.count) sequences run") }
        if running.count + waiting.count != store.count {
            found.append("a sequence neither waits nor runs")
        }
        if remaining != remainingTokens {
            found.append("\(remaining) tokens remain to be generated, \(remainingTokens) counted")
        }
        let awaited = store.states.count { $0.phase != .vacant && $0.awaitsToken }
        if awaited != self.awaited { found.append("\(awaited) sequences await a token, \(self.awaited) counted") }
        checkFlight(&found)
        if !found.isEmpty { throw IntegrityError(violations: found) }
    }

    private func checkTable(_ state: SequenceState, _ found: inout [String]) {
        let size = limits.blockSize
        let end = state.computed + state.rows
        if end > state.tokens.count { found.append("\(state.id) computed more tokens than it has") }
        if state.table.count * size < end { found.append("\(state.id) has too few blocks") }
        if (state.table.count - 1) * size >= state.tokens.count {
            found.append("\(state.id) has too many blocks")
        }
        if state.published > end / size {
            found.append("\(state.id) published blocks that are not full")
        }
        if state.remaining < 0 { found.append("\(state.id) generated too much") }
        if state.awaitsToken && (state.computed == state.tokens.count || !state.isDecoding) {
            found.append("\(state.id) awaits a token that is computed already")
        }
        if state.awaitsToken && state.published * size >= state.tokens.count {
            found.append("\(state.id) published a token that is not known")
        }
        var parent = BlockManager.root
        for (number, block) in state.table.enumerated() {
            let block = Int(block)
            if number < state.published {
                if !blocks.stands(
                    block, parent: parent, for: state.tokens, number * size, salt: state.salt)
                {
                    found.append("\(state.id) shares block \(block), which holds something else")
                }
            } else if blocks.blocks[block].isPublished || blocks.blocks[block].references != 1 {
                found.append("\(state.id) may write to block \(block), which is not its own")
            }
            parent = block
        }
    }

    private func checkFlight(_ found: inout [String]) {
        let rows = running.reduce(0) { $0 + store.states[$1].rows }
        if rows > limits.tokenBudget { found.append("\(rows) rows are in flight") }
        guard let slots = inFlight else {
            if rows > 0 { found.append("\(rows) rows are in flight without a step") }
            if blocks.blocks.contains(where: \.isPending) {
                found.append("blocks are pending without a step")
            }
            return
        }
        let flying = Set(slots)
        for slot in running where store.states[slot].rows > 0 && !flying.contains(slot) {
            found.append("\(store.states[slot].id) has rows but is not in flight")
        }
    }
}
