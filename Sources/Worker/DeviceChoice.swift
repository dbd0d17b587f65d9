import Kernels

/// Which of this machine's devices a model is put on. What can be chosen is decided here and nowhere else.
package enum DeviceChoice: Sendable, Equatable {
    case cpu

    /// `cpu`; nil for what this program has no device for.
    package init?(_ name: String) {
        guard name == "cpu" else { return nil }
        self = .cpu
    }

    /// As outcomes and reports name it.
    package var name: String { "cpu" }

    /// Names to choose from, for messages.
    package static let known = "cpu"

    /// Takes hold of the device; called on the engine's thread.
    func open(_ settings: LocalModel.Settings) throws -> any Device {
        switch self {
        case .cpu: try CPUDevice(computeType: settings.computeType, threads: settings.threads)
        }
    }
}
