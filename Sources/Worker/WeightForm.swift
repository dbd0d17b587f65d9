import Foundation
import Kernels
import Models

/// How a model keeps its weights.
package enum WeightForm: String, Sendable, CaseIterable {
    /// What suits the job and the machine: see `resolved`.
    case auto
    /// As products take them.
    case widened
    /// Those of blocks as small whole numbers, as the checkpoint has them; products see the same weights.
    case stored
    /// CPU: rounded to int8, and products' inputs, too.
    case int8

    /// Sequences up to which reading fewer bytes gains more than widening them in every step costs: on AVX-512 with
    /// BF16 one sequence gains half, 8 a tenth, and 16 lose one.
    private static let fewSequences = 8

    /// What `auto` depends on.
    package struct Circumstances {
        /// Numbers the model has learned; some of them, with `hasBlocks`, stored as small whole numbers.
        package var parameters: Int
        package var hasBlocks: Bool
        /// What runs at once at most.
        package var sequences: Int
        package var computeType: ComputeType
        package var cacheBytes: Int
        /// What the host could give; nil: not known.
        package var availableBytes: Int?
    }

    /// What `auto` stands for on a CPU; anything else stands for itself.
    /// - Returns: with what people should know, where memory decided.
    package func resolved(_ now: Circumstances) -> (form: WeightForm, remark: String?) {
        guard self == .auto else { return (self, nil) }
        guard now.hasBlocks else { return (.widened, nil) }
        // Float32 products widen a whole panel for a single row.
        if now.sequences <= Self.fewSequences, now.computeType == .bfloat16 { return (.stored, nil) }
        let widened = now.parameters * (now.computeType == .float32 ? 4 : 2)
        guard let available = now.availableBytes, widened + now.cacheBytes > available / 10 * 9 else {
            return (.widened, nil)
        }
        func gibibytes(_ bytes: Int) -> String { String(format: "%.1f GiB", Double(bytes) / Double(1 << 30)) }
        return (
            .stored,
            "weights stay small whole numbers: widened, they and the KV cache would take "
                + "\(gibibytes(widened + now.cacheBytes)) of the \(gibibytes(available)) that are free "
                + "(--weights widened does it all the same)"
        )
    }
}

extension LocalModel.Settings {
    /// Of the KV cache, where nothing was asked for.
    static let cpuCacheBytes = 1 << 30

    /// With a form of weights in place of `auto`.
    /// - Parameter sequences: that run at once at most. (A request of several choices counts as one: what is chosen
    ///   changes speed alone.)
    package func resolved(
        for checkpoint: Checkpoint, sequences: Int
    ) throws -> (settings: LocalModel.Settings, remark: String?) {
        var settings = self
        guard weights == .auto, device == .cpu else {
            if weights == .auto { settings.weights = .widened }
            return (settings, nil)
        }
        let type = try computeType ?? CPUDevice.fasterComputeType(on: CPUFeatures.chosen())
        let (form, remark) = weights.resolved(
            WeightForm.Circumstances(
                parameters: checkpoint.parameters, hasBlocks: checkpoint.hasBlocks, sequences: sequences,
                computeType: type, cacheBytes: cacheBytes ?? Self.cpuCacheBytes,
                availableBytes: HostMemory.available))
        settings.weights = form
        return (settings, remark)
    }
}
