import Kernels

/// How much key/value cache a model gets.
package enum CacheBudget: Sendable, Equatable {
    case bytes(Int)
    case blocks(Int)
    /// This part of what the device has left once weights and the buffers of a full step are there. Only for devices
    /// with memory of their own.
    case available(share: Double)
}

/// A model on a device, ready to run, and what came with it. Belongs to the engine's thread.
package struct LoadedModel {
    package let runner: any ModelRunner
    package let configuration: DecoderConfiguration
    package let tokenizer: TokenizerSource
    package let fingerprint: String
    /// What one block of the cache takes.
    package let blockBytes: Int
    /// What people should know of how it was loaded: a line each.
    package let remarks: [String]

    package var shape: ModelShape { runner.shape }
}

package enum ModelLoader {
    /// Puts a checkpoint on a device.
    /// - Parameters:
    ///   - budget: of the key/value cache.
    ///   - maxRows: most tokens in one step.
    ///   - maxLogitRows: most rows of logits at a time; 64 rows of a vocabulary of 262144 take 64 MiB.
    ///   - contextLimit: caps sequences below what the model was made for.
    ///   - meter: is told how far loading is.
    package static func load<D: Device>(
        _ checkpoint: Checkpoint, on device: D, budget: CacheBudget, maxRows: Int = 512,
        maxLogitRows: Int = 64, contextLimit: Int? = nil, blockSize: Int = 16, meter: LoadMeter = LoadMeter()
    ) throws(ModelError) -> LoadedModel {
        precondition(maxRows > 0 && maxLogitRows > 0 && blockSize > 0)
        let configuration = checkpoint.configuration
        let blockBytes = device.cacheBlockBytes(
            configuration.cacheShape(blockCount: 1, blockSize: blockSize))
        let context = min(configuration.contextLength, contextLimit ?? .max)
        let blockCount =
            switch budget {
            case .blocks(let count): count
            case .bytes(let bytes): bytes / max(blockBytes, 1)
            // To begin with; see below.
            case .available: (min(context, maxRows) + blockSize - 1) / blockSize
            }
        guard blockCount > 0 else {
            throw .device(
                reason: "the key/value cache budget is too small: one block of \(blockSize) tokens takes "
                    + "\(blockBytes) bytes")
        }
        let measures = if case .available = budget { true } else { false }
        let shape = ModelShape(
            vocabulary: configuration.vocabulary,
            contextLength: measures ? context : min(context, Self.positions(blockCount, blockSize)),
            blockSize: blockSize, blockCount: blockCount, maxRows: maxRows,
            maxLogitRows: min(maxLogitRows, maxRows))
        do {
            let runner = try DecoderRunner(
                checkpoint.sources, configuration: configuration, shape: shape, device: device,
                meter: meter)
            if case .available(let share) = budget { try runner.growCache(toShare: share) }
            return LoadedModel(
                runner: runner, configuration: configuration, tokenizer: checkpoint.tokenizer,
                fingerprint: checkpoint.fingerprint, blockBytes: blockBytes, remarks: device.remarks)
        } catch { throw .device(reason: "cannot load onto \(device.description): \(error)") }
    }

    private static func positions(_ blockCount: Int, _ blockSize: Int) -> Int {
        let (product, overflow) = blockCount.multipliedReportingOverflow(by: blockSize)
        return overflow ? .max : product
    }

    /// Opens a checkpoint and puts it on a device: see `Checkpoint.init` for paths.
    package static func load<D: Device>(
        path: String, on device: D, budget: CacheBudget, maxRows: Int = 512, maxLogitRows: Int = 64,
        contextLimit: Int? = nil
    ) throws(ModelError) -> LoadedModel {
        try load(
            Checkpoint(path: path), on: device, budget: budget, maxRows: maxRows,
            maxLogitRows: maxLogitRows,
            contextLimit: contextLimit)
    }
}
