import DeviceChecks
import Foundation
import Testing

@testable import Kernels

/// Attention over the paged cache against a double-precision one, on every instruction set.
@Suite struct CPUAttentionTests {
    struct Case: Sendable {
        var queryHeads = 6
        var keyValueHeads = 2
        var headWidth = 32
        var length = 40
        var window: Int?
        var softCap: Float?

        var shape: AttentionShape {
            AttentionShape(
                queryHeads: queryHeads, keyValueHeads: keyValueHeads, headWidth: headWidth,
                scale: 1 / Float(headWidth).squareRoot(), window: window, softCap: softCap)
        }
        var width: Int { (queryHeads + 2 * keyValueHeads) * headWidth }
    }

    static let cases: [Case] = [
        Case(), Case(length: 1), Case(length: 16), Case(length: 17), Case(headWidth: 64, length: 130),
        Case(queryHeads: 4, keyValueHeads: 1, headWidth: 256, length: 21), Case(headWidth: 20, length: 35),
        Case(headWidth: 8, length: 33), Case(queryHeads: 20, keyValueHeads: 1, headWidth: 16, length: 19),
        Case(length: 70, window: 24), Case(length: 70, window: 16, softCap: 5), Case(length: 9, softCap: 2),
        Case(queryHeads: 3, keyValueHeads: 3, headWidth: 100, length: 50, window: 1),
        Case(queryHeads: 3, keyValueHeads: 3, headWidth: 7, length: 50, window: 33),
    ]

    @Test(arguments: KernelSetting.caches, cases)
    func matchesDoublePrecision(_ setting: KernelSetting, _ test: Case) throws {
        var random = RandomNumbers(seed: UInt64(test.length))
        let qkv = random.floats(test.length * test.width, in: -2...2)
        let bench = try KernelBench(setting)
        let cache = try bench.device.makeCache(
            CacheShape(
                layers: 2, keyValueHeads: test.keyValueHeads, headWidth: test.headWidth, blockCount: 10))
        let input = try bench.activation(qkv, rows: test.length)
        let width = test.queryHeads * test.headWidth
        let output = try bench.device.makeActivation(maxRows: test.length, width: width)
        try bench.device.begin(.single(rows: test.length))
        bench.device.rotateAndStore(input, rotation: nil, cache: cache, layer: 1)
        bench.device.attention(input, cache: cache, layer: 1, test.shape, into: output)
        for row in 0..<test.length {
            let expected = Self.reference(qkv, row: row, test, setting)
            // Bytes: up to 0.4% of the largest number of each key and value, which are up to 2.
            let tolerance =
                setting.cacheType == .int8 ? 5e-2 : setting.computeType == .float32 ? 2e-5 : 2e-2
            for (value, exact) in zip(output[row], expected) {
                try #require(
                    abs(Double(value) - exact) <= tolerance, "row \(row): \(value), exactly \(exact)")
            }
        }
    }

    /// All heads' outputs of one row in double precision.
    static func reference(_ qkv: [Float], row: Int, _ test: Case, _ setting: KernelSetting) -> [Double] {
        let width = test.headWidth
        let group = test.queryHeads / test.keyValueHeads
        func element(_ position: Int, _ head: Int, _ d: Int) -> Double {
            Double(setting.rounded(qkv[position * test.width + head * width + d]))
        }
        let first = test.window.map { max(0, row + 1 - $0) } ?? 0
        return (0..<test.queryHeads).flatMap { head in
            let key = test.queryHeads + head / group
            let scores = (first...row).map { position in
                var sum = 0.0
                for d in 0..<width { sum += element(row, head, d) * element(position, key, d) }
                sum *= Double(test.shape.scale)
                if let cap = test.softCap { sum = Double(cap) * tanh(sum / Double(cap)) }
                return sum
            }
            let maximum = scores.max() ?? 0
            let weights = scores.map { exp($0 - maximum) }
            let total = weights.reduce(0, +)
            return (0..<width).map { d in
                var sum = 0.0
                for (offset, weight) in weights.enumerated() {
                    sum += weight * element(first + offset, key + test.keyValueHeads, d)
                }
                return sum / total
            }
        }
    }
}
