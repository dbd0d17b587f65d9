import Foundation
import JSON
import Kernels
import Models
import Testing

/// Tiny GPTQ and AWQ checkpoints against transformers on the weights that they were made of: `groups/NAME`.
@Suite struct GroupedReferenceTests {
    static let folders = ReferenceFolder.entries("groups").filter {
        ReferenceFolder.exists($0.appending(path: "reference.json"))
    }

    @Test func modelsAreThere() { #expect(Self.folders.count >= 6) }

    @Test(arguments: folders)
    func logitsAndGreedyContinuationsAgree(_ folder: URL) throws {
        let runner = try TinyModelReferenceTests.load(Checkpoint(path: folder.path))
        let prompts = try ReferenceFolder.json(folder.appending(path: "reference.json"))["prompts"]?.array ?? []
        try #require(prompts.count == 2)
        let expected = prompts.map { $0["greedy_ids"]?.ids ?? [] }
        var driver = SequenceDriver(runner, prompts: prompts.map { $0["ids"]?.ids ?? [] }, room: 12)
        let found = try driver.greedy(12) { sequence, step in [4, 7][sequence] + step % 2 }
        #expect(found.ids == expected)
        for (logits, prompt) in zip(found.promptLogits, prompts) {
            let worst = TinyModelReferenceTests.difference(logits, prompt["last_logits"]?.floats ?? [.nan])
            #expect(worst <= TinyModelReferenceTests.tolerance, "\(folder.lastPathComponent): \(worst)")
        }
    }
}
