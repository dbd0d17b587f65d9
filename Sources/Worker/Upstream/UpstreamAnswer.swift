// Sources: https://console.groq.com/docs/api-reference (usage with times),
// https://platform.openai.com/docs/api-reference/chat/object

import JSON
import JobQueue

/// A 200 answer, read as far as accounts need it; its text goes to the client as it came.
package struct UpstreamAnswer: Sendable, Equatable {
    package var body: [UInt8]
    package var usage: Usage
    /// Part of `usage.completionTokens`.
    package var reasoningTokens: Int
    /// Groq's `queue_time`, `prompt_time`, `completion_time`; nil where the upstream does not say.
    package var queueMs: Int64?
    package var promptMs: Int64?
    package var completionMs: Int64?
    /// As the upstream names it.
    package var model: String?

    /// - Returns: nil when it is no completion: not JSON, or without choices.
    package init?(_ reply: UpstreamReply, isMapped: Bool) {
        guard let json = try? JSON(parsing: reply.body), json["choices"]?.array != nil else { return nil }
        let usage = json["usage"]
        // What no store takes is no count of tokens.
        func count(_ value: JSON?) -> Int { min(Outcome.maxTokens, max(0, value?.int ?? 0)) }
        func ms(_ name: String) -> Int64? {
            guard let seconds = usage?[name]?.double, seconds >= 0, seconds < 1e9 else { return nil }
            return Int64((seconds * 1000).rounded())
        }
        let prompt = count(usage?["prompt_tokens"])
        self.usage = Usage(
            promptTokens: prompt, completionTokens: count(usage?["completion_tokens"]),
            // llama.cpp and older servers say nothing, or more than there is.
            cachedTokens: min(prompt, count(usage?["prompt_tokens_details"]?["cached_tokens"])))
        reasoningTokens = count(usage?["completion_tokens_details"]?["reasoning_tokens"])
        queueMs = ms("queue_time")
        promptMs = ms("prompt_time")
        completionMs = ms("completion_time")
        model = json["model"]?.string
        body = reply.body
        guard isMapped else { return }
        guard let completion = Self.completion(reply.body) else { return nil }
        body = completion
    }

    /// A chat's answer as a completion's: each choice's message becomes its text; everything else stays.
    private static func completion(_ chat: [UInt8]) -> [UInt8]? {
        guard var members = JSONMembers(chat), let choices = members["choices"],
            let array = (try? JSON(parsing: choices))?.array
        else { return nil }
        let mapped = array.enumerated().map { index, choice in
            var object = choice.object ?? JSONObject()
            let message = object["message"]
            object["message"] = nil
            object["text"] = .string(message?["content"]?.string ?? "")
            if let reasoning = message?["reasoning"], !reasoning.isNull { object["reasoning"] = reasoning }
            if object["index"] == nil { object["index"] = .int(Int64(index)) }
            object["logprobs"] = object["logprobs"] ?? .null
            return JSON.object(object)
        }
        members.set("object", "text_completion")
        members.set("choices", .array(mapped))
        return members.text
    }

    /// - Parameters:
    ///   - waitedMs: from the lease to the sending.
    ///   - transfer: when what this upstream says nothing of is told by the transfer.
    package func timings(waitedMs: Int64, transfer: UpstreamTimings) -> Timings {
        let answerMs = max(0, transfer.totalMs - transfer.sentMs)
        guard let promptMs, let completionMs else {
            let firstMs = max(0, transfer.firstByteMs - transfer.sentMs)
            return Timings(
                queuedMs: waitedMs + (queueMs ?? 0), prefillMs: min(firstMs, answerMs),
                decodeMs: max(0, answerMs - firstMs))
        }
        return Timings(queuedMs: waitedMs + (queueMs ?? 0), prefillMs: promptMs, decodeMs: completionMs)
    }
}
