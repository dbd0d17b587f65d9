/// Why a run ended without its batch being finished. Nothing of what was done before is lost.
package enum RunError: Error, Equatable, CustomStringConvertible {
    /// The input cannot be read as a whole.
    case input(String)
    /// The state is of a run with other inputs; what differs.
    case changed(state: String, differences: [String])
    /// The output is there and not ours to overwrite.
    case foreignOutput(String)
    /// The output cannot be written.
    case output(String)
    /// The store cannot be used.
    case queue(String)
    /// Another process has this run.
    case busy(String)
    /// The worker failed: no model, a broken device.
    case worker(String)

    package var description: String {
        switch self {
        case .input(let what), .foreignOutput(let what), .output(let what), .queue(let what), .busy(let what),
            .worker(let what):
            what
        case .changed(let state, let differences):
            """
            \(state) holds a run that differs from this one:
            \(differences.map { "  - " + $0 }.joined(separator: "\n"))
            Repeat that run as it was, choose another output, or start over with --restart (its results go)
            """
        }
    }
}
