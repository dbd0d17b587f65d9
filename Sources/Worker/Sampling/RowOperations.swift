/// Passes over one row of logits. Each reads the row once, in the same order whatever surrounds it.
enum RowOperations {
    /// The first largest value and its place. A NaN anywhere makes the value NaN.
    static func argmax(_ row: Span<Float>) -> (index: Int, value: Float) {
        let best = maximum(row)
        guard !best.isNaN else { return (0, best) }
        return row.withUnsafeBufferPointer { values in
            for i in values.indices where values[i] == best { return (i, best) }
            return (0, best)
        }
    }

    /// The largest value; NaN where any is NaN, -infinity for an empty row.
    static func maximum(_ row: Span<Float>) -> Float {
        row.withUnsafeBufferPointer { values in
            var lanes = SIMD8<Float>(repeating: -.infinity)
            var notNumbers = SIMD8<Int32>(repeating: 0)
            var i = 0
            while i + 8 <= values.count {
                let part = load(values, i)
                notNumbers.replace(with: 1, where: part .!= part)
                lanes.replace(with: part, where: part .> lanes)
                i += 8
            }
            var best = lanes.max()
            var isNotNumber = notNumbers.max() != 0
            while i < values.count {
                isNotNumber = isNotNumber || values[i].isNaN
                best = values[i] > best ? values[i] : best
                i += 1
            }
            return isNotNumber ? .nan : best
        }
    }

    /// Σ exp((row[i] - maximum) * scale), for a `maximum` at least as large as every value.
    static func sumOfExponentials(_ row: Span<Float>, maximum: Float, scale: Float) -> Double {
        row.withUnsafeBufferPointer { values in
            var total = 0.0
            var i = 0
            while i + 8 <= values.count {
                // Short float sums, so that rounding does not grow with the vocabulary.
                var lanes = SIMD8<Float>(repeating: 0)
                let end = min(values.count - 7, i + 512)
                while i < end {
                    lanes += exponential((load(values, i) - maximum) * scale)
                    i += 8
                }
                total += Double(lanes.sum())
            }
            var last = SIMD8<Float>(repeating: -.infinity)
            for j in i..<values.count { last[j - i] = (values[j] - maximum) * scale }
            return total + Double(exponential(last).sum())
        }
    }

    /// Appends the places of all values >= `threshold`, ascending.
    static func select(_ row: Span<Float>, atLeast threshold: Float, into places: inout [Int32]) {
        row.withUnsafeBufferPointer { values in
            var i = 0
            while i + 8 <= values.count {
                if any(load(values, i) .>= threshold) {
                    for j in i..<(i + 8) where values[j] >= threshold { places.append(Int32(truncatingIfNeeded: j)) }
                }
                i += 8
            }
            while i < values.count {
                if values[i] >= threshold { places.append(Int32(truncatingIfNeeded: i)) }
                i += 1
            }
        }
    }

    /// How many values are >= `threshold`.
    static func count(_ row: Span<Float>, atLeast threshold: Float) -> Int {
        row.withUnsafeBufferPointer { values in
            var total: Int32 = 0
            for value in values { total &+= value >= threshold ? 1 : 0 }
            return Int(total)
        }
    }

    private static func load(_ values: UnsafeBufferPointer<Float>, _ at: Int) -> SIMD8<Float> {
        UnsafeRawPointer(values.baseAddress! + at).loadUnaligned(as: SIMD8<Float>.self)
    }

    /// exp(x) for x <= 0, to about 1e-7 of its value; 0 below -87. Range reduction by ln 2 in two parts and the
    /// polynomial of Cephes' expf (https://www.netlib.org/cephes/).
    private static func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
        let inRange = x .> -87
        let x = x.replacing(with: 0, where: .!inRange)
        // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits.
        let shifted = x * 1.442_695_04 + 12_582_912
        let whole = shifted - 12_582_912
        let r = (x - whole * 0.693_359_375) + whole * 2.121_944_4e-4
        var p = r * 1.987_569_1e-4 + 1.398_199_9e-3
        p = p * r + 8.333_452e-3
        p = p * r + 4.166_579_6e-2
        p = p * r + 1.666_666_5e-1
        p = p * r + 0.5
        p = p * r * r + r + 1
        let bits = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &<< 23
        let scaled = unsafeBitCast(unsafeBitCast(p, to: SIMD8<UInt32>.self) &+ bits, to: SIMD8<Float>.self)
        return scaled.replacing(with: 0, where: .!inRange)
    }
}
