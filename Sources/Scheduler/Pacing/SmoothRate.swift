/// A bucket that refills steadily: a limit's pace held at every moment, not just over the whole span. For servers that
/// count a minute's limit by the second.
package struct SmoothRate: Sendable, Equatable, Codable {
    package let capacity: Double
    private var perMs: Double
    private var level: Double
    private var at: Int64

    package init(capacity: Double, perMs: Double, at now: Int64) {
        precondition(capacity > 0 && perMs > 0, "a rate is positive")
        self.capacity = capacity
        self.perMs = perMs
        level = 0
        at = now
    }

    private func level(at now: Int64) -> Double { min(capacity, level + Double(max(0, now - at)) * perMs) }

    package func available(at now: Int64) -> Double { max(0, level(at: now)) }

    /// When `amount` may be sent; what is larger than the bucket goes when that is full.
    package func earliest(_ amount: Int, at now: Int64) -> Int64 {
        let missing = min(Double(amount), capacity) - level(at: now)
        return missing <= 0 ? now : now + Int64((missing / perMs).rounded(.up))
    }

    package mutating func send(_ amount: Int, at now: Int64) {
        level = level(at: now) - Double(amount)
        at = max(at, now)
    }

    package func amount(inMs ms: Int64) -> Double { perMs * Double(ms) }

    /// Goes on at another pace.
    package mutating func hasten(by factor: Double, at now: Int64) {
        precondition(factor > 0, "a rate is positive")
        level = level(at: now)
        at = max(at, now)
        perMs *= factor
    }

    /// Something sent as more (or less) than it took.
    package mutating func correct(from amount: Int, to actual: Int) { level += Double(amount - actual) }
}
