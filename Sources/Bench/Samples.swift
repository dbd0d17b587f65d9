/// Times of the same thing, again and again.
package struct Samples: Sendable {
    private let sorted: [Double]

    /// - Parameter seconds: at least one.
    package init(_ seconds: [Double]) {
        precondition(!seconds.isEmpty)
        sorted = seconds.sorted()
    }

    package var count: Int { sorted.count }
    package var best: Double { sorted[0] }
    package var median: Double {
        let half = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[half - 1] + sorted[half]) / 2 : sorted[half]
    }

    /// Times `body` until `seconds` have passed and `atLeast` runs are there, after one run that does not count.
    package static func take(
        atLeast: Int, seconds: Double, _ body: () throws -> Void
    ) rethrows -> Samples {
        try body()
        var taken: [Double] = []
        var total = 0.0
        while taken.count < atLeast || total < seconds {
            let start = ContinuousClock.now
            try body()
            taken.append((ContinuousClock.now - start) / .seconds(1))
            total += taken[taken.count - 1]
        }
        return Samples(taken)
    }
}
