import Kernels
import Scheduler

/// A step whose tokens the device is still to tell.
struct StepAhead {
    /// In the order of their choices.
    var rows: [EngineLoop.WantedRow]
    /// Where each sequence is in `rows`.
    var places: [SequenceID: Int32]
    /// Sequences that the step brings to their length: they have left the scheduler, but lack their last token.
    var finished: [FinishedSequence]
}

/// Running one step ahead: host work on a step's tokens, and planning, happen while the device computes.
///
///     forward(n + 1) is asked for         its rows take the tokens of step n on the device
///     finishAhead: tokens of step n       stop conditions, results; what ended is dropped from step n + 1
///     chooseAhead: tokens of step n + 1   asked for, with penalties that know the tokens of step n
///     schedule(n + 2)                     by lengths alone, which are known
///
/// A sequence that a token ends has had one row too many computed, which nobody reads.
extension EngineLoop {
    /// Asks for the tokens of the step, if the device can choose all of them.
    func chooseAhead() throws -> Bool {
        guard runner.choosesTokens else { return false }
        let rows = wantedRows()
        guard !rows.isEmpty, rows.count <= runner.shape.maxLogitRows else { return false }
        choices.removeAll()
        for row in rows {
            // A sequence that has left meanwhile needs no token.
            guard row.samples, appendChoice(row) || running[row.id] == nil else { return false }
        }
        try runner.startChoosing(0..<rows.count, choices)
        var places: [SequenceID: Int32] = [:]
        places.reserveCapacity(rows.count)
        for (place, row) in rows.enumerated() { places[row.id] = Int32(place) }
        ahead = StepAhead(rows: rows, places: places, finished: scheduler.commitAhead())
        return true
    }

    /// Waits for the tokens of the step before the one that is planned, if they are still to come.
    func finishAhead() throws {
        guard let ahead else { return }
        self.ahead = nil
        for (choice, row) in zip(try runner.finishChoosing(), ahead.rows) { accept(choice, row) }
        for token in sampled { scheduler.tell(token) }
        settle(ahead.finished)
    }
}
