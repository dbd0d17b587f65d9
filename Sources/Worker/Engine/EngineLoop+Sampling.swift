import Kernels
import Scheduler

/// Reading a step's logits: tokens to choose, and prompt positions to score.
extension EngineLoop {
    /// One row of the step's logits.
    struct WantedRow {
        var id: SequenceID
        var position: Int
        /// The sequence's next token is chosen from it; else it scores a token of the prompt.
        var samples: Bool
    }

    /// Reads the step's logits, a slice at a time, and lets each sequence choose its token.
    func sample() throws {
        let wanted = wantedRows()
        for first in stride(from: 0, to: wanted.count, by: runner.shape.maxLogitRows) {
            let range = first..<min(first + runner.shape.maxLogitRows, wanted.count)
            if runner.choosesTokens { try choose(wanted, range) } else { try read(wanted, range) }
        }
    }

    func wantedRows() -> [WantedRow] {
        plan.entries.flatMap { entry in
            entry.logits.map { place in
                WantedRow(
                    id: entry.id, position: Int(plan.positions[Int(plan.logitRows[place])]),
                    samples: entry.samples && place == entry.logits.upperBound - 1)
            }
        }
    }

    /// Logits come to the host, and the host's sampler chooses.
    private func read(_ wanted: [WantedRow], _ range: Range<Int>) throws {
        let logits = try runner.logits(range)
        for place in range {
            logits.withMutableRow(place - range.lowerBound) { read(&$0, wanted[place]) }
        }
    }

    private func read(_ row: inout MutableSpan<Float>, _ wanted: WantedRow) {
        guard running[wanted.id] != nil else { return }
        do throws(SamplingError) {
            guard wanted.samples else {
                try running[wanted.id]?.generation.acceptPromptRow(wanted.position, row.span, sampler: &sampler)
                return
            }
            guard let step = try running[wanted.id]?.generation.accept(&row, sampler: &sampler) else { return }
            note(step, of: wanted.id)
        } catch { fail(wanted.id, error) }
    }

    /// The device chooses. What it cannot do for a request (scores of a prompt, more log-probabilities than it lists)
    /// is done here for that request at every step, so that a request's tokens always come from the same sampler.
    private func choose(_ wanted: [WantedRow], _ range: Range<Int>) throws {
        choices.removeAll()
        var left: [Int] = []
        var isDevices: [Bool] = []
        for place in range {
            isDevices.append(appendChoice(wanted[place]))
            if !isDevices[place - range.lowerBound] { left.append(place) }
        }
        if left.count < range.count {
            let chosen = try runner.choose(range, choices)
            for (place, choice) in zip(range, chosen) where isDevices[place - range.lowerBound] {
                accept(choice, wanted[place])
            }
        }
        for place in left where isStillWanted(wanted[place]) { try read(wanted, place..<place + 1) }
    }

    /// Appends a row to `choices`, so that these stay in step with the step's rows.
    /// - Returns: whether the device chooses for the row; else nobody looks at what it chooses.
    func appendChoice(_ wanted: WantedRow) -> Bool {
        guard wanted.samples, let (row, entries) = running[wanted.id]?.generation.deviceChoice() else {
            choices.append(.greedy)
            return false
        }
        choices.append(row, entries: entries)
        return true
    }

    private func isStillWanted(_ row: WantedRow) -> Bool {
        guard let generation = running[row.id]?.generation else { return false }
        return row.samples || generation.wantsPromptRow(row.position)
    }

    func accept(_ choice: CUDASamplingBatch.Choice, _ wanted: WantedRow) {
        do throws(SamplingError) {
            guard let step = try running[wanted.id]?.generation.accept(choice) else { return }
            note(step, of: wanted.id)
        } catch { fail(wanted.id, error) }
    }
}
