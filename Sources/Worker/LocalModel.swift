import Foundation
import Kernels
import Models

/// A checkpoint with its tokenizer and chat template, ready to be put on one of this machine's devices.
package struct LocalModel: Sendable {
    package struct Settings: Sendable {
        package var device = DeviceChoice.cpu
        /// nil: float32 on a CPU without vector kernels, bfloat16 elsewhere.
        package var computeType: ComputeType?
        package var weights = WeightForm.auto
        /// Requests there will be; nil: many.
        package var requests: Int?
        /// What a GPU's KV cache holds; nil: bfloat16.
        package var cacheType: CacheType?
        /// nil: one for each CPU.
        package var threads: Int?
        /// Of the KV cache; nil: 1 GiB of the host's memory, or most of what a GPU has left.
        package var cacheBytes: Int?
        /// Sequences that run at once; nil: the device's `DeviceChoice.Defaults`.
        package var maxSequences: Int?
        /// Rows in one step; nil, likewise.
        package var maxBatchedTokens: Int?
        /// Caps sequences below what the model was made for.
        package var maxContext: Int?

        package init() {}
    }

    package let checkpoint: Checkpoint
    package let tokenizer: any Tokenizer
    package let chat: (any ChatRenderer)?
    /// What responses call it when the request did not.
    package let name: String

    /// - Throws: `ModelError`, `TokenizerError`, `ChatTemplateSourceError` or `TemplateError`, each saying what is
    ///   wrong.
    package init(path: String, name: String? = nil) throws {
        checkpoint = try Checkpoint(path: path)
        tokenizer = try TokenizerLoader.make(checkpoint.tokenizer)
        chat = try CheckpointChat(checkpoint.tokenizer, now: CalendarTime(Date()))
        self.name = name ?? checkpoint.name
    }

    /// Loads the weights and starts an engine on them.
    /// - Parameters:
    ///   - meter: is told how far loading is.
    ///   - onRemark: called with what people should know of how the model was loaded, on the engine's thread.
    /// - Returns: the engine, what requests need to know of the model, and the device's name for outcomes.
    package func start(
        _ settings: Settings, meter: LoadMeter = LoadMeter(),
        onRemark: @escaping @Sendable (String) -> Void = { _ in },
        onEvent: @escaping @Sendable (EngineEvent) -> Void
    ) async throws -> (engine: Engine, intake: Intake) {
        let engine = Engine()
        let checkpoint = checkpoint
        let defaults = settings.device.defaults
        let rows = settings.maxBatchedTokens ?? defaults.maxBatchedTokens
        let sequences = min(settings.maxSequences ?? defaults.maxSequences, rows)
        let (settings, remark) = try settings.resolved(
            for: checkpoint, sequences: min(sequences, settings.requests ?? sequences))
        if let remark { onRemark(remark) }
        let shape = try await engine.start(
            Engine.Settings(maxSequences: sequences),
            tokenizer: tokenizer,
            load: {
                let loaded = try ModelLoader.load(
                    checkpoint, on: try settings.device.open(settings),
                    budget: settings.cacheBytes.map(CacheBudget.bytes) ?? defaults.cache, maxRows: rows,
                    maxLogitRows: settings.device.maxLogitRows(vocabulary: checkpoint.configuration.vocabulary),
                    contextLimit: settings.maxContext, meter: meter)
                loaded.remarks.forEach(onRemark)
                return loaded.runner
            }, onEvent: onEvent)
        let served = ServedModel(
            name: name, tokenizer: tokenizer, chat: chat, contextLength: shape.contextLength,
            vocabulary: shape.vocabulary)
        return (engine, Intake(model: served))
    }
}
