/// What a device could not do; misuse traps instead.
package enum DeviceError: Error, Equatable, CustomStringConvertible {
    /// Memory for `what` could not be had.
    case outOfMemory(what: String, bytes: Int)
    /// The device has less memory than `what` needs.
    case outOfDeviceMemory(what: String, bytes: Int, available: Int, total: Int)
    /// The device failed, and nothing more can run on it in this process: an illegal address, an uncorrectable memory
    /// error, a lost device.
    case lost(what: String, error: String)
    /// A tensor does not fit the matrix it is a part of.
    case badTensor(name: String, reason: String)
    /// The model needs something these kernels do not have.
    case unsupported(String)
    /// An environment variable or argument asks for something this machine does not have.
    case badSetting(String)

    package var description: String {
        switch self {
        case .outOfMemory(let what, let bytes): "no memory for \(what): \(bytes) bytes"
        case .outOfDeviceMemory(let what, let bytes, let available, let total):
            "the GPU has no memory for \(what): \(bytes >> 20) MiB wanted, \(available >> 20) of "
                + "\(total >> 20) MiB free; use a smaller --kv-cache or --max-num-batched-tokens, or a smaller model"
        case .lost(let what, let error): "the GPU failed while \(what): \(error)"
        case .badTensor(let name, let reason): "tensor \(name): \(reason)"
        case .unsupported(let what): "not supported: \(what)"
        case .badSetting(let what): what
        }
    }
}
