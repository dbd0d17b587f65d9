import CTOML
import Foundation

/// What is wrong with a configuration file: `file:line: key: what, and what to do`.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// A value of a TOML file that knows where it stands. Parsed by toml++ (https://marzer.github.io/tomlplusplus/).
package struct TOMLNode: Sendable {
    package enum Value: Sendable {
        case table([Member])
        case array([TOMLNode])
        case string(String)
        case int(Int64)
        case double(Double)
        case bool(Bool)
        case other
    }

    package struct Member: Sendable {
        package var name: String
        package var node: TOMLNode
    }

    package var file: String
    package var line: Int
    /// Dotted, as `backend.groq.url` or `route[0].models`; empty for the document.
    package var key: String
    package var value: Value

    /// - Parameter file: for messages.
    package static func parse(_ text: [UInt8], file: String) throws(ConfigurationError) -> TOMLNode {
        let result: Result<TOMLNode, ConfigurationError> = text.withUnsafeBytes { bytes in
            guard let document = ctoml_parse(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
            else { return .failure(ConfigurationError("\(file): out of memory")) }
            defer { ctoml_free(document) }
            var count = 0
            guard var cursor = ctoml_nodes(document, &count) else {
                var line: UInt32 = 0
                let why = string(ctoml_error(document, &line))
                return .failure(ConfigurationError("\(file):\(line): \(why)"))
            }
            return .success(build(&cursor, file: file, key: ""))
        }
        return try result.get()
    }

    package static func read(_ path: String) throws(ConfigurationError) -> TOMLNode {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigurationError("\(path) cannot be read: check the path and its permissions")
        }
        return try parse([UInt8](data), file: path)
    }

    private static func string(_ text: ctoml_text) -> String {
        guard let bytes = text.bytes else { return "" }
        return String(decoding: UnsafeRawBufferPointer(start: bytes, count: text.count), as: UTF8.self)
    }

    private static func build(_ cursor: inout UnsafePointer<ctoml_node>, file: String, key: String) -> TOMLNode {
        let node = cursor.pointee
        cursor += 1
        let value: Value =
            switch Int(node.kind) {
            case CTOML_TABLE:
                .table(
                    (0..<node.count).map { _ in
                        let name = string(cursor.pointee.name)
                        let inner = key.isEmpty ? name : "\(key).\(name)"
                        return Member(name: name, node: build(&cursor, file: file, key: inner))
                    }.sorted { $0.node.line < $1.node.line })
            case CTOML_ARRAY: .array((0..<node.count).map { build(&cursor, file: file, key: "\(key)[\($0)]") })
            case CTOML_STRING: .string(string(node.text))
            case CTOML_INT: .int(node.number)
            case CTOML_DOUBLE: .double(node.real)
            case CTOML_BOOL: .bool(node.number != 0)
            default: .other
            }
        return TOMLNode(file: file, line: Int(node.line), key: key, value: value)
    }

    package func error(_ what: String) -> ConfigurationError {
        ConfigurationError("\(file)\(line > 0 ? ":\(line)" : ""): \(key.isEmpty ? "" : key + ": ")\(what)")
    }

    package var members: [Member] { if case .table(let members) = value { members } else { [] } }

    package subscript(name: String) -> TOMLNode? { members.last { $0.name == name }?.node }

    // Reading: each throws with place and key when the value is of another kind or out of range.

    /// - Throws: when there is a member of another name.
    package func allow(_ names: [String]) throws(ConfigurationError) {
        guard case .table = value else { throw error("must be a table") }
        for member in members where !names.contains(member.name) {
            throw member.node.error("is not known here; known are \(names.joined(separator: ", "))")
        }
    }

    package func text() throws(ConfigurationError) -> String {
        guard case .string(let text) = value, !text.isEmpty else { throw error("must be a text that is not empty") }
        return text
    }

    package func texts() throws(ConfigurationError) -> [String] {
        if case .string = value { return [try text()] }
        let found = try items().map { item throws(ConfigurationError) in try item.text() }
        guard !found.isEmpty else { throw error("must not be empty") }
        return found
    }

    package func items() throws(ConfigurationError) -> [TOMLNode] {
        guard case .array(let items) = value else { throw error("must be an array") }
        return items
    }

    package func int(_ range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        guard case .int(let number) = value, let small = Int(exactly: number), range.contains(small) else {
            throw error("must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return small
    }

    package func double(_ range: ClosedRange<Double>) throws(ConfigurationError) -> Double {
        let number: Double? =
            switch value {
            case .double(let number): number
            case .int(let number): Double(number)
            default: nil
            }
        guard let number, range.contains(number) else {
            throw error("must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    package func bool() throws(ConfigurationError) -> Bool {
        guard case .bool(let flag) = value else { throw error("must be true or false") }
        return flag
    }
}
