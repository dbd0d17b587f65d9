import Synchronization

/// Records of one process, for one that runs alone and for tests.
package final class MemoryRecords: RecordStore {
    private struct State {
        var records: [[UInt8]: StoredRecord] = [:]
        var version: Int64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    package func records(_ names: [String]) async throws(JobQueueError) -> [StoredRecord?] {
        for name in names { try RecordLimits.check(name: name) }
        return state.withLock { state in names.map { state.records[Array($0.utf8)] } }
    }

    package func write(_ changes: [RecordChange]) async throws(JobQueueError) -> Bool {
        try RecordLimits.check(changes)
        return state.withLock { state in
            guard changes.allSatisfy({ state.records[Array($0.name.utf8)]?.version == $0.expected }) else {
                return false
            }
            for change in changes {
                state.version += 1
                let version = state.version
                state.records[Array(change.name.utf8)] = change.value.map { StoredRecord(value: $0, version: version) }
            }
            return true
        }
    }

    package func recordNames(prefix: String) async throws(JobQueueError) -> [String] {
        let prefix = Array(prefix.utf8)
        return state.withLock { state in
            state.records.keys.filter { $0.starts(with: prefix) }
                .sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
        }
    }
}
