import Kernels
import Models

/// Which of this machine's devices a model is put on. What can be chosen is decided here and nowhere else.
package enum DeviceChoice: Sendable, Equatable {
    case cpu
    /// An NVIDIA GPU, by the driver's count.
    case cuda(Int)

    /// `cpu`, `cuda` (the first GPU) or `cuda:1`; nil for what this program has no device for.
    package init?(_ name: String) {
        switch name {
        case "cpu": self = .cpu
        case "cuda": self = .cuda(0)
        default:
            guard name.hasPrefix("cuda:"), let ordinal = Int(name.dropFirst("cuda:".count)), ordinal >= 0,
                ordinal < 1024
            else { return nil }
            self = .cuda(ordinal)
        }
    }

    /// As outcomes and reports name it.
    package var name: String {
        switch self {
        case .cpu: "cpu"
        case .cuda(let ordinal): "cuda:\(ordinal)"
        }
    }

    /// Names to choose from, for messages.
    package static let known = "cpu, cuda:0, cuda:1 …"

    /// What suits a device where nothing was asked for.
    package struct Defaults: Sendable {
        package var maxSequences: Int
        package var maxBatchedTokens: Int
        package var cache: CacheBudget
    }

    package var defaults: Defaults {
        switch self {
        case .cpu:
            Defaults(
                maxSequences: 256, maxBatchedTokens: 512, cache: .bytes(LocalModel.Settings.cpuCacheBytes))
        case .cuda:
            Defaults(maxSequences: 512, maxBatchedTokens: 4096, cache: .available(share: 0.95))
        }
    }

    /// Rows of logits at a time. Each time all of the head's weights are read; on the CPU logits lie in memory: 64 MiB.
    package func maxLogitRows(vocabulary: Int) -> Int {
        switch self {
        case .cpu: max(16, min(512, (64 << 20) / (4 * vocabulary)))
        case .cuda: 512
        }
    }

    /// Takes hold of the device; called on the engine's thread. Weights that are still `auto` are widened:
    /// `Settings.resolved` decides before.
    package func open(_ settings: LocalModel.Settings) throws -> any Device {
        switch self {
        case .cpu:
            guard settings.cacheType != .fp8 else {
                throw DeviceError.unsupported("--kv-cache-dtype fp8 on the CPU: it has int8 for that")
            }
            return try CPUDevice(
                computeType: settings.computeType, threads: settings.threads,
                quantizesWeights: settings.weights == .int8,
                keepsQuantised: settings.weights == .stored, cacheType: settings.cacheType)
        case .cuda(let ordinal):
            let isFloat32 = settings.computeType == .float32
            guard settings.cacheType != .int8 else {
                throw DeviceError.unsupported("--kv-cache-dtype int8 on \(name): it has fp8 for that")
            }
            guard !isFloat32 || settings.weights != .stored && settings.cacheType ?? .float32 == .float32 else {
                throw DeviceError.unsupported(
                    "--dtype float32 on \(name) with --weights stored or a narrower --kv-cache-dtype")
            }
            guard isFloat32 || settings.cacheType != .float32 else {
                throw DeviceError.unsupported("--kv-cache-dtype float32 on \(name) without --dtype float32")
            }
            guard settings.weights != .int8 else {
                throw DeviceError.unsupported("--weights int8 on \(name): only CPUs have it; leave --weights out")
            }
            return CUDADevice(
                try CUDADriver(ordinal: ordinal), computeType: isFloat32 ? .float32 : .bfloat16,
                keepsQuantised: settings.weights == .stored, cacheType: isFloat32 ? nil : settings.cacheType)
        }
    }
}
