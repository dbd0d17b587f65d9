import Scheduler

/// What can be seen of a plan from outside, and must be so.
extension Simulation {
    /// Somebody is preempted when, and only when, blocks run out, and then whoever ranks lowest.
    func checkPreemptions(needed: Int, available: Int) throws {
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

    func checkEntries() throws {
        try require(
            plan.rowCount <= setup.limits.tokenBudget, "\(plan.rowCount) rows exceed the budget")
        try require(
            plan.entries.count <= setup.limits.maxSequences, "\(plan.entries.count) sequences run")
        try require(
            plan.positions.count == plan.rowCount && plan.slots.count == plan.rowCount,
            "rows are laid out unevenly")
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
                entry.rows.lowerBound == row && entry.blocks.lowerBound == block
                    && entry.logits.lowerBound == logit,
                "\(entry.id) does not follow the entry before it")
            (row, block, logit) = (
                entry.rows.upperBound, entry.blocks.upperBound, entry.logits.upperBound
            )
            let kind = !subject.isRunning ? 2 : entry.phase == .decode ? 0 : 1
            try require(kind >= stage, "\(entry.id) is out of order: decodes, prefills, admissions")
            stage = kind
            if kind == 2 { try admit(subject, entry) }
            try check(entry, subject, isAdmitted: kind == 2)
            planned.append(subject)
        }
        try require(
            row == plan.rowCount && block == plan.blockTables.count
                && logit == plan.logitRows.count,
            "the plan has rows, blocks or logits of no sequence")
        for subject in live.values where subject.isDecoding {
            try require(seen.contains(subject.id), "\(subject.id) decodes, but has no row")
        }
    }

    private func admit(_ subject: Subject, _ entry: StepPlan.Entry) throws {
        try require(plan.preempted.isEmpty, "\(subject.id) is admitted in a step that preempts")
        try require(
            entry.start % setup.limits.blockSize == 0, "\(subject.id) starts within a block")
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
            lastAdmitted[queue, default: 0] < subject.number,
            "\(subject.id) is admitted before one that came earlier")
        lastAdmitted[queue] = subject.number
    }

    private func check(_ entry: StepPlan.Entry, _ subject: Subject, isAdmitted: Bool) throws {
        let size = setup.limits.blockSize
        let end = entry.start + entry.rows.count
        let isDecode =
            !isAdmitted && entry.start == max(subject.new.prompt.count, subject.tokens.count - 1)
        try require(
            !entry.rows.isEmpty && end <= subject.tokens.count, "\(entry.id) runs rows it has not")
        try require(entry.start == subject.computed, "\(entry.id) does not go on where it was")
        try require((entry.phase == .decode) == isDecode, "\(entry.id) is in another phase")
        try require(
            entry.blocks.count == (end + size - 1) / size,
            "\(entry.id) has a table of another length")
        try require(
            !entry.awaitsToken || untold.contains { $0.id == entry.id }, "\(entry.id) awaits a token that was told")
        for row in entry.rows {
            let position = entry.start + row - entry.rows.lowerBound
            let block = Int(plan.blockTables[entry.blocks.lowerBound + position / size])
            try require(
                plan.tokens[row] == (entry.awaitsToken ? 0 : subject.tokens[position])
                    && Int(plan.positions[row]) == position
                    && Int(plan.slots[row]) == block * size + position % size,
                "row \(row) of \(entry.id) is wrong")
        }
        let samples = end == subject.tokens.count && subject.new.maxNewTokens > 0
        try require(entry.samples == samples, "\(entry.id) is to be sampled at the wrong time")
        var wanted: [Int32] = []
        if subject.new.needsPromptLogits {
            for position in entry.start..<end where position < subject.new.prompt.count - 1 {
                if position >= subject.delivered {
                    wanted.append(Int32(entry.rows.lowerBound + position - entry.start))
                }
            }
            let owed = min(entry.start, subject.new.prompt.count)
            try require(owed <= subject.delivered, "\(entry.id) skips prompt logits")
        }
        if samples { wanted.append(Int32(entry.rows.upperBound - 1)) }
        try require(
            wanted == Array(plan.logitRows[entry.logits]), "\(entry.id) gets the wrong logits")
    }

    /// Rows are left over only when every running sequence has all it can use, and nobody waits who
    /// could come in.
    func checkNothingIdle() throws {
        guard plan.rowCount < setup.limits.tokenBudget else { return }
        var rows = 0
        for subject in live.values where subject.isRunning {
            rows += subject.tokens.count - subject.computed
        }
        try require(
            rows == plan.rowCount, "rows are left over, and \(rows - plan.rowCount) wait for one")
        let statistics = scheduler.statistics
        guard setup.limits.growthReserve == 0, plan.preempted.isEmpty, statistics.waiting > 0,
            statistics.running < setup.limits.maxSequences
        else { return }
        let longest = live.values.reduce(0) { max($0, $1.isRunning ? 0 : $1.tokens.count) }
        let need =
            (longest + setup.limits.blockSize - 1) / setup.limits.blockSize
            + setup.limits.watermarkBlocks
        try require(
            statistics.blocksFree + statistics.blocksCached < need,
            "a sequence waits with rows, blocks, a place free")
    }
}
