import Scheduler

/// A step of the simulation: what the scheduler plans is checked from outside, computed on the model cache, committed.
extension Simulation {
    func advance() throws {
        let before = scheduler.statistics
        let needed = blocksNeeded()
        scheduler.schedule(into: &plan)
        try checkIntegrity()
        try checkPreemptions(needed: needed, available: before.blocksFree + before.blocksCached)
        try require(plan.isEmpty == live.isEmpty, "a step is empty with \(live.count) sequences there")
        if !plan.isEmpty {
            step += 1
            try checkEntries()
            try checkNothingIdle()
            let sampled = try compute()
            try cancelSome()
            try reuseSomeID(sampled)
            if random.chance(setup.abandonsPerMille) { abandon() } else { try commit(sampled) }
        }
        try checkIntegrity()
        let statistics = scheduler.statistics
        let runningCount = live.values.count(where: \.isRunning)
        try require(
            statistics.running == runningCount && statistics.waiting == live.count - runningCount,
            "sequences are miscounted")
        try require(
            statistics.blocksFree + statistics.blocksCached + statistics.blocksUsed == setup.limits.blockCount,
            "blocks are lost")
        try require(runningCount > 0 || statistics.blocksUsed == 0, "blocks are used by nobody")
        for subject in live.values { try require(step <= subject.deadline, "\(subject.id) starves") }
    }

    private func checkIntegrity() throws {
        do {
            try scheduler.checkIntegrity()
        } catch {
            try require(false, "\(error)")
        }
    }

    /// Blocks that running sequences have outgrown their tables by.
    private func blocksNeeded() -> Int {
        live.values.count { $0.isDecoding && ($0.tokens.count - 1) % setup.limits.blockSize == 0 }
    }

    /// Somebody is preempted when, and only when, blocks run out, and then whoever ranks lowest.
    private func checkPreemptions(needed: Int, available: Int) throws {
        try require(
            plan.preempted.isEmpty == (needed <= available),
            "\(plan.preempted.count) are preempted with \(needed) of \(available) blocks needed")
        guard !plan.preempted.isEmpty else { return }
        let victims = plan.preempted.compactMap { live[$0.rawValue] }
        for (place, victim) in victims.enumerated() {
            try require(victim.isRunning, "\(victim.id) is preempted, but did not run")
            victim.isRunning = false
            for other in live.values where other.isRunning {
                let isVictim = victims[place...].contains { $0 === other }
                try require(
                    other.rank(setup.limits) < victim.rank(setup.limits) || isVictim,
                    "\(victim.id) is preempted before \(other.id), which ranks lower")
            }
        }
        for victim in victims {
            victim.isDecoding = false
            victim.preemptions += 1
        }
    }

    private func checkEntries() throws {
        try require(plan.rowCount <= setup.limits.tokenBudget, "\(plan.rowCount) rows exceed the budget")
        try require(plan.entries.count <= setup.limits.maxSequences, "\(plan.entries.count) sequences run")
        try require(
            plan.positions.count == plan.rowCount && plan.slots.count == plan.rowCount, "rows are laid out unevenly")
        planned.removeAll(keepingCapacity: true)
        var (row, block, logit) = (0, 0, 0)
        var stage = 0
        var seen: Set<SequenceID> = []
        for entry in plan.entries {
            guard let subject = live[entry.id.rawValue] else {
                throw SimulationFailure(description: "\(entry.id) runs, but has left; \(setup)")
            }
            try require(seen.insert(entry.id).inserted, "\(entry.id) runs twice in a step")
            try require(
                entry.rows.lowerBound == row && entry.blocks.lowerBound == block && entry.logits.lowerBound == logit,
                "\(entry.id) does not follow the entry before it")
            (row, block, logit) = (entry.rows.upperBound, entry.blocks.upperBound, entry.logits.upperBound)
            let kind = !subject.isRunning ? 2 : entry.phase == .decode ? 0 : 1
            try require(kind >= stage, "\(entry.id) is out of order: decodes, prefills, admissions")
            stage = kind
            if kind == 2 { try admit(subject, entry) }
            try check(entry, subject, isAdmitted: kind == 2)
            planned.append(subject)
        }
        try require(
            row == plan.rowCount && block == plan.blockTables.count && logit == plan.logitRows.count,
            "the plan has rows, blocks or logits of no sequence")
        for subject in live.values where subject.isDecoding {
            try require(seen.contains(subject.id), "\(subject.id) decodes, but has no row")
        }
    }

    private func admit(_ subject: Subject, _ entry: StepPlan.Entry) throws {
        try require(plan.preempted.isEmpty, "\(subject.id) is admitted in a step that preempts")
        try require(entry.start % setup.limits.blockSize == 0, "\(subject.id) starts within a block")
        for other in live.values where !other.isRunning && other.admission < subject.admission {
            try require(
                other.rank(setup.limits).0 != subject.rank(setup.limits).0,
                "\(subject.id) is admitted before \(other.id), which was preempted and came first")
        }
        subject.isRunning = true
        subject.computed = entry.start
        admissions += 1
        guard subject.admission == .max else { return }
        subject.admission = admissions
        let queue = [subject.new.tenant.rawValue, subject.new.priority]
        try require(
            lastAdmitted[queue, default: 0] < subject.number, "\(subject.id) is admitted before one that came earlier")
        lastAdmitted[queue] = subject.number
    }

    private func check(_ entry: StepPlan.Entry, _ subject: Subject, isAdmitted: Bool) throws {
        let size = setup.limits.blockSize
        let end = entry.start + entry.rows.count
        let isDecode = !isAdmitted && entry.start == max(subject.new.prompt.count, subject.tokens.count - 1)
        try require(!entry.rows.isEmpty && end <= subject.tokens.count, "\(entry.id) runs rows it has not")
        try require(entry.start == subject.computed, "\(entry.id) does not go on where it was")
        try require((entry.phase == .decode) == isDecode, "\(entry.id) is in another phase")
        try require(entry.blocks.count == (end + size - 1) / size, "\(entry.id) has a table of another length")
        for row in entry.rows {
            let position = entry.start + row - entry.rows.lowerBound
            let block = Int(plan.blockTables[entry.blocks.lowerBound + position / size])
            try require(
                plan.tokens[row] == subject.tokens[position] && Int(plan.positions[row]) == position
                    && Int(plan.slots[row]) == block * size + position % size,
                "row \(row) of \(entry.id) is wrong")
        }
        let samples = end == subject.tokens.count && subject.new.maxNewTokens > 0
        try require(entry.samples == samples, "\(entry.id) is to be sampled at the wrong time")
        var wanted: [Int32] = []
        if subject.new.needsPromptLogits {
            for position in entry.start..<end where position < subject.new.prompt.count - 1 {
                if position >= subject.delivered { wanted.append(Int32(entry.rows.lowerBound + position - entry.start)) }
            }
            let owed = min(entry.start, subject.new.prompt.count)
            try require(owed <= subject.delivered, "\(entry.id) skips prompt logits")
        }
        if samples { wanted.append(Int32(entry.rows.upperBound - 1)) }
        try require(wanted == Array(plan.logitRows[entry.logits]), "\(entry.id) gets the wrong logits")
    }

    /// Rows are left over only when every running sequence has all it can use, and nobody waits who could come in.
    private func checkNothingIdle() throws {
        guard plan.rowCount < setup.limits.tokenBudget else { return }
        var rows = 0
        for subject in live.values where subject.isRunning { rows += subject.tokens.count - subject.computed }
        try require(rows == plan.rowCount, "rows are left over, and \(rows - plan.rowCount) wait for one")
        let statistics = scheduler.statistics
        guard setup.limits.growthReserve == 0, plan.preempted.isEmpty, statistics.waiting > 0,
            statistics.running < setup.limits.maxSequences
        else { return }
        let longest = live.values.reduce(0) { max($0, $1.isRunning ? 0 : $1.tokens.count) }
        let need = (longest + setup.limits.blockSize - 1) / setup.limits.blockSize + setup.limits.watermarkBlocks
        try require(
            statistics.blocksFree + statistics.blocksCached < need, "a sequence waits with rows, blocks, a place free")
    }

    /// The forward pass: writes each row's slot, then attends. Returns what is sampled.
    private func compute() throws -> [SampledToken] {
        if !setup.limits.sharesWithinStep {
            for (entry, subject) in zip(plan.entries, planned) { try attend(entry, subject, upTo: entry.start) }
        }
        var written: Set<Int32> = []
        for (entry, subject) in zip(plan.entries, planned) {
            for row in entry.rows {
                cache[Int(plan.slots[row])] = subject.prefixes[Int(plan.positions[row])]
                try require(written.insert(plan.slots[row]).inserted, "slot \(plan.slots[row]) is written twice")
            }
        }
        var sampled: [SampledToken] = []
        for (entry, subject) in zip(plan.entries, planned) {
            try attend(entry, subject, upTo: entry.start + entry.rows.count)
            guard entry.samples else { continue }
            let token = nextToken(after: cache[Int(plan.slots[entry.rows.upperBound - 1])])
            sampled.append(SampledToken(entry.id, token))
        }
        return sampled
    }

    /// All that the entry's rows attend to before `end` holds this sequence's own prefixes.
    private func attend(_ entry: StepPlan.Entry, _ subject: Subject, upTo end: Int) throws {
        let size = setup.limits.blockSize
        for position in 0..<end {
            let block = Int(plan.blockTables[entry.blocks.lowerBound + position / size])
            if cache[block * size + position % size] != subject.prefixes[position] {
                try require(false, "\(entry.id) attends to foreign K/V at position \(position), block \(block)")
            }
        }
    }

    /// The name of a sequence that left while its step was computed is given to another, which has no part in the step.
    private func reuseSomeID(_ sampled: [SampledToken]) throws {
        guard random.chance(setup.cancelsPerMille), let id = sampled.last?.id, let old = live[id.rawValue] else { return }
        try settle(scheduler.cancel(id), old)
        var new = old.new
        new.prompt.reverse()
        do throws(AdmissionError) {
            try scheduler.add(new)
        } catch {
            return try checkRefusal(new, error)
        }
        arrivals += 1
        live[id.rawValue] = Subject(new, arrival: step, number: arrivals)
        setDeadline(id)
    }

    private func commit(_ sampled: [SampledToken]) throws {
        for (entry, subject) in zip(plan.entries, planned) {
            subject.computed += entry.rows.count
            subject.delivered = max(subject.delivered, min(subject.computed, subject.new.prompt.count))
        }
        // The caller sees the stop tokens, before or after it commits.
        var stopped: [Subject] = []
        var ended: Set<SequenceID> = []
        let sampling = zip(plan.entries, planned).filter { $0.0.samples }.map(\.1)
        for (sample, subject) in zip(sampled, sampling) where live[sample.id.rawValue] === subject {
            subject.tokens.append(sample.token)
            subject.extend()
            subject.isDecoding = true
            if subject.tokens.count == subject.new.prompt.count + subject.new.maxNewTokens {
                ended.insert(subject.id)
            } else if isStop(subject.prefixes[subject.prefixes.count - 1]) {
                stopped.append(subject)
            }
        }
        for subject in live.values where subject.new.maxNewTokens == 0 && subject.computed == subject.tokens.count {
            if subject.isRunning { ended.insert(subject.id) }
        }
        let finished = scheduler.commit(sampled)
        try require(Set(finished.map(\.id)) == ended, "\(finished.map(\.id)) finish, not \(ended)")
        for result in finished {
            guard let subject = live[result.id.rawValue] else { continue }
            try require(result.tokens == subject.tokens, "\(result.id) lacks tokens")
            try require(
                !subject.new.needsPromptLogits || subject.delivered == subject.new.prompt.count,
                "\(result.id) ends with prompt logits owed")
            try settle(result, subject)
        }
        for subject in stopped { try settle(scheduler.finish(subject.id), subject) }
    }

    /// The step fails; what it wrote is of no use.
    private func abandon() {
        for slot in plan.slots { cache[Int(slot)] = 0 }
        scheduler.abandon()
        for subject in planned {
            subject.isRunning = false
            subject.isDecoding = false
        }
    }
}
