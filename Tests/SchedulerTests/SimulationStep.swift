import Scheduler

/// A step of the simulation: what the scheduler plans is checked from outside, computed on the
/// model cache, committed.
extension Simulation {
    func advance() throws {
        let before = scheduler.statistics
        let needed = blocksNeeded()
        scheduler.schedule(into: &plan)
        try checkIntegrity()
        try checkPreemptions(needed: needed, available: before.blocksFree + before.blocksCached)
        try require(
            plan.isEmpty == live.isEmpty, "a step is empty with \(live.count) sequences there")
        if !plan.isEmpty {
            step += 1
            try checkEntries()
            try checkNothingIdle()
            try tell()
            let sampled = try compute()
            try cancelSome()
            try reuseSomeID(sampled)
            if random.chance(setup.abandonsPerMille) { abandon() } else { try commit(sampled) }
        } else {
            try tell()
        }
        try checkIntegrity()
        let statistics = scheduler.statistics
        let runningCount = live.values.count(where: \.isRunning)
        try require(
            statistics.running == runningCount && statistics.waiting == live.count - runningCount,
            "sequences are miscounted")
        try require(
            statistics.blocksFree + statistics.blocksCached + statistics.blocksUsed
                == setup.limits.blockCount,
            "blocks are lost")
        try require(runningCount > 0 || statistics.blocksUsed == 0, "blocks are used by nobody")
        for subject in live.values {
            try require(step <= subject.deadline, "\(subject.id) starves")
        }
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

    /// The forward pass: writes each row's slot, then attends. Returns what is sampled.
    private func compute() throws -> [SampledToken] {
        if !setup.limits.sharesWithinStep {
            for (entry, subject) in zip(plan.entries, planned) {
                try attend(entry, subject, upTo: entry.start)
            }
        }
        var written: Set<Int32> = []
        for (entry, subject) in zip(plan.entries, planned) {
            for row in entry.rows {
                cache[Int(plan.slots[row])] = subject.prefixes[Int(plan.positions[row])]
                try require(
                    written.insert(plan.slots[row]).inserted,
                    "slot \(plan.slots[row]) is written twice")
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
                try require(
                    false,
                    "\(entry.id) attends to foreign K/V at position \(position), block \(block)")
            }
        }
    }

    /// The name of a sequence that left while its step was computed is given to another, which has
    /// no part in the step.
    private func reuseSomeID(_ sampled: [SampledToken]) throws {
        guard random.chance(setup.cancelsPerMille), let id = sampled.last?.id,
            let old = live[id.rawValue]
        else { return }
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
            subject.delivered = max(
                subject.delivered, min(subject.computed, subject.new.prompt.count))
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
        for subject in live.values
        where subject.new.maxNewTokens == 0 && subject.computed == subject.tokens.count {
            if subject.isRunning { ended.insert(subject.id) }
        }
        let isAhead = random.chance(setup.aheadPerMille)
        let finished = isAhead ? scheduler.commitAhead() : scheduler.commit(sampled)
        try require(Set(finished.map(\.id)) == ended, "\(finished.map(\.id)) finish, not \(ended)")
        for result in finished {
            guard let subject = live[result.id.rawValue] else { continue }
            let isKnown = !isAhead || subject.new.maxNewTokens == 0
            try require(
                result.tokens == (isKnown ? subject.tokens : subject.tokens.dropLast()), "\(result.id) lacks tokens")
            try require(
                !subject.new.needsPromptLogits || subject.delivered == subject.new.prompt.count,
                "\(result.id) ends with prompt logits owed")
            try settle(result, subject)
        }
        if isAhead {
            untold = sampled
            stoppedAhead = stopped
        } else {
            for subject in stopped { try settle(scheduler.finish(subject.id), subject) }
        }
    }

    /// The tokens of a step that was committed ahead arrive; the caller sees the stop tokens among them.
    private func tell() throws {
        for sample in untold { scheduler.tell(sample) }
        for subject in stoppedAhead where live[subject.id.rawValue] === subject {
            try settle(scheduler.finish(subject.id), subject)
        }
        untold = []
        stoppedAhead = []
        try checkIntegrity()
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
