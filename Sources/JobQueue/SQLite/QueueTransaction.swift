import Foundation
import GRDB

/// One open transaction on a queue file. Statements are prepared once for each connection and kept.
/// Lives only within the closure that receives it, on the connection's own queue.
struct QueueTransaction {
    let db: Database
    /// For messages.
    let path: String

    func statement(_ sql: String) throws -> Statement { try db.cachedStatement(sql: sql) }

    func run(_ sql: String, _ arguments: StatementArguments) throws {
        try statement(sql).execute(arguments: arguments)
    }

    /// Calls `body` for each row until it returns false.
    func scan(_ sql: String, _ arguments: StatementArguments, _ body: (StoredRow) throws -> Bool) throws {
        let cursor = try Row.fetchCursor(statement(sql), arguments: arguments)
        while let row = try cursor.next() {
            guard try body(StoredRow(row: row, path: path)) else { break }
        }
    }

    func rows<T>(
        _ sql: String, _ arguments: StatementArguments, _ body: (StoredRow) throws -> T
    ) throws -> [T] {
        var found: [T] = []
        try scan(sql, arguments) { row in
            found.append(try body(row))
            return true
        }
        return found
    }

    func first<T>(
        _ sql: String, _ arguments: StatementArguments, _ body: (StoredRow) throws -> T
    ) throws -> T? {
        var found: T?
        try scan(sql, arguments) { row in
            found = try body(row)
            return false
        }
        return found
    }

    func damaged(_ what: String) -> JobQueueError { QueueFailure.damaged(path, what) }

    /// A value for a text column. SQLite's text ends at a zero byte, so that one would be stored as another text.
    func text(_ value: String, named name: String) throws(JobQueueError) -> String {
        guard !value.utf8.contains(0) else { throw .invalidArgument("\(name) contains a zero byte") }
        return value
    }
}

/// A row as it lies in the file. Reads are checked, since a damaged file can hold anything anywhere.
struct StoredRow {
    let row: Row
    let path: String

    private func wrong(_ at: Int, _ expected: String) -> JobQueueError {
        let name = Array(row.columnNames)[at]
        return QueueFailure.damaged(path, "column \(name) holds no \(expected)")
    }

    func isNull(_ at: Int) -> Bool { row.hasNull(atIndex: at) }

    func optionalInt64(_ at: Int) throws -> Int64? {
        let value: DatabaseValue = row[at]
        switch value.storage {
        case .null: return nil
        case .int64(let number): return number
        default: throw wrong(at, "whole number")
        }
    }

    func int64(_ at: Int) throws -> Int64 {
        guard let value = try optionalInt64(at) else { throw wrong(at, "whole number") }
        return value
    }

    func int(_ at: Int) throws -> Int { Int(try int64(at)) }

    func optionalTime(_ at: Int) throws -> Timestamp? {
        try optionalInt64(at).map { Timestamp(milliseconds: $0) }
    }

    func time(_ at: Int) throws -> Timestamp { Timestamp(milliseconds: try int64(at)) }

    func optionalText(_ at: Int) throws -> String? {
        let value: DatabaseValue = row[at]
        switch value.storage {
        case .null: return nil
        case .string(let text): return text
        default: throw wrong(at, "text")
        }
    }

    func text(_ at: Int) throws -> String {
        guard let value = try optionalText(at) else { throw wrong(at, "text") }
        return value
    }

    func optionalBytes(_ at: Int) throws -> [UInt8]? {
        guard !row.hasNull(atIndex: at) else { return nil }
        return try row.withUnsafeData(atIndex: at) { data in data.map { [UInt8]($0) } ?? [] }
    }

    func bytes(_ at: Int) throws -> [UInt8] {
        guard let value = try optionalBytes(at) else { throw wrong(at, "bytes") }
        return value
    }
}
