import JSON

extension Request {
    /// Completion tokens that a body which does not limit them is taken to use: OpenAI's default for completions;
    /// for chats, which may run to the end of the context, a usual answer.
    private static let usualTokens: [Endpoint: Int] = [.completions: 16, .chatCompletions: 256]
    /// Of English, in most vocabularies.
    private static let bytesPerToken = 4

    /// A request with what its body says of model and tokens; `cost` is an estimate, for nothing is tokenized here.
    package init(customID: String, endpoint: Endpoint, body: JSONObject, line: Int) {
        var text: [UInt8] = []
        JSON.object(body).write(to: &text)
        self.init(
            customID: customID, endpoint: endpoint, body: text, line: line, model: body["model"]?.string ?? "",
            cost: Self.cost(of: body, endpoint))
    }

    private static func cost(of body: JSONObject, _ endpoint: Endpoint) -> Int {
        let asked = [body["max_completion_tokens"]?.int, body["max_tokens"]?.int].compactMap(\.self).first
        // Bodies are not checked yet: any number can stand anywhere.
        let completion = min(max(asked ?? usualTokens[endpoint] ?? 1, 0), maxCost)
        let choices = min(max(body["n"]?.int ?? 1, 1), maxCost)
        let prompts = body["prompt"]?.array.map { $0.allSatisfy { $0.int != nil } ? 1 : max(1, $0.count) } ?? 1
        let prompt = tokens(in: body["prompt"]) + tokens(in: body["messages"])
        let (all, isHuge) = completion.multipliedReportingOverflow(by: choices)
        let (sum, isHuger) = all.multipliedReportingOverflow(by: prompts)
        return isHuge || isHuger ? maxCost : min(max(1, min(sum, maxCost) + prompt), maxCost)
    }

    /// Numbers are tokens themselves; texts are counted by their bytes.
    private static func tokens(in value: JSON?) -> Int {
        var (bytes, tokens) = (0, 0)
        count(value ?? .null, &bytes, &tokens)
        return (bytes + bytesPerToken - 1) / bytesPerToken + tokens
    }

    private static func count(_ value: JSON, _ bytes: inout Int, _ tokens: inout Int) {
        switch value {
        case .string(let text): bytes += text.utf8.count
        case .int: tokens += 1
        case .array(let elements): for element in elements { count(element, &bytes, &tokens) }
        case .object(let object): for member in object.members { count(member.value, &bytes, &tokens) }
        case .null, .bool, .double: break
        }
    }
}
