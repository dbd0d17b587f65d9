import ArgumentParser
import Foundation
import JSON
import Kernels
import Models
import Worker

/// `millrace perplexity MODEL FILE`
struct PerplexityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity", abstract: "Measure how well a model predicts a text.",
        discussion: """
            Prints the mean negative log-likelihood of a token (nats) and its exponential. Without --window the whole \
            text is one sequence, with the tokenizer's BOS where it adds one, and every token but the first is scored. \
            With --window N it is cut into consecutive windows of N tokens (BOS included), each by itself; the first \
            token of a window is not scored, and the short remainder is dropped.
            """)

    @Argument(help: "A GGUF file, a Hugging Face folder, or the name of a fetched model.") var model: String
    @Argument(help: "A text in UTF-8.") var file: String
    @Option(help: ArgumentHelp("Score windows of this many tokens.", valueName: "tokens")) var window: Int?
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var options: ModelOptions

    func validate() throws {
        if let window, window < 2 { throw ValidationError("--window \(window) is below 2 tokens") }
    }

    func run() throws {
        let checkpoint = try Checkpoint(path: ModelOptions.resolve(model))
        let tokenizer = try TokenizerLoader.make(checkpoint.tokenizer)
        let text = try CommandInput.text(CommandInput.read(file), of: file)
        let ids = tokenizer.encode(text, parseSpecial: false, addSpecial: window == nil)
        guard ids.count > 1 else {
            throw ValidationError("\(file): a text of \(ids.count) tokens has nothing to score")
        }
        if let window, ids.count < window {
            throw ValidationError("\(file): \(ids.count) tokens are less than one window of \(window)")
        }

        let (settings, remark) = try options.settings.resolved(
            for: checkpoint, sequences: options.device.defaults.maxSequences)
        if let remark { ConsoleOutput.note(remark) }
        let device = try settings.device.open(settings)
        let length = window ?? ids.count
        let loaded = try ModelLoader.load(
            checkpoint, on: device, budget: .blocks((length + 15) / 16), contextLimit: options.maxModelLen)
        for remark in loaded.remarks { ConsoleOutput.note(remark) }
        let bos = tokenizer.special.addsBOS ? tokenizer.special.bos : nil
        let score =
            if let window { try Perplexity.windows(ids, width: window, bos: bos, with: loaded.runner) } else {
                try Perplexity.fullContext(ids, with: loaded.runner)
            }
        if json {
            let result: JSON = [
                "model": .string(checkpoint.name), "file": .string(file), "tokens": .int(Int64(ids.count)),
                "window": window.map { .int(Int64($0)) } ?? nil, "scored_tokens": .int(Int64(score.scoredTokens)),
                "mean_nll": .double(score.meanLoss), "perplexity": .double(score.perplexity),
                "device": .string(device.description),
            ]
            print(result.text)
        } else {
            print("\(checkpoint.name) on \(device.description)")
            print("\(ids.count) tokens, \(score.scoredTokens) scored" + (window.map { " in windows of \($0)" } ?? ""))
            print("mean NLL \(score.meanLoss.formatted(.number.precision(.fractionLength(6))))")
            print("perplexity \(score.perplexity.formatted(.number.precision(.fractionLength(4))))")
        }
    }
}
