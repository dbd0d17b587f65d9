import Kernels

/// Two devices' logits of the same positions.
package struct LogitComparison: CustomStringConvertible {
    /// Largest ‖a - b‖ / ‖b‖ of a position.
    package private(set) var worst = 0.0
    package private(set) var mean = 0.0
    /// Positions whose most likely token is the same.
    package private(set) var agreeing = 0
    package let positions: Int

    package init(found: [[Float]], expected: [[Float]]) {
        positions = expected.count
        for (a, b) in zip(found, expected) {
            let distance = KernelChecks.distance(a, b)
            worst = max(worst, distance)
            mean += distance / Double(positions)
            if Self.best(a) == Self.best(b) { agreeing += 1 }
        }
    }

    private static func best(_ row: [Float]) -> Int? { row.indices.max { row[$0] < row[$1] } }

    /// bfloat16's rounding unit is 2^-8; through a whole model its errors stay within a few of them.
    package var passes: Bool { mean <= 0.02 && worst <= 0.1 && agreeing * 100 >= positions * 95 }

    package var description: String {
        "logits of \(positions) positions: mean distance \(mean), worst \(worst), same best token at \(agreeing)"
    }
}

extension ModelSteps {
    /// Logits of every position of one sequence, computed in one step.
    package func runAll(_ tokens: [Int32]) throws -> [[Float]] {
        try run(batch([(0, tokens, 0)], logits: .all))
    }
}
