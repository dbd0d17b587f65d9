import JSON

/// Parameters for requests that do not say otherwise themselves, by the names that OpenAI's and vLLM's bodies use.
package struct RequestDefaults: Sendable, Equatable {
    package private(set) var parameters: JSONObject

    /// - Parameter parameters: members of a request body, such as `max_tokens` and `temperature`.
    package init(_ parameters: JSONObject = JSONObject()) { self.parameters = parameters }

    /// The same with one more parameter; nil changes nothing.
    package func with(_ name: String, _ value: JSON?) -> RequestDefaults {
        guard let value else { return self }
        var copy = self
        copy.parameters[name] = value
        return copy
    }

    /// Two names of one thing: a body that says either is not silent.
    private static let aliases = ["max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"]

    /// Adds each parameter that `body` is silent on. `null` is silence, as in OpenAI's API.
    package func fill(_ body: inout JSONObject) {
        for (name, value) in parameters.members where Self.isSilent(body, name) {
            if let alias = Self.aliases[name], !Self.isSilent(body, alias) { continue }
            body[name] = value
        }
    }

    private static func isSilent(_ body: JSONObject, _ name: String) -> Bool { body[name]?.isNull ?? true }
}
