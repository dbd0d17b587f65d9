/// Names a sequence to the scheduler. The caller chooses it; it may be used again once the sequence
/// has left.
package struct SequenceID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    package static func < (a: SequenceID, b: SequenceID) -> Bool { a.rawValue < b.rawValue }
    package var description: String { "sequence \(rawValue)" }
}
