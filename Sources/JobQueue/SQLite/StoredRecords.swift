import Foundation
import GRDB

/// Records in the queue's file.
extension SQLiteQueue: RecordStore {
    package func records(_ names: [String]) async throws(JobQueueError) -> [StoredRecord?] {
        for name in names { try RecordLimits.check(name: name) }
        return try await commits.read { try $0.records(names) }
    }

    package func write(_ changes: [RecordChange]) async throws(JobQueueError) -> Bool {
        try RecordLimits.check(changes)
        return try await commits.write { try $0.write(changes) }
    }

    package func recordNames(prefix: String) async throws(JobQueueError) -> [String] {
        try await commits.read { try $0.recordNames(prefix: prefix) }
    }
}

extension QueueTransaction {
    func records(_ names: [String]) throws -> [StoredRecord?] {
        try names.map { name in
            try first("SELECT value, version FROM record WHERE name = coalesce(?, x'')", [Data(name.utf8)]) {
                StoredRecord(value: try $0.bytes(0), version: try $0.int64(1))
            }
        }
    }

    func write(_ changes: [RecordChange]) throws -> Bool {
        let found = try records(changes.map(\.name))
        guard zip(changes, found).allSatisfy({ $0.expected == $1?.version }) else { return false }
        for change in changes {
            guard let value = change.value else {
                try run("DELETE FROM record WHERE name = coalesce(?, x'')", [Data(change.name.utf8)])
                continue
            }
            try run("UPDATE flag SET value = value + 1 WHERE name = 'records'", [])
            try run(
                """
                INSERT INTO record (name, version, value)
                VALUES (coalesce(?1, x''), (SELECT value FROM flag WHERE name = 'records'), coalesce(?2, x''))
                ON CONFLICT (name) DO UPDATE SET version = excluded.version, value = excluded.value
                """, [Data(change.name.utf8), Data(value)])
        }
        return true
    }

    func recordNames(prefix: String) throws -> [String] {
        try rows(
            "SELECT name FROM record WHERE substr(name, 1, ?) = coalesce(?, x'') ORDER BY name",
            [prefix.utf8.count, Data(prefix.utf8)]
        ) { String(decoding: try $0.bytes(0), as: UTF8.self) }
    }
}
