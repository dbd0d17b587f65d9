/// Milliseconds since 1970-01-01 UTC. Stores are told the time; they never ask for it.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var milliseconds: Int64

    package init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// Whole seconds, as OpenAI's `created` fields count.
    package var seconds: Int64 { milliseconds / 1000 }

    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.milliseconds < b.milliseconds }
    /// Stops at the last instant that can be expressed: durations come from options and upstream headers.
    package static func + (time: Timestamp, ms: Int64) -> Timestamp {
        let (sum, overflow) = time.milliseconds.addingReportingOverflow(ms)
        return Timestamp(milliseconds: overflow ? (ms > 0 ? .max : .min) : sum)
    }
    /// Milliseconds from `b` to `a`.
    package static func - (a: Timestamp, b: Timestamp) -> Int64 {
        let (difference, overflow) = a.milliseconds.subtractingReportingOverflow(b.milliseconds)
        return overflow ? (a > b ? .max : .min) : difference
    }
}
