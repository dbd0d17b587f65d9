/// How many tokens requests take for each that was estimated. Estimates count `max_tokens`, which answers seldom reach.
package struct CostRatio: Sendable, Equatable {
    /// Of what was answered: weighted towards the newest.
    private var actual = 0.0
    private var estimated = 0.0
    /// Answers after which a low ratio is believed again: a refusal came although there seemed to be room, so the
    /// server may count what was asked for.
    private var distrusted = 0
    private var distrusts = 0
    private static let margin = 1.05
    private static let memory = 0.98
    private static let answersNeeded = 8

    private var answers = 0
    /// The most that one took, for each that was estimated, in the last stretch of answers and in the one before.
    private var most = 0.0
    private var mostBefore = 0.0
    private static let stretch = 256

    package init() {}

    package mutating func note(actual: Int, estimate: Int) {
        guard estimate > 0, actual >= 0 else { return }
        self.actual = self.actual * Self.memory + Double(actual)
        estimated = estimated * Self.memory + Double(estimate)
        if answers % Self.stretch == 0 { (mostBefore, most) = (most, 0) }
        answers += 1
        most = max(most, Double(actual) / Double(estimate))
        if distrusted > 0 { distrusted -= 1 }
    }

    /// Whether requests are counted as less than was estimated.
    package var isLow: Bool { answers >= Self.answersNeeded && actual < 0.95 * estimated && distrusted == 0 }

    package mutating func distrust() {
        distrusts += 1
        distrusted = 50 << min(distrusts, 10)
    }

    package func counted(_ estimate: Int) -> Int {
        guard answers >= Self.answersNeeded, estimated > 0 else { return max(1, estimate) }
        // A little more than the mean: what is counted too much is given back with the answer, what is counted too
        // little is refused.
        // Where all take the same no margin is needed, and a limit's last ones fit in.
        let ratio = min(Self.margin * actual / estimated, max(most, mostBefore))
        if ratio < 1 && distrusted > 0 { return max(1, estimate) }
        return max(1, Int((Double(estimate) * min(max(ratio, 0.01), 8) - 1e-6).rounded(.up)))
    }
}
