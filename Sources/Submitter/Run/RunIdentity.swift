import JSON
import JobQueue

/// The model that a run computes with, and what else of the computation decides its results.
package struct ModelIdentity: Sendable, Equatable {
    /// What responses call it, and what requests that name no model are for.
    package var name: String
    /// Equal for equal weights and tokenizers, wherever they lie.
    package var fingerprint: String
    /// Options that change results, by their flags' names: `dtype` and the like.
    package var settings: [String: String]

    package init(name: String, fingerprint: String, settings: [String: String] = [:]) {
        self.name = name
        self.fingerprint = fingerprint
        self.settings = settings
    }
}

/// Everything that decides a run's results. It is stored with the batch, so that a run is only ever resumed
/// as what it was.
struct RunIdentity {
    /// As the batch's metadata has it.
    let entries: [String: String]

    static let inputName = "input.name"
    private static let modelName = "model.name"
    /// Told to people, but free to change between runs.
    private static let uncompared: Set = [inputName, modelName, "input.bytes", "input.lines"]

    init(input: BatchInput, defaults: RequestDefaults, model: ModelIdentity) {
        var entries = [
            Self.inputName: input.name,
            "input.hash": input.fingerprint.hex,
            "input.bytes": String(input.fingerprint.bytes),
            "input.lines": String(input.fingerprint.lines),
            "input.format": input.format.rawValue,
            Self.modelName: model.name,
            "model.fingerprint": model.fingerprint,
        ]
        for (name, value) in model.settings { entries["setting.\(name)"] = value }
        for (name, value) in defaults.parameters.members { entries["default.\(name)"] = value.text }
        self.entries = entries
    }

    init(of batch: BatchStatus) { entries = batch.specification.metadata }

    var displayedInput: String { entries[Self.inputName] ?? "input" }

    /// Opening the same run twice gives one batch. The names count here: requests and refusals carry them.
    var idempotencyKey: String { Self.idempotencyKey("run", entries) }

    /// - Parameter kind: tells keys of one use from those of another.
    static func idempotencyKey(_ kind: String, _ entries: [String: String]) -> String {
        var hasher = XXH64()
        for (name, value) in entries.sorted(by: { $0.key < $1.key }) {
            hasher.update(Array("\(name.utf8.count):\(name)\(value.utf8.count):\(value)".utf8))
        }
        return "\(kind)-" + String(hasher.digest, radix: 16)
    }

    /// What this run has otherwise than `stored`, in words; empty when it may go on with that one's results.
    func differences(from stored: RunIdentity) -> [String] {
        let names = Set(entries.keys).union(stored.entries.keys).subtracting(Self.uncompared)
        return names.sorted().compactMap { name in
            let (new, old) = (entries[name], stored.entries[name])
            return new == old ? nil : describe(name, was: old, is: new, stored)
        }
    }

    private func describe(
        _ name: String, was old: String?, is new: String?, _ stored: RunIdentity
    ) -> String {
        switch name {
        case "input.hash":
            return "the input has other contents: \(size), was \(stored.size)"
        case "input.format":
            return "the input's format: \(new ?? "?"), was \(old ?? "?")"
        case "model.fingerprint":
            let (name, before) = (entries[Self.modelName] ?? "?", stored.entries[Self.modelName] ?? "?")
            guard name == before else { return "the model: \(name), was \(before)" }
            return "the model \(name) has other contents"
        default:
            let flag = "--" + name.drop { $0 != "." }.dropFirst().replacing("_", with: "-")
            return "\(flag): \(new ?? "not given"), was \(old ?? "not given")"
        }
    }

    private var size: String {
        "\(entries["input.lines"] ?? "?") lines, \(entries["input.bytes"] ?? "?") bytes"
    }
}
