import CKernels

/// What this machine can do at most, measured: all of a device's threads at once.
package struct CPUPeaks: Sendable, Equatable {
    /// Operations a second from registers, of float32, bfloat16 and bytes; nil where the CPU does not multiply them.
    package var float32: Double
    package var bfloat16: Double?
    package var int8: Double?
    /// Bytes a second, reading memory in order.
    package var bytesPerSecond: Double

    package init(float32: Double, bfloat16: Double?, int8: Double? = nil, bytesPerSecond: Double) {
        self.float32 = float32
        self.bfloat16 = bfloat16
        self.int8 = int8
        self.bytesPerSecond = bytesPerSecond
    }

    /// Of the products that a compute type comes to.
    package func operationsPerSecond(_ type: ComputeType) -> Double {
        type == .bfloat16 ? bfloat16 ?? float32 : float32
    }
}

extension CPUDevice {
    /// The best of `tries` runs of each, about 60 ms long; and of a read of `bufferBytes`, which must exceed all
    /// caches.
    package func measurePeaks(tries: Int = 15, bufferBytes: Int = 512 << 20) throws -> CPUPeaks {
        let buffer = try CPUMemory(bytes: bufferBytes, for: "a buffer to read")
        // Pages that were never written are all the same one.
        for at in stride(from: 0, to: bufferBytes, by: 4096) {
            buffer.base.storeBytes(of: 1, toByteOffset: at, as: UInt8.self)
        }
        let rate = { (precision: mr_precision) in
            let steps = self.steps(precision)
            return Self.best(tries) { mr_peak_multiply(self.engine, precision, steps) }
        }
        return CPUPeaks(
            float32: rate(MR_FLOAT32), bfloat16: instructionSet.multipliesBFloat16 ? rate(MR_BFLOAT16) : nil,
            int8: instructionSet.multipliesBytes ? rate(MR_INT8) : nil,
            bytesPerSecond: Self.best(tries) { Double(mr_peak_read(engine, buffer.base, bufferBytes)) })
    }

    /// Steps that take about 60 ms.
    private func steps(_ precision: mr_precision) -> Int64 {
        var steps: Int64 = 100
        while steps < 1 << 30 {
            let start = ContinuousClock.now
            _ = mr_peak_multiply(engine, precision, steps)
            if ContinuousClock.now - start > .milliseconds(60) { break }
            steps *= 2
        }
        return steps
    }

    private static func best(_ tries: Int, _ body: () -> Double) -> Double {
        var best = 0.0
        for _ in 0..<tries {
            let start = ContinuousClock.now
            let amount = body()
            best = max(best, amount / ((ContinuousClock.now - start) / .seconds(1)))
        }
        return best
    }
}
