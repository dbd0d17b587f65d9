import Foundation
import JobQueue
import Testing

/// A process that works on a queue is killed again and again, at any moment: what it had been told is done is
/// there (I2), and each request ends exactly once (I1).
@Suite struct CrashTests {
    /// What the killed lives were told.
    private struct Witness {
        var appended = 0
        var sealed = false
        /// Attempt that was acknowledged as the one that settled, by ordinal.
        var settled: [Int: Int] = [:]
        var doubled: [Int] = []

        mutating func note(_ line: Substring) {
            let words = line.split(separator: " ")
            switch words.first {
            case "appended": if let count = Int(words[1]) { appended = max(appended, count) }
            case "sealed": sealed = true
            case "settled":
                guard let ordinal = Int(words[1]), let attempt = Int(words[2]) else { return }
                if settled.updateValue(attempt, forKey: ordinal) != nil { doubled.append(ordinal) }
            default: break
            }
        }
    }

    /// Beside the test bundle.
    private static let probe = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appending(path: "QueueCrashProbe")

    /// Runs one life and kills it after so many lines; nil: lets it end. Returns whether it said that it was
    /// done.
    private func live(
        _ path: String, life: Int, total: Int, killedAfter lines: Int?, _ witness: inout Witness
    ) throws -> Bool {
        let process = Process()
        process.executableURL = Self.probe
        process.arguments = [path, "\(life)", "\(total)"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        var text: [UInt8] = []
        var seen = 0
        // Read to the end also after the kill: what is in the pipe was acknowledged.
        while let chunk = try pipe.fileHandleForReading.read(upToCount: 256), !chunk.isEmpty {
            text += chunk
            seen += chunk.count { $0 == 10 }
            if let lines, seen >= lines { kill(process.processIdentifier, SIGKILL) }
        }
        process.waitUntilExit()
        let complete = text.lastIndex(of: 10).map { text[...$0] } ?? []
        for line in String(decoding: complete, as: UTF8.self).split(separator: "\n") { witness.note(line) }
        return String(decoding: complete, as: UTF8.self).hasSuffix("done\n")
    }

    @Test(
        .enabled(if: FileManager.default.isExecutableFile(atPath: probe.path), "QueueCrashProbe is not built")
    )
    func killedWorkersLoseNothing() async throws {
        let scratch = try Scratch()
        let total = 3000
        var witness = Witness()
        var random = Generator(state: 3)
        var kills = 0
        var life = 1
        while kills < 25 {
            // Early lives die while they append, some before they have said a word.
            let lines = kills % 6 == 0 ? 0 : Int.random(in: 1...(witness.sealed ? 120 : 25), using: &random)
            let done = try live(scratch.path, life: life, total: total, killedAfter: lines, &witness)
            try #require(!done, "the work ended after \(kills) kills")
            life += 1
            kills += 1
            try await check(scratch.path, witness, total: total)
        }
        #expect(try live(scratch.path, life: life, total: total, killedAfter: nil, &witness))
        #expect(scratch.names == ["queue.sqlite"])
        try await check(scratch.path, witness, total: total)
        #expect(witness.doubled == [])

        let queue = try SQLiteQueue(path: scratch.path)
        let status = try await queue.list(limit: 9)
        #expect(status.count == 1)
        #expect(status[0].state == .completed)
        #expect(status[0].counts == BatchCounts(total: total, completed: total))
        let records = try await queue.results(status[0].id, after: nil, limit: .max, order: .input)
        #expect(records.map(\.customID) == (0..<total).map { "r\($0)" })
        let usage = records.map(\.outcome.usage).reduce(Usage(), +)
        #expect(usage == status[0].usage)
        #expect(usage.promptTokens == (0..<total).map { $0 % 100 }.reduce(0, +))
        #expect(usage.costNanodollars == total * (total - 1) / 2)
        try await queue.close()
    }

    /// Holds the file to what its killed users were told.
    private func check(_ path: String, _ witness: Witness, total: Int) async throws {
        // The dead owner's lock is gone with it.
        let queue = try SQLiteQueue(path: path, exclusive: true)
        #expect(try await queue.integrityProblems() == [])
        if let status = try await queue.list(limit: 2).first {
            #expect(status.counts.total >= witness.appended)
            #expect(!witness.sealed || status.acceptedAt != nil)
            let records = try await queue.results(status.id, after: nil, limit: .max, order: .completion)
            let attempts = Dictionary(uniqueKeysWithValues: records.map { ($0.ordinal, $0.attempt) })
            for (ordinal, attempt) in witness.settled where attempts[ordinal] != attempt {
                Issue.record(
                    "\(ordinal) was settled by attempt \(attempt); the store has \(attempts[ordinal] ?? -1)")
            }
            for record in records {
                let body = Array("{\"of\":\"\(record.ordinal) \(record.attempt)\"}".utf8)
                #expect(record.outcome.result == .response(statusCode: 200, body: body))
            }
        } else {
            #expect(witness.appended == 0)
        }
        try await queue.close()
    }
}
