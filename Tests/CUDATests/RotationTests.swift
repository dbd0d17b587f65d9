import DeviceChecks
import Foundation
import Testing

/// Rotation of q and k and the write to the KV cache.
@Suite struct RotationTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        var headWidth: Int
        var pairs: Int?
        var heads = 3
        var kvHeads = 2
        var testDescription: String { "\(headWidth) wide, \(pairs.map(String.init) ?? "no") pairs" }
    }

    static let shapes = [
        Shape(headWidth: 64, pairs: 32), Shape(headWidth: 64, pairs: 16), Shape(headWidth: 20, pairs: 10),
        Shape(headWidth: 32, pairs: 4), Shape(headWidth: 6, pairs: 1), Shape(headWidth: 128, pairs: nil),
        Shape(headWidth: 9, pairs: nil),
    ]
    static let blockSize = 16
    static let blocks = 4
    static let positions: [Int32] = [300, 0, 7, 12]
    /// One row is padding.
    static let slots: [Int32] = [37, -1, 0, 63]

    @Test(arguments: shapes, [1, 2])
    func keysAndValuesReachTheirSlots(_ shape: Shape, _ columns: Int) throws {
        var random = RandomNumbers(seed: UInt64(shape.headWidth))
        let rows = Self.positions.count
        let width = (shape.heads + 2 * shape.kvHeads) * shape.headWidth
        let x = random.floats(rows * width)
        let pairs = shape.pairs ?? 0
        let angles = (0..<310 * pairs).map { Double($0 / pairs) * pow(0.01, Double($0 % pairs) / Double(pairs)) }
        let cosines = shape.pairs.map { _ in EmulatedBuffer(angles.map { Float(1.25 * cos($0)) }) }
        let sines = shape.pairs.map { _ in EmulatedBuffer(angles.map { Float(1.25 * sin($0)) }) }
        let q = EmulatedBuffer<BFloat16>(count: rows * shape.heads * shape.headWidth)
        let cacheCount = Self.blocks * shape.kvHeads * Self.blockSize * shape.headWidth
        let keys = EmulatedBuffer<BFloat16>(count: cacheCount)
        let values = EmulatedBuffer<BFloat16>(count: cacheCount)
        try emulate(
            "mr_rotate_and_store", grid: (rows, columns, 1), block: 256, .buffer(EmulatedBuffer(x)), .int(shape.heads),
            .int(shape.kvHeads), .int(shape.headWidth), .buffer(cosines), .buffer(sines), .int(pairs),
            .buffer(EmulatedBuffer(Self.positions)), .buffer(EmulatedBuffer(Self.slots)), .buffer(q), .buffer(keys),
            .buffer(values), .int(Self.blockSize))
        var exact = x.map(Double.init)
        for row in 0..<rows {
            for head in 0..<shape.heads + shape.kvHeads {
                for pair in 0..<pairs {
                    let i = row * width + head * shape.headWidth + pair
                    let angle = angles[Int(Self.positions[row]) * pairs + pair]
                    let (a, b) = (exact[i], exact[i + pairs])
                    exact[i] = 1.25 * (a * cos(angle) - b * sin(angle))
                    exact[i + pairs] = 1.25 * (b * cos(angle) + a * sin(angle))
                }
            }
        }
        var written = Set<Int>()
        let (foundQ, foundK, foundV) = (q.values, keys.values, values.values)
        for row in 0..<rows {
            let start = row * width
            let queries = shape.heads * shape.headWidth
            try expectRounded(
                Array(foundQ[row * queries..<(row + 1) * queries]), Array(exact[start..<start + queries]))
            guard Self.slots[row] >= 0 else { continue }
            let (block, offset) = (Int(Self.slots[row]) / Self.blockSize, Int(Self.slots[row]) % Self.blockSize)
            for head in 0..<shape.kvHeads {
                let to = ((block * shape.kvHeads + head) * Self.blockSize + offset) * shape.headWidth
                let key = start + (shape.heads + head) * shape.headWidth
                let value = key + shape.kvHeads * shape.headWidth
                let span = to..<to + shape.headWidth
                try expectRounded(Array(foundK[span]), Array(exact[key..<key + shape.headWidth]))
                #expect(Array(foundV[span]) == x[value..<value + shape.headWidth].map(BFloat16.init))
                written.formUnion(span)
            }
        }
        let touched = (0..<cacheCount).filter { !foundK[$0].float.isNaN || !foundV[$0].float.isNaN }
        #expect(Set(touched) == written)
    }
}
