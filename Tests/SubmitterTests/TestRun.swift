import EchoRun
import JSON
import JobQueue
import Submitter
import Synchronization
import Testing

/// Runs of one configuration in a folder of their own, on a real store, with a worker that echoes.
struct TestRun {
    let folder = TemporaryFolder()
    var configuration: RunConfiguration
    var worker = EchoWorker()

    init(_ text: String, name: String = "in.jsonl") throws { try self.init(Array(text.utf8), name: name) }

    init(_ bytes: [UInt8], name: String = "in.jsonl") throws {
        configuration = RunConfiguration(
            input: try folder.write(name, bytes), places: ResultPlaces(output: folder("out.jsonl")),
            model: ModelIdentity(name: "echo", fingerprint: "f1", settings: ["dtype": "float32"]))
    }

    /// Time that passes by 10 ms at each look.
    static var clock: RunClock {
        let time = Atomic(Int64(0))
        return RunClock(
            now: { Timestamp(milliseconds: 1000) },
            uptimeMs: { time.add(10, ordering: .relaxed).newValue },
            pause: { _ in
                try Task.checkCancellation()
                await Task.yield()
            })
    }

    @discardableResult
    func callAsFunction(
        display: any ProgressDisplay = NoProgress(), change: (inout RunConfiguration) -> Void = { _ in }
    ) async throws(RunError) -> Summary {
        var configuration = configuration
        change(&configuration)
        let session = RunSession(configuration, clock: Self.clock) { try SQLiteQueue(path: $0) }
        return try await session.run(display: display, work: worker.work)
    }

    /// The error that the same command ends with.
    func failure(change: (inout RunConfiguration) -> Void = { _ in }) async -> RunError? {
        do {
            try await callAsFunction(change: change)
            return nil
        } catch {
            return error
        }
    }

    /// Lines of a result file; throws unless each is whole.
    func lines(_ name: String = "out.jsonl") throws -> [JSON] {
        let bytes = try folder.bytes(name)
        guard let last = bytes.last else { return [] }
        #expect(last == UInt8(ascii: "\n"))
        return try bytes.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { try JSON(parsing: Array($0)) }
    }

    func customIDs(_ name: String = "out.jsonl") throws -> [String] { try lines(name).map { $0["custom_id"]?.string ?? "" } }

    static func prompts(_ count: Int) -> String {
        (1...count).map { "{\"prompt\":\"prompt \($0)\"}\n" }.joined()
    }
}

/// A generator that gives the same in every run (SplitMix64, https://prng.di.unimi.it/splitmix64.c).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
