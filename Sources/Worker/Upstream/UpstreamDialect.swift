// Sources: https://console.groq.com/docs/openai (what Groq refuses), https://console.groq.com/docs/api-reference,
// https://platform.openai.com/docs/api-reference/chat, https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html

import JSON
import JobQueue

/// How one kind of OpenAI-compatible server differs from the others.
package enum UpstreamDialect: String, Sendable, CaseIterable {
    case groq
    case openai
    /// vLLM, SGLang, llama.cpp and whatever else speaks as OpenAI does.
    case generic

    /// Where its API begins when nobody says otherwise; nil: must be said.
    package var defaultBaseURL: String? {
        switch self {
        case .groq: "https://api.groq.com/openai/v1"
        case .openai: "https://api.openai.com/v1"
        case .generic: nil
        }
    }

    /// Whether it has chat completions and no completions.
    package var isChatOnly: Bool {
        switch self {
        case .groq, .openai: true
        case .generic: false
        }
    }

    /// Values of `service_tier` that it knows; nil: whatever it is given is its own affair.
    var serviceTiers: [String]? {
        switch self {
        case .groq: ["auto", "on_demand", "flex", "performance"]
        case .openai, .generic: nil
        }
    }

    /// Refuses what the upstream would refuse, before anything is sent. Only what is documented is refused here:
    /// a field that nobody knows passes.
    /// - Throws: naming the field.
    func check(_ body: JSONObject) throws(OutcomeError) {
        guard self == .groq else { return }
        for name in ["logprobs", "top_logprobs", "logit_bias"] {
            guard let value = body[name], !value.isNull, value != .bool(false) else { continue }
            throw .unsupported(name, "Groq does not support it; leave it out, or route the request elsewhere")
        }
        if let n = body["n"], !n.isNull, n.int != 1 {
            throw .unsupported("n", "\(n.brief): Groq makes one choice; give 1, or submit the request \(n.brief) times")
        }
        for (index, message) in (body["messages"]?.array ?? []).enumerated() {
            guard let name = message["name"], !name.isNull else { continue }
            throw .unsupported(
                "messages[\(index)].name", "Groq does not support names of messages; put it into the content")
        }
        if let tier = body["service_tier"], !tier.isNull, let known = serviceTiers {
            guard let text = tier.string, known.contains(text) else {
                throw .invalid(
                    "service_tier", "\(tier.brief) is not one of \(known.joined(separator: ", "))")
            }
        }
    }
}
