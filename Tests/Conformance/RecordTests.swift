import JobQueue
import Testing

/// Records, of every kind of store that keeps them.
@Suite struct RecordTests {
    /// A kind of record store.
    struct Records: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var with: @Sendable (_ test: @Sendable (any RecordStore) async throws -> Void) async throws -> Void

        static let all = [
            Records(testDescription: "memory") { try await $0(MemoryRecords()) },
            of(.sqliteInMemory), of(.sqliteFile), of(.redis),
        ]

        static func of(_ store: Store) -> Records {
            Records(testDescription: store.testDescription) { test in
                try await store.with { queue in
                    let records = try #require(queue as? any RecordStore)
                    try await test(records)
                }
            }
        }
    }

    @Test(arguments: Records.all) func keepsWhatWasWritten(_ kind: Records) async throws {
        try await kind.with { store in
            #expect(try await store.records(["a", "b"]) == [nil, nil])
            #expect(try await store.write([RecordChange(name: "a", expected: nil, value: [0, 255, 10])]))
            let found = try await store.records(["b", "a"])
            #expect(found[0] == nil)
            #expect(found[1]?.value == [0, 255, 10])
            #expect(try await store.write([RecordChange(name: "e", expected: nil, value: [])]))
            #expect(try await store.records(["e"]).first??.value == [])
        }
    }

    @Test(arguments: Records.all) func writesOnlyOnWhatWasRead(_ kind: Records) async throws {
        try await kind.with { store in
            _ = try await store.write([RecordChange(name: "a", expected: nil, value: [1])])
            let first = try #require(try await store.records(["a"])[0])
            #expect(try await !store.write([RecordChange(name: "a", expected: nil, value: [2])]))
            #expect(try await store.write([RecordChange(name: "a", expected: first.version, value: [3])]))
            #expect(try await !store.write([RecordChange(name: "a", expected: first.version, value: [4])]))
            #expect(try await store.records(["a"])[0]?.value == [3])
            // All or none.
            #expect(
                try await !store.write([
                    RecordChange(name: "b", expected: nil, value: [5]),
                    RecordChange(name: "a", expected: first.version, value: [6]),
                ]))
            #expect(try await store.records(["b"]) == [nil])
        }
    }

    @Test(arguments: Records.all) func aRecordMadeAgainIsAnother(_ kind: Records) async throws {
        try await kind.with { store in
            _ = try await store.write([RecordChange(name: "a", expected: nil, value: [1])])
            let old = try #require(try await store.records(["a"])[0])
            #expect(try await store.write([RecordChange(name: "a", expected: old.version, value: nil)]))
            #expect(try await store.records(["a"]) == [nil])
            #expect(try await store.write([RecordChange(name: "a", expected: nil, value: [1])]))
            #expect(try await !store.write([RecordChange(name: "a", expected: old.version, value: [2])]))
        }
    }

    @Test(arguments: Records.all) func namesAreBytes(_ kind: Records) async throws {
        try await kind.with { store in
            for name in ["x/b", "x/a", "y", "x", "x/\u{E9}", "x/e\u{301}", "x/%", "x/*"] {
                #expect(try await store.write([RecordChange(name: name, expected: nil, value: Array(name.utf8))]))
            }
            let names = try await store.recordNames(prefix: "x/")
            #expect(names.map { Array($0.utf8) } == ["x/%", "x/*", "x/a", "x/b", "x/e\u{301}", "x/\u{E9}"].map { Array($0.utf8) })
            #expect(try await store.recordNames(prefix: "x/*") == ["x/*"])
            #expect(try await store.recordNames(prefix: "").count == 8)
            #expect(try await store.records(["x/\u{E9}"])[0]?.value == Array("x/\u{E9}".utf8))
            for bad in ["", "a\0b", String(repeating: "n", count: 513)] {
                await expectFailure("invalidArgument") { _ = try await store.records([bad]) }
                await expectFailure("invalidArgument") {
                    _ = try await store.write([RecordChange(name: bad, expected: nil, value: [1])])
                }
            }
            await expectFailure("invalidArgument") {
                let large = [UInt8](repeating: 1, count: RecordLimits.maxValueBytes + 1)
                _ = try await store.write([RecordChange(name: "large", expected: nil, value: large)])
            }
        }
    }

    /// Each adds to two records at once; nothing is lost, and no one sees one without the other.
    @Test(arguments: Records.all) func changesByManyAddUp(_ kind: Records) async throws {
        try await kind.with { store in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        for _ in 0..<25 {
                            try await store.change(["p", "q"]) { values in
                                for i in 0...1 { values[i] = [(values[i]?.first ?? 0) &+ 1] }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await store.records(["p", "q"]).map { $0?.value } == [[200], [200]])
        }
    }
}
