import Scheduler
import Testing

/// When a server counted what it answered.
@Suite struct CountingTimesTests {
    /// Sends at 0 what is taken in one by one, and answered after `latencyMs`.
    private func estimates(_ count: Int, intakeMs: Int, latencyMs: (Int) -> Int) -> [(truth: Int64, found: Int64)] {
        var times = CountingTimes()
        for sequence in 1...count { times.send(UInt64(sequence), at: 0) }
        let answers = (1...count).map { (sequence: $0, at: Int64($0 * intakeMs + latencyMs($0))) }
            .sorted { $0.at < $1.at }
        var found = [Int64](repeating: 0, count: count + 1)
        for answer in answers {
            found[answer.sequence] = times.answer(UInt64(answer.sequence), sentAt: 0, at: answer.at)
        }
        return (1...count).map { (Int64($0 * intakeMs), found[$0]) }
    }

    @Test func followsAQueueBehindEvenAnswers() {
        for (truth, found) in estimates(1000, intakeMs: 5, latencyMs: { _ in 300 }) {
            #expect(abs(found - truth) <= 350, "\(found) for \(truth)")
            #expect(found >= truth - 100, "\(found) is before \(truth)")
        }
    }

    /// Answers take 0.3 to 8.3 s for reasons of their own; among those sent together some are quick.
    @Test func slowAnswersDoNotMatter() {
        let all = estimates(1000, intakeMs: 5, latencyMs: { 300 + ($0 * 2_654_435_761 >> 8) % 8000 })
        let off = all.map { $0.found - $0.truth }
        #expect(off.reduce(0, +) / 1000 < 1000, "\(off.reduce(0, +) / 1000) ms too late in the mean")
        #expect(off.allSatisfy { $0 > -600 }, "\(off.min() ?? 0)")
    }

    @Test func withoutAQueueRequestsAreCountedWhenTheyAreSent() {
        var times = CountingTimes()
        var now: Int64 = 0
        for sequence in 1...500 as ClosedRange<UInt64> {
            times.send(sequence, at: now)
            #expect(times.answer(sequence, sentAt: now, at: now + 400) == now)
            now += 500
        }
    }

    @Test func whatWasTurnedAwayBoundsItsNeighbours() {
        var times = CountingTimes()
        for sequence in 1...64 as ClosedRange<UInt64> { times.send(sequence, at: 0) }
        _ = times.answer(1, sentAt: 0, at: 1000)
        times.turnAway(40, sentAt: 0, at: 200)
        // Its answer took 9 s longer than the first one, but its neighbour was seen to after 200 ms.
        #expect(times.answer(39, sentAt: 0, at: 10_000) == 400)
        // Of what is not known any more nothing is said.
        #expect(times.answer(1_000_000, sentAt: 500, at: 1000) == 500)
    }
}
