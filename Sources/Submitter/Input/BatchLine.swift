// OpenAI's batch input lines: https://platform.openai.com/docs/guides/batch

import JSON
import JobQueue

/// Makes requests out of lines. It checks what must be known to queue a request: its name, its endpoint and
/// that there is a body. The body's fields are the worker's to check, where they are understood.
struct BatchLine: ~Copyable {
    /// Longest `custom_id`, in bytes of UTF-8.
    static let customIDBytesMax = 1024
    private static let envelope: Set = ["custom_id", "method", "url", "body"]

    /// The input as messages name it.
    private let file: String
    private let defaults: RequestDefaults
    private var parser = JSONParser()

    init(file: String, defaults: RequestDefaults) {
        self.file = file
        self.defaults = defaults
    }

    /// A line of JSON, in OpenAI's form or the short one.
    mutating func request(json line: [UInt8], number: Int) -> AppendedRequest {
        var customID: String?
        do throws(LineFault) {
            let object = try parse(line)
            customID = try? Self.customID(in: object)
            try Self.refuseRepeatedNames(in: .object(object))
            let isEnvelope = ["body", "url", "method"].contains { object[$0] != nil }
            let (endpoint, body) = try isEnvelope ? Self.openEnvelope(object) : Self.openShorthand(object)
            let name = try Self.customID(in: object) ?? "line-\(number)"
            return .accepted(request(name, endpoint, body, number))
        } catch {
            return error.refusal(customID: customID, file: file, line: number)
        }
    }

    /// A line that is a prompt itself.
    func request(prompt line: [UInt8], number: Int) -> AppendedRequest {
        guard let prompt = String(validating: line, as: UTF8.self) else {
            let fault = LineFault.encoding(at: Self.firstInvalidByte(of: line))
            return fault.refusal(customID: nil, file: file, line: number)
        }
        let body = JSONObject([("prompt", .string(prompt))])
        return .accepted(request("line-\(number)", .completions, body, number))
    }

    func tooLong(bytes: Int, limit: Int, number: Int) -> AppendedRequest {
        LineFault.length(bytes, limit: limit).refusal(customID: nil, file: file, line: number)
    }

    private func request(_ name: String, _ endpoint: Endpoint, _ body: JSONObject, _ line: Int) -> Request {
        var filled = body
        defaults.fill(&filled)
        return Request(customID: name, endpoint: endpoint, body: filled, line: line)
    }

    private mutating func parse(_ line: [UInt8]) throws(LineFault) -> JSONObject {
        let value: JSON
        do {
            value = try parser.parse(line)
        } catch {
            if String(validating: line, as: UTF8.self) == nil {
                throw .encoding(at: Self.firstInvalidByte(of: line))
            }
            let detail = Self.oneLine(error.description)
            throw .json("not JSON: \(detail); each line must be one whole JSON object")
        }
        guard let object = value.object else {
            let hint = value.array == nil ? "" : "; write a JSON array's elements one a line (jq -c '.[]')"
            throw .request("a line must be a JSON object, this is \(value.kindName)" + hint)
        }
        return object
    }

    private static func openEnvelope(_ object: JSONObject) throws(LineFault) -> (Endpoint, JSONObject) {
        for name in object.names where !envelope.contains(name) {
            throw .request(
                "unknown field \(LineFault.quoted(name)) beside 'body'; a batch line has custom_id, method, "
                    + "url and body, and parameters belong into the body", LineFault.shortened(name))
        }
        guard object["custom_id"] != nil else {
            throw .request("'custom_id' is missing; give each line a name of its own", "custom_id")
        }
        let method = try string("method", in: object, example: "\"POST\"")
        guard method == "POST" else {
            throw .request("method \(LineFault.quoted(method)) is not supported; write \"POST\"", "method")
        }
        let url = try string("url", in: object, example: "\"/v1/chat/completions\"")
        guard let endpoint = Endpoint(rawValue: url) else {
            let known = Endpoint.allCases.map(\.rawValue).joined(separator: " or ")
            throw .request("url \(LineFault.quoted(url)) is not supported; write \(known)", "url")
        }
        guard let body = object["body"] else { throw .request("'body' is missing", "body") }
        guard let members = body.object else {
            throw .request("'body' must be an object, is \(body.kindName)", "body")
        }
        return (endpoint, members)
    }

    private static func openShorthand(_ object: JSONObject) throws(LineFault) -> (Endpoint, JSONObject) {
        var body = object
        body["custom_id"] = nil
        switch (object["prompt"] != nil, object["messages"] != nil) {
        case (true, false): return (.completions, body)
        case (false, true): return (.chatCompletions, body)
        case (true, true): throw .request("has both 'prompt' and 'messages'; keep one", "prompt")
        case (false, false):
            throw .request(
                "has neither 'prompt' nor 'messages', nor 'body' as OpenAI's batch lines have; add one")
        }
    }

    private static func string(
        _ name: String, in object: JSONObject, example: String
    ) throws(LineFault) -> String {
        guard let value = object[name] else { throw .request("'\(name)' is missing; write \(example)", name) }
        guard let text = value.string else {
            throw .request("'\(name)' must be a string, is \(value.kindName); write \(example)", name)
        }
        return text
    }

    /// Nil when the line has none.
    private static func customID(in object: JSONObject) throws(LineFault) -> String? {
        guard let value = object["custom_id"] else { return nil }
        guard let text = value.string else {
            throw .request("'custom_id' must be a string, is \(value.kindName)", "custom_id")
        }
        guard !text.isEmpty else {
            throw .request("'custom_id' is empty; give each line a name", "custom_id")
        }
        guard text.utf8.count <= customIDBytesMax else {
            throw .request(
                "'custom_id' has \(text.utf8.count) bytes, more than \(customIDBytesMax); shorten it",
                "custom_id")
        }
        guard !text.utf8.contains(0) else {
            throw .request("'custom_id' contains a NUL character; remove it", "custom_id")
        }
        return text
    }

    /// Readers disagree on which of repeated members counts, so none may be there, however deep.
    private static func refuseRepeatedNames(in value: JSON) throws(LineFault) {
        switch value {
        case .array(let elements):
            for element in elements { try refuseRepeatedNames(in: element) }
        case .object(let object):
            // By bytes: Swift compares strings by canonical equivalence, JSON does not.
            var seen: Set<[UInt8]> = []
            for (name, member) in object.members {
                guard seen.insert(Array(name.utf8)).inserted else {
                    throw .request(
                        "the field \(LineFault.quoted(name)) occurs twice in one object; keep one",
                        LineFault.shortened(name))
                }
                try refuseRepeatedNames(in: member)
            }
        case .null, .bool, .int, .double, .string: break
        }
    }

    private static func firstInvalidByte(of bytes: [UInt8]) -> Int {
        var parser = Unicode.UTF8.ForwardParser()
        var iterator = bytes.makeIterator()
        var offset = 0
        while true {
            switch parser.parseScalar(from: &iterator) {
            case .valid(let scalar): offset += scalar.count
            case .emptyInput, .error: return offset
            }
        }
    }

    private static func oneLine(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 }.prefix(200)).trimmingSuffix(of: ". ")
    }
}

extension LineFault {
    /// A field's name as an error may carry it, of bounded length.
    static func shortened(_ name: String) -> String {
        String(name.unicodeScalars.prefix(60).map(Character.init))
    }
}

extension String {
    fileprivate func trimmingSuffix(of characters: String) -> String {
        var text = self
        while let last = text.last, characters.contains(last) { text.removeLast() }
        return text
    }
}
