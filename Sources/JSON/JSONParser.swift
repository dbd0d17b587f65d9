import CSimdjson
import Foundation

/// Why a text is not JSON, with the place where known.
package struct JSONSyntaxError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

/// Parses JSON texts. Keeps its buffers between texts, so reuse one for a file of many lines.
package struct JSONParser: ~Copyable {
    private let parser: OpaquePointer

    package init() { parser = csj_parser_create() }
    deinit { csj_parser_destroy(parser) }

    /// - Throws: `JSONSyntaxError` when `bytes` are not one complete JSON text in UTF-8.
    package mutating func parse(_ bytes: some Collection<UInt8>) throws(JSONSyntaxError) -> JSON {
        let result = bytes.withContiguousStorageIfAvailable { parseBuffer($0) }
            ?? Array(bytes).withUnsafeBufferPointer { parseBuffer($0) }
        return try result.get()
    }

    private func parseBuffer(_ buffer: UnsafeBufferPointer<UInt8>) -> Result<JSON, JSONSyntaxError> {
        var count = 0
        var message: UnsafePointer<CChar>?
        guard let nodes = csj_parse(parser, buffer.baseAddress, buffer.count, &count, &message) else {
            let known = message.map { String(cString: $0) } ?? "not JSON"
            return .failure(JSONSyntaxError(description: Self.placed(known, in: buffer)))
        }
        var cursor = nodes
        return .success(Self.build(&cursor))
    }

    private static func build(_ cursor: inout UnsafePointer<csj_node>) -> JSON {
        let node = cursor.pointee
        cursor += 1
        switch Int(node.kind) {
        case CSJ_TRUE: return .bool(true)
        case CSJ_FALSE: return .bool(false)
        case CSJ_INT64: return .int(node.i)
        case CSJ_UINT64: return .double(Double(node.u))
        case CSJ_DOUBLE: return .double(node.d)
        case CSJ_STRING: return .string(text(node))
        case CSJ_ARRAY:
            var values: [JSON] = []
            values.reserveCapacity(Int(node.count))
            for _ in 0..<node.count { values.append(build(&cursor)) }
            return .array(values)
        case CSJ_OBJECT:
            var members: [(name: String, value: JSON)] = []
            members.reserveCapacity(Int(node.count))
            for _ in 0..<node.count {
                let name = text(cursor.pointee)
                cursor += 1
                members.append((name, build(&cursor)))
            }
            return .object(JSONObject(members))
        default: return .null
        }
    }

    private static func text(_ node: csj_node) -> String {
        node.bytes.withMemoryRebound(to: UInt8.self, capacity: Int(node.count)) {
            String(decoding: UnsafeBufferPointer(start: $0, count: Int(node.count)), as: UTF8.self)
        }
    }

    /// simdjson does not say where; Foundation, slower, does. Only texts that are already known bad come here.
    private static func placed(_ message: String, in buffer: UnsafeBufferPointer<UInt8>) -> String {
        do {
            _ = try JSONSerialization.jsonObject(with: Data(buffer), options: [.fragmentsAllowed])
        } catch {
            let detail = (error as NSError).userInfo["NSDebugDescription"] as? String
            if let detail { return detail }
        }
        return message
    }
}

extension JSON {
    /// Parses one text; for many, keep a `JSONParser`.
    package init(parsing text: String) throws(JSONSyntaxError) {
        var parser = JSONParser()
        self = try parser.parse(text.utf8)
    }

    package init(parsing bytes: [UInt8]) throws(JSONSyntaxError) {
        var parser = JSONParser()
        self = try parser.parse(bytes)
    }
}
