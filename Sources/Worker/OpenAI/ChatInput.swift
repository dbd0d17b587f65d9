import JSON
import JobQueue

/// The conversation of a chat completion, as its template will see it.
package struct ChatInput: Sendable, Equatable {
    /// Objects with `role` and `content` (a string, or null beside tool calls), and what else the template
    /// may read.
    package var messages: [JSON]
    package var tools: [JSON]
    package var addsGenerationPrompt: Bool
    /// The last message is begun, and goes on.
    package var continuesFinalMessage: Bool
    /// `chat_template_kwargs`: more variables for the template.
    package var variables: JSONObject

    private static let messageFields: Set<String> = [
        "role", "content", "name", "tool_calls", "tool_call_id", "refusal", "reasoning", "reasoning_content",
    ]

    init(_ fields: inout BodyFields) throws(OutcomeError) {
        guard let given = try fields.array("messages") else { throw .invalid("messages", "is missing") }
        if given.isEmpty { throw .invalid("messages", "is an empty array") }
        messages = []
        for (i, message) in given.enumerated() {
            messages.append(try Self.message(message, "messages[\(i)]"))
        }
        tools = []
        for (i, tool) in (try fields.array("tools") ?? []).enumerated() {
            guard tool.object != nil else { throw .wrongKind("tools[\(i)]", tool, "an object") }
            tools.append(tool)
        }
        try fields.only("tool_choice", ["auto", "none"])
        if fields.value("tool_choice") == "none" { tools = [] }
        continuesFinalMessage = try fields.bool("continue_final_message") ?? false
        addsGenerationPrompt = try fields.bool("add_generation_prompt") ?? true
        if continuesFinalMessage, addsGenerationPrompt {
            throw .invalid("continue_final_message", "needs add_generation_prompt to be false")
        }
        if continuesFinalMessage, messages.last?["content"]?.string?.isEmpty ?? true {
            throw .invalid("continue_final_message", "the last message has no text to continue")
        }
        variables = try fields.object("chat_template_kwargs") ?? JSONObject()
        for name in ["messages", "tools", "add_generation_prompt"] where variables[name] != nil {
            throw .invalid("chat_template_kwargs", "\(name) is a field of the request itself")
        }
    }

    private static func message(_ given: JSON, _ path: String) throws(OutcomeError) -> JSON {
        guard var message = given.object else { throw .wrongKind(path, given, "an object") }
        if let name = message.repeatedNames.first {
            throw .invalid("\(path).\(name)", "is given more than once")
        }
        for (name, value) in message.members where !value.isNull && !messageFields.contains(name) {
            throw OutcomeError(
                code: "unknown_field", message: "\(path).\(name): a message has no such field",
                parameter: "\(path).\(name)")
        }
        guard let role = message["role"], !role.isNull else { throw .invalid("\(path).role", "is missing") }
        guard role.string != nil else { throw .wrongKind("\(path).role", role, "a string") }
        for (name, value) in message.members where value.isNull && name != "content" { message[name] = nil }
        message["content"] = try content(message, path)
        if let calls = message["tool_calls"] {
            message["tool_calls"] = try toolCalls(calls, "\(path).tool_calls")
        }
        return .object(message)
    }

    /// Text parts are joined by line ends, as vLLM does for templates that take strings.
    private static func content(_ message: JSONObject, _ path: String) throws(OutcomeError) -> JSON {
        switch message["content"] {
        case .string(let text): return .string(text)
        case nil, .null:
            guard message["tool_calls"] != nil else { throw .invalid("\(path).content", "is missing") }
            return .null
        case .array(let parts):
            var texts: [String] = []
            for (i, part) in parts.enumerated() {
                let place = "\(path).content[\(i)]"
                guard let type = part["type"]?.string else { throw .invalid("\(place).type", "is missing") }
                guard type == "text" else {
                    throw .unsupported(
                        "\(place).type", "\(JSON.string(type).brief) parts are not supported; only text is")
                }
                guard let text = part["text"]?.string else { throw .invalid("\(place).text", "is no string") }
                texts.append(text)
            }
            return .string(texts.joined(separator: "\n"))
        case .some(let other): throw .wrongKind("\(path).content", other, "a string or an array of parts")
        }
    }

    /// Templates expect the arguments of earlier calls as objects; clients send them as JSON text.
    private static func toolCalls(_ given: JSON, _ path: String) throws(OutcomeError) -> JSON {
        guard let calls = given.array else { throw .wrongKind(path, given, "an array") }
        var result: [JSON] = []
        for (i, call) in calls.enumerated() {
            guard var call = call.object, var function = call["function"]?.object else {
                throw .invalid("\(path)[\(i)].function", "is missing")
            }
            if let text = function["arguments"]?.string {
                do {
                    function["arguments"] = text.isEmpty ? .object(JSONObject()) : try JSON(parsing: text)
                } catch {
                    throw .invalid("\(path)[\(i)].function.arguments", "is not JSON: \(error)")
                }
            }
            call["function"] = .object(function)
            result.append(.object(call))
        }
        return .array(result)
    }
}
