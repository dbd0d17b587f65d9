/// Milliseconds since 1970-01-01 UTC. Stores are told the time; they never ask for it.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var milliseconds: Int64

    package init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// Whole seconds, as OpenAI's `created` fields count.
    package var seconds: Int64 { milliseconds / 1000 }

    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.milliseconds < b.milliseconds }
    package static func + (time: Timestamp, ms: Int64) -> Timestamp {
        Timestamp(milliseconds: time.milliseconds + ms)
    }
    /// Milliseconds from `b` to `a`.
    package static func - (a: Timestamp, b: Timestamp) -> Int64 { a.milliseconds - b.milliseconds }
}
