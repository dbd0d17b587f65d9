/// How long to wait after a failure when the server does not say: doubling, with jitter so that many do not come back
/// together, and a ceiling. A success starts over.
package struct Backoff: Sendable, Equatable, Codable {
    package let firstMs: Int64
    package let mostMs: Int64
    package private(set) var failures = 0

    package init(firstMs: Int64 = 500, mostMs: Int64 = 60_000) {
        precondition(firstMs >= 1 && mostMs >= firstMs, "waits are positive and grow")
        self.firstMs = firstMs
        self.mostMs = mostMs
    }

    /// The wait after one more failure: between half of the step and all of it.
    /// - Parameter random: in 0..<1.
    package mutating func fail(random: Double) -> Int64 {
        let step = Double(firstMs) * Double(UInt64(1) << UInt64(min(failures, 40)))
        failures += 1
        let bounded = min(step, Double(mostMs))
        return max(1, Int64(bounded * (0.5 + 0.5 * random)))
    }

    package mutating func succeed() { failures = 0 }
}
