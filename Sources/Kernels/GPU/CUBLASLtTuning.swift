import CCUDA

/// Finds the fastest of the library's algorithms for a product, by running them: its own estimate is off by up to ten
/// times where few rows meet long inputs (measured on an H100: 241 us where 26 are possible).
struct CUBLASLtTuning {
    let library: CUBLASLt
    let shape: CUBLASLtShape
    let w: CUDAAddress

    /// Rows of the product that every algorithm's results are compared with, and how many of them are.
    private static let canonicalRows = 256
    private static let comparedRows = 16

    /// The plan with the best algorithm first; nil where the library has none.
    func best() throws(DeviceError) -> CUBLASLtPlan? {
        guard var plan = try library.plan(shape, count: shape.rows > 512 ? 16 : 64) else { return nil }
        guard plan.choices.count > 1 else { return plan }
        // Without memory to try them in, the library's estimate has to do.
        guard let space = try? Space(library.runtime, shape, canonicalRows: Self.canonicalRows) else { return plan }
        let canonical = try canonicalResult(space)
        // Twice, because an algorithm's first run loads its kernel.
        let timed = try plan.choices.map { choice throws(DeviceError) in
            (choice, try time(plan, choice, space, repetitions: 2))
        }
        var ranked = timed.sorted { $0.1 < $1.1 }
        for index in ranked.indices.prefix(5) {
            ranked[index].1 = min(ranked[index].1, try time(plan, ranked[index].0, space, repetitions: 3))
        }
        ranked.sort { $0.1 < $1.1 }
        for (choice, milliseconds) in ranked where milliseconds < .infinity {
            if try result(plan, choice, shape, space) == canonical {
                plan.choices = [choice]
                return plan
            }
        }
        return nil
    }

    /// Memory to try in, freed after.
    private struct Space {
        let x: CUDAMemory
        let y: CUDAMemory
        /// Larger than caches, so that weights come from memory as they do in a step.
        let flush: CUDAMemory

        init(_ runtime: CUDADriver, _ shape: CUBLASLtShape, canonicalRows: Int) throws(DeviceError) {
            let rows = max(shape.rows, canonicalRows)
            x = try CUDAMemory(runtime, bytes: rows * shape.inputs * 2, for: "tuning")
            y = try CUDAMemory(runtime, bytes: rows * shape.outputs * 4, for: "tuning")
            flush = try CUDAMemory(runtime, bytes: 2 * max(runtime.properties.cacheBytes, 1 << 20), for: "tuning")
            // Small numbers of either sign, none like its neighbours.
            let row = (0..<shape.inputs * min(rows, 64)).map { index in
                UInt16(truncatingIfNeeded: 0x3C00 + (index &* 40503 ^ index >> 3) & 0x83FF)
            }
            for first in stride(from: 0, to: rows, by: 64) {
                let count = min(64, rows - first) * shape.inputs
                try runtime.uploadNow(Array(row.prefix(count)), to: x.address + CUDAAddress(first * shape.inputs * 2))
            }
        }
    }

    /// Milliseconds; infinite where the algorithm does not run.
    private func time(
        _ plan: CUBLASLtPlan, _ choice: mr_cublaslt_choice, _ space: Space, repetitions: Int
    ) throws(DeviceError) -> Double {
        let runtime = library.runtime
        let stopwatch = try runtime.makeStopwatch()
        var best = Double.infinity
        for _ in 0..<repetitions {
            try runtime.fill(space.flush.address, with: 0, count: space.flush.bytes)
            do {
                let milliseconds = try stopwatch.time {
                    try library.run(
                        plan, choice, shape, space.x.address, w, accumulate: false, into: space.y.address)
                }
                best = min(best, milliseconds)
            } catch { return .infinity }
        }
        return best
    }

    private func canonicalResult(_ space: Space) throws(DeviceError) -> [UInt32] {
        var canonical = shape
        canonical.rows = Self.canonicalRows
        guard let plan = try library.plan(canonical, count: 1) else { return [] }
        return try result(plan, plan.choices[0], canonical, space)
    }

    /// The bits of the first rows.
    private func result(
        _ plan: CUBLASLtPlan, _ choice: mr_cublaslt_choice, _ shape: CUBLASLtShape, _ space: Space
    ) throws(DeviceError) -> [UInt32] {
        let rows = min(self.shape.rows, Self.comparedRows)
        try library.runtime.fill(space.y.address, with: 0xFF, count: rows * shape.outputs * 4)
        try library.run(plan, choice, shape, space.x.address, w, accumulate: false, into: space.y.address)
        let bits = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: rows * shape.outputs)
        defer { bits.deallocate() }
        try library.runtime.download(space.y.address, into: UnsafeMutableRawBufferPointer(bits))
        return Array(bits)
    }
}
