/// Why a tokenizer could not be made, with the key, field or file at fault.
package enum TokenizerError: Error, Equatable, CustomStringConvertible {
    /// A key or field that must be there is not.
    case missing(_ place: String)
    /// A key or field holds something that cannot be.
    case invalid(_ place: String, _ reason: String)
    /// Well-formed, but nothing here can do it.
    case unsupported(_ place: String, _ reason: String)
    /// A file that cannot be read or parsed.
    case unreadable(_ path: String, _ reason: String)

    package var description: String {
        switch self {
        case .missing(let place): "tokenizer: \(place) is missing"
        case .invalid(let place, let reason): "tokenizer: \(place) is invalid: \(reason)"
        case .unsupported(let place, let reason): "tokenizer: \(place) is not supported: \(reason)"
        case .unreadable(let path, let reason): "tokenizer: cannot read \(path): \(reason)"
        }
    }
}
