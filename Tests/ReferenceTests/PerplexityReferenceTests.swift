import Foundation
import JSON
import Kernels
import Models
import Testing

/// Losses of a whole text on real checkpoints: `real/MODEL.VARIANT.perplexity….json`.
@Suite(.serialized) struct PerplexityReferenceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let file: URL
        let computeType: ComputeType
        var testDescription: String { "\(file.lastPathComponent) \(computeType.rawValue)" }
    }

    static let cases: [Case] = ReferenceFolder.entries("real").filter {
        $0.pathExtension == "json" && $0.lastPathComponent.contains(".perplexity")
    }.flatMap { file in RealModel.computeTypes.map { Case(file: file, computeType: $0) } }

    @Test(arguments: cases)
    func perplexityAgrees(_ test: Case) throws {
        let reference = try ReferenceFolder.json(test.file)
        let ids = try #require(reference["ids"]?.ids)
        guard let model = try RealModel.load(reference, test.computeType, context: ids.count) else {
            return
        }
        let exact = test.computeType == .float32
        let full = try #require(reference["full_context"])
        let losses = try Perplexity.losses(ids, with: model.runner)
        let name = try #require(full["nll_file"]?.string)
        let expected = try ReferenceFolder.floats(
            test.file.deletingLastPathComponent().appending(path: name))
        try #require(losses.count == expected.count)
        let worst = zip(losses, expected).map { abs($0 - $1) }.max() ?? 0
        let mean = losses.reduce(0.0) { $0 + Double($1) } / Double(losses.count)
        try check(
            test, "full context", mean, full, "largest |difference of a token's loss| \(worst)")
        if exact { #expect(worst <= 1e-3) }

        let bos = beginning(ids, model)
        for (form, start) in [("windows_512", bos), ("windows_512_no_bos", nil)] {
            guard let window = reference[form], let width = window["window_tokens"]?.int else {
                continue
            }
            let text = bos == nil ? ids : Array(ids.dropFirst())
            let score = try Perplexity.windows(text, width: width, bos: start, with: model.runner)
            #expect(score.scoredTokens == window["scored_tokens"]?.int)
            try check(test, form, score.meanLoss, window, "")
        }
    }

    private func check(
        _ test: Case, _ form: String, _ mean: Double, _ reference: JSON, _ note: String
    )
        throws
    {
        let perplexity = exp(mean)
        let wanted = try #require(reference["perplexity"]?.double)
        let off = perplexity / wanted - 1
        print(
            "perplexity \(test.testDescription) \(form): \(perplexity), off by \(off * 100) %; \(note)"
        )
        #expect(abs(off) <= (test.computeType == .float32 ? 5e-6 : 5e-3))
    }

    /// The token that the ids begin with and windows need again; nil for models without one.
    private func beginning(_ ids: [Int32], _ model: LoadedModel) -> Int32? {
        let bos: Int? =
            switch model.tokenizer {
            case .gguf(let metadata): metadata.int("tokenizer.ggml.bos_token_id")
            case .huggingFace(let documents): documents.config["bos_token_id"]?.int
            }
        return ids.first.map(Int.init) == bos ? ids.first : nil
    }
}
