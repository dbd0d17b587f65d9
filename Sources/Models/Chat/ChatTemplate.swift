import JSON

/// A checkpoint's chat template: turns messages into the text that the model was trained on.
///
/// A small interpreter of Jinja (https://jinja.palletsprojects.com/en/stable/templates/) that renders as the
/// transformers library does: Jinja's immutable sandbox with `trim_blocks` and `lstrip_blocks`, `break` and
/// `continue`, the `generation` tag, and the globals and filters that it adds. What it does not cover is an
/// error when the template is parsed. Templates come with checkpoints, so they are trusted with nothing:
/// `TemplateLimits` bounds all they can cost.
package struct ChatTemplate: Sendable {
    private let body: [TemplateStatement]
    private let scopes: TemplateScopes
    private let limits: TemplateLimits

    /// - Throws: `TemplateError` with the line, if the source is no template or uses what is not supported.
    package init(source: String, limits: TemplateLimits = TemplateLimits()) throws(TemplateError) {
        var parser = try TemplateParser(source, limits)
        body = try parser.parse()
        scopes = TemplateScopes(body, names: parser.names, scopeCount: parser.scopeCount)
        self.limits = limits
    }

    /// - Parameters:
    ///   - messages: objects with `role` and `content`, and what else the template reads.
    ///   - addGenerationPrompt: end with what begins the assistant's answer.
    ///   - bosToken: the special tokens' texts; nil leaves `bos_token` undefined.
    ///   - tools: JSON schemas of functions; nil is `none` to the template.
    ///   - extra: more variables (`enable_thinking`, `documents`, `pad_token` ...). They go before the above.
    ///   - now: what `strftime_now` prints.
    /// - Throws: `TemplateError`; of the kind `.raised` where the template refuses the messages.
    package func render(
        messages: [JSON], addGenerationPrompt: Bool, bosToken: String?, eosToken: String?, tools: JSON? = nil,
        extra: JSONObject = JSONObject(), now: CalendarTime
    ) throws(TemplateError) -> String {
        let budget = TemplateBudget(limits)
        for message in messages { budget.allow(for: message) }
        if let tools { budget.allow(for: tools) }
        budget.allow(for: .object(extra))
        var variables: [TemplateText: TemplateValue] = [:]
        for function in TemplateFunction.allCases {
            variables[TemplateText(function.rawValue)] = .function(function)
        }
        variables["messages"] = try budget.value(.array(messages.map(Self.withReasoningNames)))
        variables["add_generation_prompt"] = .bool(addGenerationPrompt)
        variables["tools"] = try budget.value(tools ?? .null)
        variables["documents"] = TemplateValue.none
        if let bosToken { variables["bos_token"] = .text(bosToken) }
        if let eosToken { variables["eos_token"] = .text(eosToken) }
        for (name, value) in extra.members { variables[TemplateText(name)] = try budget.value(value) }
        let interpreter = TemplateInterpreter(scopes: scopes, variables: variables, budget: budget, now: now)
        return try interpreter.render(body)
    }

    /// The names under which templates read a message's reasoning. Messages give it under any of them;
    /// transformers fills in the first, and `thinking` where it is absent.
    private static let reasoningNames = ["reasoning_content", "thinking", "reasoning"]

    private static func withReasoningNames(_ message: JSON) -> JSON {
        guard case .object(var object) = message else { return message }
        let reasoning = reasoningNames.lazy.compactMap { object[$0] }.first { !$0.isNull }
        guard let reasoning else { return message }
        let thinking = (name: "thinking", value: object["thinking"] ?? reasoning)
        object = JSONObject([thinking] + object.members.filter { $0.name != "thinking" })
        object["reasoning_content"] = reasoning
        return .object(object)
    }
}

extension TemplateBudget {
    /// The work that a template may do grows with what it is given.
    fileprivate func allow(for json: JSON) {
        switch json {
        case .string(let text): allow(inputBytes: text.utf8.count)
        case .array(let values): for value in values { allow(for: value) }
        case .object(let object):
            for (name, value) in object.members {
                allow(inputBytes: name.utf8.count)
                allow(for: value)
            }
        default: break
        }
    }

    /// What a JSON value is to a template.
    func value(_ json: JSON) throws(TemplateError) -> TemplateValue {
        try enter()
        defer { leave() }
        switch json {
        case .null: return .none
        case .bool(let value): return .bool(value)
        case .int(let value): return .int(Int(value))
        case .double(let value): return .float(value)
        case .string(let value): return .text(value)
        case .array(let values):
            var items: [TemplateValue] = []
            items.reserveCapacity(values.count)
            for value in values { items.append(try self.value(value)) }
            return try list(items)
        case .object(let object):
            let dict = TemplateDict()
            for (name, value) in object.members { dict.set(TemplateText(name), try self.value(value)) }
            return try self.dict(dict)
        }
    }
}
