import Foundation
import JSON
import Testing

@testable import Submitter

/// Real processes, really killed.
@Suite struct KillTests {
    private static let binary: URL = {
        let bundle = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
        let folder = (bundle ?? URL(filePath: CommandLine.arguments[0])).deletingLastPathComponent()
        return folder.appending(path: "EchoRun")
    }()

    /// - Parameter setup: shell commands before the program, in the same process.
    private func start(_ run: TestRun, stepUs: Int, setup: String = ":") throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = [
            "-c", "\(setup); exec \"$0\" \"$@\"", Self.binary.path, run.configuration.input,
            run.configuration.places.output, String(stepUs),
        ]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// Killed at thirty moments, from before the submit to the end: then complete, each custom_id exactly once, and at no
    /// time has a file a line that is not whole.
    @Test func aRunSurvivesThirtyKills() throws {
        let count = 400
        let text = (1...count).map { "{\"custom_id\":\"r\($0)\",\"prompt\":\"\(String(repeating: "x", count: $0))\"}\n" }
        // One in ten is refused, so that the errors file goes through it too.
        let run = try TestRun(text.enumerated().map { $0 % 10 == 3 ? "{\"custom_id\":\"r\($0 + 1)\"}\n" : $1 }.joined())
        var kills = 0
        while kills < 30 {
            let process = try start(run, stepUs: 2000)
            usleep(.random(in: 1_000...60_000))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            guard process.terminationReason == .uncaughtSignal else { break }
            kills += 1
            for name in ["out.jsonl", "out.errors.jsonl"] where run.folder.has(name) { _ = try run.lines(name) }
        }
        #expect(kills >= 10, "the batch was done too soon to tell")
        let process = try start(run, stepUs: 0)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 1)
        let (good, bad) = (try run.customIDs(), try run.customIDs("out.errors.jsonl"))
        #expect(good.count == count - count / 10)
        #expect(bad.count == count / 10)
        #expect(Set(good + bad) == Set((1...count).map { "r\($0)" }))
    }

    /// What a limit on file sizes does to a write is what a full disk does: a part of it is taken.
    @Test func aFullDiskLeavesWholeLinesAndALaterRunGoesOn() throws {
        let run = try TestRun((1...400).map { "{\"prompt\":\"prompt \($0)\"}\n" }.joined())
        var process = try start(run, stepUs: 0)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let whole = try run.folder.bytes("out.jsonl")
        #expect(whole.count > 80_000)
        try run.folder.remove("out.jsonl")

        // Room for the store's own files (32 KiB of shared memory), not for the output: 96 blocks of 512 bytes.
        process = try start(run, stepUs: 0, setup: "trap '' XFSZ; ulimit -f 96")
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 3)
        let part = try run.folder.bytes("out.jsonl")
        #expect(part.count > 48_000)
        #expect(part.last == UInt8(ascii: "\n"))
        #expect(whole.starts(with: part))

        process = try start(run, stepUs: 0)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(try run.folder.bytes("out.jsonl") == whole)
    }
}
