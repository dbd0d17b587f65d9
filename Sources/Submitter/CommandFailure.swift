/// Why a command on a queue could not do what it was asked to.
package enum CommandFailure: Error, Equatable, CustomStringConvertible {
    /// What was asked for is wrong.
    case input(String)
    /// A store, a device or a file cannot be used.
    case store(String)

    package var isOfInput: Bool { if case .input = self { true } else { false } }

    package var description: String {
        switch self {
        case .input(let what), .store(let what): what
        }
    }
}
