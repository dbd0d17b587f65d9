import Testing

/// Values that a kernel computed, against exact ones.
func expectClose(
    _ values: [Float], _ exact: [Double], within tolerance: Double, _ what: @autoclosure () -> String = ""
) throws {
    try #require(values.count == exact.count)
    for (index, (value, wanted)) in zip(values, exact).enumerated() {
        let isClose = abs(Double(value) - wanted) <= tolerance * max(1, abs(wanted))
        try #require(isClose, "\(what()) [\(index)]: \(value), exactly \(wanted)")
    }
}

/// Rounded to bfloat16: at most half a unit in the last place off, and what float32 arithmetic adds.
func expectRounded(
    _ values: [BFloat16], _ exact: [Double], arithmetic: Double = 2e-6, _ what: @autoclosure () -> String = ""
) throws {
    try #require(values.count == exact.count)
    for (index, (value, wanted)) in zip(values, exact).enumerated() {
        let magnitude = abs(wanted)
        let half = magnitude == 0 ? 0 : 0x1p-8 * Double(sign: .plus, exponent: magnitude.exponent, significand: 1)
        let isClose = abs(Double(value.float) - wanted) <= half + arithmetic * max(1, magnitude)
        try #require(isClose, "\(what()) [\(index)]: \(value.float), exactly \(wanted)")
    }
}

/// The named rows of `values`, one after another.
func picked<Element>(_ rows: [Int], of values: [Element], width: Int) -> [Element] {
    var result: [Element] = []
    for row in rows { result.append(contentsOf: values[row * width..<(row + 1) * width]) }
    return result
}

/// The same bits, or both not a number.
func areSame(_ found: [Float], _ wanted: [Float]) -> Bool {
    guard found.count == wanted.count else { return false }
    for (a, b) in zip(found, wanted) where !(a == b || a.isNaN && b.isNaN) { return false }
    return true
}
