/// A JSON value (RFC 8259). Objects keep the order of their members, and repeated names, as they were written.
///
/// Whole numbers that fit stay exact as `.int`; everything else numeric is `.double`.
package enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

/// The members of a JSON object in their written order. Look-up finds the last of repeated names, as most readers do.
package struct JSONObject: Sendable, Equatable {
    package private(set) var members: [(name: String, value: JSON)]
    /// Only for objects of many members (a vocabulary); small ones are searched from the end.
    private var index: [String: Int]?

    private static let indexedFrom = 16

    package init(_ members: [(name: String, value: JSON)] = []) {
        self.members = members
        if members.count >= Self.indexedFrom { buildIndex() }
    }

    private mutating func buildIndex() {
        index = Dictionary(
            members.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { _, last in last })
    }

    package var isEmpty: Bool { members.isEmpty }
    package var count: Int { members.count }
    package var names: [String] { members.map(\.name) }

    /// Names that occur more than once; well-formed requests have none.
    package var repeatedNames: [String] {
        var seen: Set<String> = []
        return names.filter { !seen.insert($0).inserted }
    }

    private func position(of name: String) -> Int? {
        if let index { return index[name] }
        return members.lastIndex { $0.name == name }
    }

    package subscript(name: String) -> JSON? {
        get { position(of: name).map { members[$0].value } }
        set {
            switch (position(of: name), newValue) {
            case (let at?, let value?): members[at].value = value
            case (let at?, nil):
                members.remove(at: at)
                if index != nil { buildIndex() }
            case (nil, let value?):
                index?[name] = members.count
                members.append((name, value))
            case (nil, nil): break
            }
        }
    }

    package static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.count == b.count && zip(a.members, b.members).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    }
}

// Reading: each returns nil when the value is of another kind; the caller names the field in its error.
extension JSON {
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    package var isNull: Bool { if case .null = self { true } else { false } }

    /// An exact whole number: `3` or `3.0`, never `3.5`.
    package var int: Int? {
        switch self {
        case .int(let value): Int(value)
        case .double(let value): Int(exactly: value)
        default: nil
        }
    }

    package var double: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    /// A member of an object; nil for other kinds and for absent names.
    package subscript(name: String) -> JSON? { object?[name] }

    /// What kind it is, for error messages.
    package var kindName: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .int, .double: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
    ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(JSONObject(elements.map { (name: $0.0, value: $0.1) }))
    }
    package init(nilLiteral: ()) { self = .null }
}
