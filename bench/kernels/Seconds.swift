import Foundation

/// Time by the clock, and processor time of all threads: on a machine that others use too, the second divided by
/// the number of threads is what the first would be alone.
struct Seconds {
    var wall = 0.0
    var processor = 0.0

    static var now: Seconds {
        var wall = timespec()
        var processor = timespec()
        clock_gettime(CLOCK_MONOTONIC, &wall)
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &processor)
        return Seconds(
            wall: Double(wall.tv_sec) + Double(wall.tv_nsec) * 1e-9,
            processor: Double(processor.tv_sec) + Double(processor.tv_nsec) * 1e-9)
    }

    static func - (a: Seconds, b: Seconds) -> Seconds {
        Seconds(wall: a.wall - b.wall, processor: a.processor - b.processor)
    }

    static func += (a: inout Seconds, b: Seconds) {
        a.wall += b.wall
        a.processor += b.processor
    }

    /// "1.234 s (0.617 s a thread)"
    func text(_ threads: Int) -> String {
        String(format: "%.3f s (%.3f s a thread)", wall, processor / Double(threads))
    }
}
