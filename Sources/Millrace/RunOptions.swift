import ArgumentParser
import JSON
import Submitter
import Worker

/// Parameters that are filled into requests which do not say, under OpenAI's and vLLM's names.
struct DefaultOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Most tokens to generate.", valueName: "n")) var maxTokens: Int?
    @Option(help: ArgumentHelp("0 takes the most likely token.", valueName: "t")) var temperature: Double?
    @Option(help: ArgumentHelp("Nucleus of this probability.", valueName: "p")) var topP: Double?
    @Option(help: ArgumentHelp("The k most likely tokens.", valueName: "k")) var topK: Int?
    @Option(help: ArgumentHelp("Least probability relative to the best.", valueName: "p")) var minP: Double?
    @Option(help: ArgumentHelp("Seed (default: derived from the custom_id).", valueName: "n")) var seed: Int?
    @Option(help: ArgumentHelp("Stop at this text; may be repeated.", valueName: "text")) var stop: [String] = []

    func validate() throws {
        if let maxTokens, maxTokens < 1 { throw ValidationError("--max-tokens \(maxTokens) is below 1") }
        if let temperature, !(0...2).contains(temperature) {
            throw ValidationError("--temperature \(temperature) is not from 0 to 2")
        }
        if let topP, !(topP > 0 && topP <= 1) { throw ValidationError("--top-p \(topP) is not above 0 and up to 1") }
        if let topK, topK < -1 { throw ValidationError("--top-k \(topK) is below -1") }
        if let minP, !(0...1).contains(minP) { throw ValidationError("--min-p \(minP) is not from 0 to 1") }
        if stop.contains("") { throw ValidationError("--stop '' would stop at once") }
    }

    var parameters: RequestDefaults {
        RequestDefaults()
            .with("max_tokens", maxTokens.map { .int(Int64($0)) })
            .with("temperature", temperature.map(JSON.double))
            .with("top_p", topP.map(JSON.double))
            .with("top_k", topK.map { .int(Int64($0)) })
            .with("min_p", minP.map(JSON.double))
            .with("seed", seed.map { .int(Int64($0)) })
            .with("stop", stop.isEmpty ? nil : .array(stop.map(JSON.string)))
    }
}

/// How requests are packed into steps; no result depends on it.
struct BatchingOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Sequences that run at once (default: 256; 512 on a GPU).", valueName: "n"))
    var maxNumSeqs: Int?

    @Option(help: ArgumentHelp("Tokens in one step (default: 512; 4096 on a GPU).", valueName: "n"))
    var maxNumBatchedTokens: Int?

    func validate() throws {
        if let maxNumSeqs, !(1...65_536).contains(maxNumSeqs) {
            throw ValidationError("--max-num-seqs \(maxNumSeqs) is not from 1 to 65536")
        }
        if let maxNumBatchedTokens, !(1...65_536).contains(maxNumBatchedTokens) {
            throw ValidationError("--max-num-batched-tokens \(maxNumBatchedTokens) is not from 1 to 65536")
        }
    }

    func applied(to settings: LocalModel.Settings) -> LocalModel.Settings {
        var settings = settings
        settings.maxSequences = maxNumSeqs
        settings.maxBatchedTokens = maxNumBatchedTokens
        return settings
    }
}
