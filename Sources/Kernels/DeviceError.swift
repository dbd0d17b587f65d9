/// What a device could not do; misuse traps instead.
package enum DeviceError: Error, Equatable, CustomStringConvertible {
    /// Memory for `what` could not be had.
    case outOfMemory(what: String, bytes: Int)
    /// A tensor does not fit the matrix it is a part of.
    case badTensor(name: String, reason: String)
    /// The model needs something these kernels do not have.
    case unsupported(String)
    /// An environment variable or argument asks for something this machine does not have.
    case badSetting(String)

    package var description: String {
        switch self {
        case .outOfMemory(let what, let bytes): "no memory for \(what): \(bytes) bytes"
        case .badTensor(let name, let reason): "tensor \(name): \(reason)"
        case .unsupported(let what): "not supported: \(what)"
        case .badSetting(let what): what
        }
    }
}
