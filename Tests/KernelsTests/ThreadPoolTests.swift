import CKernels
import Synchronization
import Testing

@testable import Kernels

/// The pool: every item once, on any number of threads, job after job.
@Suite struct ThreadPoolTests {
    /// Times each item was run; the threads that ran any.
    final class Tally: Sendable {
        let times: [Atomic<Int>.Box]
        init(_ count: Int) { times = (0..<count).map { _ in Atomic<Int>.Box() } }
    }

    @Test(arguments: [1, 2, 3, 7])
    func everyItemRunsOnce(_ threads: Int) throws {
        let device = try CPUDevice(threads: threads)
        for (round, (count, grain)) in [(1, 1), (5, 2), (1000, 7), (3, 100), (64, 1), (0, 1)].enumerated() {
            for _ in 0..<40 {
                let tally = Tally(count)
                let context = Unmanaged.passUnretained(tally).toOpaque()
                mr_engine_parallel(
                    device.engine, Int32(count), Int32(grain),
                    { context, begin, end, _ in
                        guard let context else { return }
                        let tally = Unmanaged<Tally>.fromOpaque(context).takeUnretainedValue()
                        for item in begin..<end {
                            tally.times[Int(item)].value.wrappingAdd(1, ordering: .relaxed)
                        }
                    }, context)
                try #require(
                    tally.times.allSatisfy { $0.value.load(ordering: .relaxed) == 1 }, "round \(round)")
            }
        }
    }

    /// Few items go to few threads, whole grains but for the last.
    @Test(arguments: [2, 3, 7]) func noThreadIsWokenForLessThanAGrain(_ threads: Int) throws {
        final class Ranges: Sendable {
            let all = Mutex<[Range<Int32>]>([])
        }
        let device = try CPUDevice(threads: threads)
        for _ in 0..<40 {
            let ranges = Ranges()
            mr_engine_parallel(
                device.engine, 17, 8,
                { context, begin, end, _ in
                    guard let context else { return }
                    let ranges = Unmanaged<Ranges>.fromOpaque(context).takeUnretainedValue()
                    ranges.all.withLock { $0.append(begin..<end) }
                }, Unmanaged.passUnretained(ranges).toOpaque())
            let sorted = ranges.all.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
            try #require(sorted == [0..<8, 8..<16, 16..<17])
        }
    }
}

extension Atomic where Value == Int {
    /// An atomic on the heap.
    final class Box: Sendable {
        let value = Atomic<Int>(0)
    }
}
