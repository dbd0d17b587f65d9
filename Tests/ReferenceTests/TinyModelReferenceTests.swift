import Foundation
import JSON
import Kernels
import Models
import Testing

/// Tiny checkpoints of every architecture against transformers: `tiny/NAME` in both dialects of
/// config.json, and `tiny_gguf/NAME.f32.gguf`.
@Suite struct TinyModelReferenceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        enum Form: String, Sendable { case config, alternative, gguf }

        let folder: URL
        let form: Form
        let gguf: URL?
        var testDescription: String { "\(folder.lastPathComponent) \(form.rawValue)" }

        /// Opens the checkpoint; nil, with a line that says why, where its architecture is not supported.
        func open() throws -> Checkpoint? {
            do {
                guard form == .alternative else {
                    return try Checkpoint(path: gguf?.path ?? folder.path)
                }
                let scratch = FileManager.default.temporaryDirectory
                    .appending(path: "millrace-\(UUID().uuidString)")
                defer { try? FileManager.default.removeItem(at: scratch) }
                try FileManager.default.createDirectory(
                    at: scratch, withIntermediateDirectories: true)
                for name in try FileManager.default.contentsOfDirectory(atPath: folder.path)
                where name != "config.json" && name != "config.alt.json" {
                    try FileManager.default.createSymbolicLink(
                        at: scratch.appending(path: name),
                        withDestinationURL: folder.appending(path: name))
                }
                try FileManager.default.copyItem(
                    at: folder.appending(path: "config.alt.json"),
                    to: scratch.appending(path: "config.json"))
                return try Checkpoint(path: scratch.path)
            } catch ModelError.unsupported(let file, let field, let reason)
                where field == "model_type" || field == "general.architecture"
            {
                print("tiny \(testDescription): skipped: \(file): \(field): \(reason)")
                return nil
            }
        }

        func reference() throws -> JSON {
            try ReferenceFolder.json(folder.appending(path: "reference.json"))
        }
    }

    static let cases: [Case] = ReferenceFolder.entries("tiny").filter {
        ReferenceFolder.exists($0.appending(path: "reference.json"))
    }.flatMap { folder in
        var cases = [Case(folder: folder, form: .config, gguf: nil)]
        if ReferenceFolder.exists(folder.appending(path: "config.alt.json")) {
            cases.append(Case(folder: folder, form: .alternative, gguf: nil))
        }
        let name = folder.lastPathComponent + ".f32.gguf"
        if let gguf = ReferenceFolder.entries("tiny_gguf").first(where: {
            $0.lastPathComponent == name
        }) {
            cases.append(Case(folder: folder, form: .gguf, gguf: gguf))
        }
        return cases
    }

    /// Between float32 engines; the reference's own noise is up to 1.2e-4.
    static let tolerance: Float = 5e-4

    static func load(_ checkpoint: Checkpoint, computeType: ComputeType = .float32) throws
        -> any ModelRunner
    {
        try ModelLoader.load(
            checkpoint, on: CPUDevice(computeType: computeType), budget: .blocks(64), maxRows: 128,
            maxLogitRows: 32
        ).runner
    }

    @Test(arguments: cases)
    func logitsAgree(_ test: Case) throws {
        guard let runner = try test.open().map({ try Self.load($0) }) else { return }
        let reference = try test.reference()
        var worst: Float = 0
        for (number, prompt) in (reference["prompts"]?.array ?? []).enumerated() {
            let ids = prompt["ids"]?.ids ?? []
            let rows = try SequenceDriver.allLogits(ids, runner, chunk: ids.count)
            worst = max(
                worst, Self.difference(rows.last ?? [], prompt["last_logits"]?.floats ?? [.nan]))
            guard let all = reference["all_positions"], all["prompt"]?.int == number,
                let name = all["file"]?.string,
                ReferenceFolder.exists(test.folder.appending(path: name))
            else { continue }
            let expected = try ReferenceFolder.floats(test.folder.appending(path: name))
            worst = max(worst, Self.difference(rows.flatMap { $0 }, expected))
        }
        print("tiny \(test.testDescription): largest |difference of logits| \(worst)")
        #expect(worst <= Self.tolerance)
    }

    /// All prompts together, each chunked its own way, so that prefill and decode share steps.
    @Test(arguments: cases)
    func greedyContinuationsAgree(_ test: Case) throws {
        guard let runner = try test.open().map({ try Self.load($0) }) else { return }
        let prompts = try test.reference()["prompts"]?.array ?? []
        try #require(!prompts.isEmpty)
        let expected = prompts.map { $0["greedy_ids"]?.ids ?? [] }
        let count = expected.map(\.count).max() ?? 0
        var driver = SequenceDriver(
            runner, prompts: prompts.map { $0["ids"]?.ids ?? [] }, room: count)
        let result = try driver.greedy(count) { sequence, step in
            [5, 1, 23][sequence % 3] + step % 3
        }
        for (ids, wanted) in zip(result.ids, expected) {
            #expect(Array(ids.prefix(wanted.count)) == wanted)
        }
    }

    /// The same bits whether a prompt runs alone and whole, in chunks of any size, or among others.
    @Test(arguments: cases.filter { $0.form == .config }, ComputeType.allCases)
    func companyAndChunkingChangeNothing(_ test: Case, _ computeType: ComputeType) throws {
        guard let runner = try test.open().map({ try Self.load($0, computeType: computeType) })
        else { return }
        let prompts = try (test.reference()["prompts"]?.array ?? []).map { $0["ids"]?.ids ?? [] }
        let alone = try prompts.map { try SequenceDriver.allLogits($0, runner, chunk: $0.count) }
        for (prompt, whole) in zip(prompts, alone) {
            for chunk in [1, 7, 16] {
                #expect(try SequenceDriver.allLogits(prompt, runner, chunk: chunk) == whole)
            }
        }
        let room = 8
        let separate = try prompts.map { prompt in
            var driver = SequenceDriver(runner, prompts: [prompt], room: room)
            return try driver.greedy(room) { _, _ in prompt.count }.ids[0]
        }
        for base in [1, 4, 30] {
            var driver = SequenceDriver(runner, prompts: prompts, room: room)
            let together = try driver.greedy(room) { sequence, step in
                base + sequence * 3 + step % 2
            }
            #expect(together.ids == separate)
            #expect(together.promptLogits == alone.map { $0.last ?? [] })
        }
    }

    static func difference(_ a: [Float], _ b: [Float]) -> Float {
        guard a.count == b.count, !a.isEmpty else { return .infinity }
        // NaN must not pass for small.
        return zip(a, b).reduce(0) { worst, pair in
            let distance = abs(pair.0 - pair.1)
            return distance <= worst ? worst : distance.isNaN ? .infinity : distance
        }
    }
}
