/// Why a checkpoint cannot be loaded: names the file and the field, says what is wrong and, where
/// possible, what to do.
package enum ModelError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The path holds no checkpoint, or not one; says what was looked for and what is there.
    case notFound(path: String, reason: String)
    /// The operating system refused to open, size or map the file.
    case unreadable(file: String, reason: String)
    /// The file breaks its own format, or contradicts itself.
    case malformed(file: String, field: String, reason: String)
    /// The file is well formed but asks for something that is not implemented.
    case unsupported(file: String, field: String, reason: String)
    /// The model does not fit what it was asked to run in, or the device failed.
    case device(reason: String)

    package var description: String {
        switch self {
        case .notFound(let path, let reason): "\(path): \(reason)"
        case .unreadable(let file, let reason): "\(file): \(reason)"
        case .malformed(let file, let field, let reason): "\(file): \(field): \(reason)"
        case .unsupported(let file, let field, let reason): "\(file): \(field): \(reason)"
        case .device(let reason): reason
        }
    }
}
