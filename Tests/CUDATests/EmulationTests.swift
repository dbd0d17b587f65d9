import CUDAEmulation
import Kernels
import Testing

/// The execution model that the kernels' tests rely on.
@Suite(.serialized) struct EmulationTests {
    @Test(arguments: threadOrders)
    func barriersOrderSharedMemory(_ order: UInt32) throws {
        let input = EmulatedBuffer((0..<256).map { Float($0 * $0) })
        let sum = EmulatedBuffer<Float>(count: 256)
        try inOrder(order) {
            try emulate("probe_tree", grid: (1, 1, 1), block: 256, sharedBytes: 1024, .buffer(input), .buffer(sum))
        }
        #expect(sum.values == [Float](repeating: (0..<256).map { Float($0 * $0) }.reduce(0, +), count: 256))

        let reversed = EmulatedBuffer<Float>(count: 256)
        try inOrder(order) {
            try emulate(
                "probe_reverse", grid: (4, 1, 1), block: 64, .buffer(input), .buffer(reversed), .int(0))
        }
        let given = input.values
        let wanted: [Float] = (0..<256).map { (at: Int) -> Float in given[at / 64 * 64 + 63 - at % 64] }
        #expect(reversed.values == wanted)
    }

    @Test func aForgottenBarrierShowsAsPoison() throws {
        let input = EmulatedBuffer((0..<256).map(Float.init))
        var wrong = 0
        for order in threadOrders {
            let output = EmulatedBuffer<Float>(count: 256)
            try inOrder(order) {
                try emulate("probe_reverse", grid: (1, 1, 1), block: 256, .buffer(input), .buffer(output), .int(1))
            }
            wrong += output.values.count(where: \.isNaN)
        }
        #expect(wrong > 200)
    }

    @Test(arguments: threadOrders)
    func warpOperationsExchangeLanes(_ order: UInt32) throws {
        let count = 96
        let input = (0..<count).map { Int32(($0 * 37 + 11) % 101) }
        let output = EmulatedBuffer<Int32>(count: 8 * count)
        try inOrder(order) {
            try emulate(
                "probe_warp", grid: (1, 1, 1), block: count, .buffer(EmulatedBuffer(input)), .buffer(output))
        }
        let found = output.values
        for thread in 0..<count {
            let (first, lane) = (thread / 32 * 32, thread % 32)
            let warp = Array(input[first..<first + 32])
            #expect(found[thread] == warp[lane ^ 5])
            #expect(found[count + thread] == warp[lane < 3 ? lane : lane - 3])
            #expect(found[2 * count + thread] == warp[lane > 24 ? lane : lane + 7])
            #expect(found[3 * count + thread] == warp[lane / 2])
            func votes(_ has: (Int32) -> Bool) -> Int32 {
                Int32(bitPattern: (0..<32).reduce(UInt32(0)) { has(warp[$1]) ? $0 | 1 << UInt32($1) : $0 })
            }
            #expect(found[4 * count + thread] == votes { $0 & 1 == 1 })
            #expect(found[5 * count + thread] == votes { $0 % 3 == warp[lane] % 3 })
            let pair = warp[lane] + warp[lane ^ 1]
            #expect(found[6 * count + thread] == (lane < 16 ? pair : 2 * pair))
            #expect(found[7 * count + thread] == warp.max())
        }
    }

    @Test func atomicsCountEveryThread() throws {
        let input = (0..<512).map { Int32(($0 * 7919) % 1000) }
        let counts = EmulatedBuffer([Int32](repeating: 0, count: 8))
        let largest = EmulatedBuffer<Int32>([-1])
        try emulate(
            "probe_atomics", grid: (4, 1, 1), block: 128, .buffer(EmulatedBuffer(input)), .buffer(counts),
            .buffer(largest))
        #expect(counts.values == (0..<8).map { rest in Int32(input.count { $0 % 8 == rest }) })
        #expect(largest.values == [input.max()])
    }

    @Test(arguments: ["probe_mma", "probe_mma_columns"])
    func tensorCoresMultiply(_ kernel: String) throws {
        // Small integers: every product and sum is exact.
        let a = (0..<256).map { Float(($0 * 31) % 17 - 8) }
        let b = (0..<128).map { Float(($0 * 13) % 11 - 5) }
        let c = (0..<128).map { Float($0) / 4 }
        let stored = kernel == "probe_mma" ? b : (0..<128).map { b[$0 % 16 * 8 + $0 / 16] }
        let d = EmulatedBuffer<Float>(count: 128)
        let last: [KernelArgument] = kernel == "probe_mma" ? [.int(0)] : []
        try emulate(
            kernel, grid: (1, 1, 1), block: 32,
            arguments: [
                .buffer(EmulatedBuffer(a.map(BFloat16.init))), .buffer(EmulatedBuffer(stored.map(BFloat16.init))),
                .buffer(EmulatedBuffer(c)), .buffer(d),
            ] + last)
        let product = (0..<128).map { at in
            c[at] + (0..<16).reduce(Float(0)) { $0 + a[at / 8 * 16 + $1] * b[$1 * 8 + at % 8] }
        }
        #expect(d.values == product)
    }

    @Test func copiesLandWhenWaitedFor() throws {
        let ones = EmulatedBuffer([BFloat16](repeating: BFloat16(1), count: 256))
        let d = EmulatedBuffer<Float>(count: 128)
        let zeros = EmulatedBuffer([Float](repeating: 0, count: 128))
        try emulate(
            "probe_mma", grid: (1, 1, 1), block: 32, .buffer(ones), .buffer(ones), .buffer(zeros), .buffer(d), .int(1))
        let finite = d.values.filter { !$0.isNaN }
        #expect(finite.isEmpty)
    }

    @Test(arguments: threadOrders, [32, 256, 1024])
    func reductionsAgreeInEveryThread(_ order: UInt32, _ count: Int) throws {
        let input = (0..<count).map { Float(($0 * 613) % 1009) / 7 - 60 }
        let sums = EmulatedBuffer<Float>(count: count)
        let largest = EmulatedBuffer<Float>(count: count)
        try inOrder(order) {
            try emulate(
                "probe_reduce", grid: (1, 1, 1), block: count, .buffer(EmulatedBuffer(input)), .buffer(sums),
                .buffer(largest))
        }
        let exact = input.map(Double.init).reduce(0, +)
        #expect(Set(sums.values).count == 1)
        #expect(abs(Double(sums.values[0]) - exact) < 0.01)
        #expect(largest.values == [Float](repeating: input.max()!, count: count))
    }

    @Test func sixteenBitFloatsRound() throws {
        // Both sides of ties, overflow to infinity, subnormals, and what is not a number.
        let bits: [UInt32] = [
            0x3f80_8000, 0x3f80_8001, 0x3f81_8000, 0x3f80_7fff, 0x7f7f_ffff, 0x0000_8000, 0x0000_8001, 0x8000_0000,
            0x7f80_0000, 0xff80_0000, 0x7f80_0001, 0xffff_ffff,
        ]
        let wanted: [UInt16] = [
            0x3f80, 0x3f81, 0x3f82, 0x3f80, 0x7f80, 0x0000, 0x0001, 0x8000, 0x7f80, 0xff80, 0x7fff, 0x7fff,
        ]
        let count = bits.count
        let rounded = EmulatedBuffer<UInt16>(count: count)
        let pairs = EmulatedBuffer<UInt32>(count: count)
        let halves = EmulatedBuffer<Float>(count: count)
        let input = EmulatedBuffer(bits.map(Float.init(bitPattern:)))
        for first in stride(from: 0, to: 65536 - count, by: count) {
            try emulate(
                "probe_rounding", grid: (1, 1, 1), block: count, .buffer(input), .buffer(rounded), .buffer(pairs),
                .buffer(halves), .int(first))
            for (offset, value) in halves.values.enumerated() {
                let half = Float(Float16(bitPattern: UInt16(first + offset)))
                try #require(value == half || value.isNaN && half.isNaN)
            }
        }
        #expect(rounded.values == wanted)
        for (pair, low) in zip(pairs.values, wanted) {
            #expect(UInt16(truncatingIfNeeded: pair) == low)
            #expect(UInt16(pair >> 16) == low ^ 0x8000 || low == 0x7fff && pair >> 16 == 0x7fff)
        }
    }

    @Test func theLastBlockSeesTheOthers() throws {
        let arrived = EmulatedBuffer<UInt32>([0])
        let total = EmulatedBuffer<Int32>(count: 1)
        let partial = EmulatedBuffer<Int32>(count: 10)
        for _ in 0..<2 {
            try emulate(
                "probe_last_block", grid: (10, 1, 1), block: 64, .buffer(EmulatedBuffer((0..<10).map(Int32.init))),
                .buffer(partial), .buffer(arrived), .buffer(total))
            #expect(total.values == [45 + 22])
            #expect(arrived.values == [0])
        }
    }

    static let mistakes: [(Int, String)] = [
        (0, "thread (7,0,0) has returned"), (1, "at barrier_sync"), (2, "__shfl_xor_sync of lanes 0xffffffff"),
        (3, "in __ballot_sync"), (4, "of a buffer of 400 bytes"), (5, "before a buffer of 400 bytes"),
        (6, "wrote byte 400 of a buffer of 400 bytes"), (7, "without any"), (8, "__shfl_sync"),
    ]

    @Test(arguments: threadOrders, mistakes)
    func mistakesAreReported(_ order: UInt32, _ mistake: (kind: Int, words: String)) throws {
        let buffer = EmulatedBuffer<Float>(count: 100)
        let error = inOrder(order) {
            #expect(throws: EmulationError.self) {
                try emulate(
                    "probe_mistake", grid: (1, 1, 1), block: 64, .int(mistake.kind), .buffer(buffer), .longLong(100))
            }
        }
        #expect(error?.reason.contains(mistake.words) == true, "\(error?.reason ?? "")")
    }

    @Test func launchesThatNoDeviceAcceptsAreRefused() {
        #expect(throws: EmulationError.self) { try emulate("probe_nothing", grid: (1, 1, 1), block: 32) }
        for (grid, block, shared) in [((1, 70_000, 1), 32, 0), ((1, 1, 1), 1025, 0), ((1, 1, 1), 32, 240_000)] {
            let error = #expect(throws: EmulationError.self) {
                try emulate(
                    "probe_mistake", grid: grid, block: block, sharedBytes: shared, .int(9), .pointer(nil),
                    .longLong(0))
            }
            #expect(error?.reason.contains("no device accepts") == true)
        }
    }
}
