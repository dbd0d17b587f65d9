import CKernels
import DeviceChecks
import Foundation
import Testing

@testable import Kernels

/// Scans of logits on every instruction set.
@Suite struct RowOperationsTests {
    static let sets = CPUFeatures.available
    static let counts = [0, 1, 2, 15, 16, 17, 63, 64, 65, 1000, 49152]

    /// Values with ties, -inf and NaN mixed in.
    static func row(_ count: Int, odd: Bool, _ random: inout RandomNumbers) -> [Float] {
        (0..<count).map { _ in
            switch random.below(odd ? 12 : 10) {
            case 0: -.infinity
            case 10: .nan
            default: (random.float(in: -12...12) * 8).rounded() / 8
            }
        }
    }

    @Test(arguments: sets, counts)
    func extremesMatch(_ set: CPUFeatures.InstructionSet, _ count: Int) {
        var random = RandomNumbers(seed: UInt64(count))
        for odd in [false, true] {
            for _ in 0..<(count > 1000 ? 2 : 20) {
                let row = Self.row(count, odd: odd, &random)
                let numbers = row.enumerated().filter { !$1.isNaN }
                let most = numbers.map(\.element).max() ?? -.infinity
                let first = numbers.first { $0.element == most }?.offset ?? -1
                #expect(mr_maximum(set.kernel, row, Int64(count)) == most)
                #expect(mr_argmax(set.kernel, row, Int64(count)) == Int64(first))
                let threshold = most.isFinite ? most - random.float(in: 0...3) : 0
                let above = row.indices.filter { row[$0] >= threshold }.map(Int32.init)
                #expect(mr_count_at_least(set.kernel, row, Int64(count), threshold) == Int64(above.count))
                var found = [Int32](repeating: -1, count: above.count + 1)
                let all = mr_indices_at_least(
                    set.kernel, row, Int64(count), threshold, &found, Int64(above.count))
                #expect(all == Int64(above.count) && found == above + [-1], "room is not exceeded")
                if above.count > 1 {
                    var some = [Int32](repeating: -1, count: 2)
                    #expect(
                        mr_indices_at_least(set.kernel, row, Int64(count), threshold, &some, 1)
                            == Int64(above.count))
                    #expect(some == [above[0], -1])
                }
            }
        }
    }

    @Test(arguments: sets, counts)
    func logSumExpMatches(_ set: CPUFeatures.InstructionSet, _ count: Int) {
        var random = RandomNumbers(seed: UInt64(count) + 1)
        for spread in [Float(0.01), 3, 40] {
            let row = random.floats(count, in: -spread...spread).map { $0 + 17 }
            let most = row.map(Double.init).max() ?? -.infinity
            let exact = most + log(row.map { exp(Double($0) - most) }.reduce(0, +))
            let value = mr_log_sum_exp(set.kernel, row, Int64(count))
            #expect(
                value == exact || abs(value - exact) <= 2e-7 * max(1, abs(exact)),
                "\(value), exactly \(exact)")
        }
    }

    @Test(arguments: sets)
    func logSumExpOfOddRows(_ set: CPUFeatures.InstructionSet) {
        func value(_ row: [Float]) -> Double { mr_log_sum_exp(set.kernel, row, Int64(row.count)) }
        let low = [Float](repeating: -.infinity, count: 20)
        #expect(value(low) == -.infinity)
        #expect(value(low + [3]) == 3)
        #expect(value(low + [.infinity]) == .infinity)
        #expect(value([.nan]).isNaN && value(low + [.nan]).isNaN && value([1, .nan] + low).isNaN)
        #expect(value([Float](repeating: 2, count: 20) + [.nan]).isNaN)
    }

    @Test func swiftFacadeAgrees() {
        let row: [Float] = [1, .nan, 7, -.infinity, 7, 6.5]
        row.withUnsafeBufferPointer {
            #expect(RowOperations.argmax($0) == 2)
            #expect(RowOperations.maximum($0) == 7)
            #expect(RowOperations.countAtOrAbove($0, threshold: 6.5) == 3)
            #expect(RowOperations.indicesAtOrAbove($0, threshold: 6.5) == [2, 4, 5])
            #expect(RowOperations.logSumExp($0).isNaN)
        }
        #expect(RowOperations.argmax(UnsafeBufferPointer(start: nil, count: 0)) == nil)
    }
}
