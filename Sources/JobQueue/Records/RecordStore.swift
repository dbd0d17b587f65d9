/// Small named values beside the queue that several processes read and change together: budgets, spending, sealed keys.
///
/// A writer says which version it read; when another was faster nothing is written, and it starts over. So the rules of
/// what is changed stay in one place, and a store needs to know only how to compare.
package protocol RecordStore: Sendable {
    /// Each record, or nil where there is none; all as they were at one instant.
    func records(_ names: [String]) async throws(JobQueueError) -> [StoredRecord?]
    /// Writes all changes, or none: false when a record is not what its change expects. Durable when it returns.
    func write(_ changes: [RecordChange]) async throws(JobQueueError) -> Bool
    /// Names that begin with `prefix`, by bytes.
    func recordNames(prefix: String) async throws(JobQueueError) -> [String]
}

package struct StoredRecord: Sendable, Equatable {
    package var value: [UInt8]
    /// Grows with every write of any record, so that one that was removed and made again is not mistaken for the old.
    package var version: Int64

    package init(value: [UInt8], version: Int64) {
        self.value = value
        self.version = version
    }
}

package struct RecordChange: Sendable, Equatable {
    package var name: String
    /// The version that was read; nil: there was no record.
    package var expected: Int64?
    /// Nil removes it.
    package var value: [UInt8]?

    package init(name: String, expected: Int64?, value: [UInt8]?) {
        self.name = name
        self.expected = expected
        self.value = value
    }
}

/// What no store takes.
package enum RecordLimits {
    package static let maxNameBytes = 512
    package static let maxValueBytes = 1 << 20

    static func check(_ changes: [RecordChange]) throws(JobQueueError) {
        for change in changes {
            try check(name: change.name)
            if let count = change.value?.count, count > maxValueBytes {
                throw .invalidArgument(
                    "record \(change.name) has \(count) bytes, and at most \(maxValueBytes) are stored")
            }
        }
        guard Set(changes.map { Array($0.name.utf8) }).count == changes.count else {
            throw .invalidArgument("one record is changed twice at once")
        }
    }

    static func check(name: String) throws(JobQueueError) {
        guard (1...maxNameBytes).contains(name.utf8.count), !name.utf8.contains(0) else {
            throw .invalidArgument("a record's name must have 1 to \(maxNameBytes) bytes, none of them zero")
        }
    }
}

extension RecordStore {
    /// Changes records by a function of what they hold, again and again until nobody else was faster.
    /// - Parameter body: gets the values of `names`, changes them (nil removes), and returns what the caller wants; it
    ///   may run more than once.
    package func change<T: Sendable>(
        _ names: [String], _ body: @Sendable (inout [[UInt8]?]) throws(JobQueueError) -> T
    ) async throws(JobQueueError) -> T {
        for _ in 0..<Self.maxTries {
            let found = try await records(names)
            var values = found.map { $0?.value }
            let result = try body(&values)
            let changes = names.indices.filter { values[$0] != found[$0]?.value }.map {
                RecordChange(name: names[$0], expected: found[$0]?.version, value: values[$0])
            }
            if changes.isEmpty { return result }
            // What was read and not changed must still be so: the decision rests on it.
            let others = names.indices.filter { values[$0] == found[$0]?.value }.map {
                RecordChange(name: names[$0], expected: found[$0]?.version, value: found[$0]?.value)
            }
            if try await write(changes + others) { return result }
        }
        throw .unavailable(
            "\(names.joined(separator: ", ")): others changed it \(Self.maxTries) times in a row: try again")
    }

    private static var maxTries: Int { 200 }
}
