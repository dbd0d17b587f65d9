import DeviceChecks
import Kernels
import Models

/// Times of a model's steps on the device, beside what must be moved and computed at the least.
struct StepTimes {
    let steps: ModelSteps
    let stopwatch: CUDAStopwatch

    /// Median milliseconds of `repetitions` runs of a step, after three that warm up, record and replay.
    func time(_ batch: PackedBatch, repetitions: Int = 15) throws -> Double {
        for _ in 0..<3 { try steps.runner.forward(batch) }
        let times = try (0..<repetitions).map { _ in try stopwatch.time { try steps.runner.forward(batch) } }
        return times.sorted()[repetitions / 2]
    }

    /// One token each of `sequences` that have `context` positions.
    func decode(_ sequences: Int, context: Int) throws -> Double {
        try time(steps.batch((0..<sequences).map { ($0, [Int32(5)], context - 1) }))
    }

    func prefill(_ sequences: Int, length: Int) throws -> Double {
        let tokens = [Int32](repeating: 7, count: length)
        return try time(steps.batch((0..<sequences).map { ($0, tokens, 0) }), repetitions: 5)
    }
}
