import JSON

/// The members of a JSON object as pieces of its text, so that some can be changed and the others stay what they were,
/// byte for byte: numbers as written, escapes, members that nobody here knows.
struct JSONMembers {
    struct Member: Equatable {
        /// Unescaped.
        var name: String
        /// With its quotes, as written.
        var nameText: [UInt8]
        var valueText: [UInt8]
    }

    private(set) var members: [Member]

    /// - Parameter text: one JSON object that a parser has accepted; this trusts it.
    /// - Returns: nil when it is another value.
    init?(_ text: [UInt8]) {
        var cursor = TextCursor(text)
        guard let found = cursor.object() else { return nil }
        members = found
    }

    /// The last of that name, which is the one that counts.
    subscript(name: String) -> [UInt8]? { members.last { $0.name == name }?.valueText }

    /// Replaces the value, or appends the member.
    mutating func set(_ name: String, _ value: JSON) {
        var text: [UInt8] = []
        value.write(to: &text)
        set(name, text: text)
    }

    mutating func set(_ name: String, text: [UInt8]) {
        if let at = members.lastIndex(where: { $0.name == name }) {
            members[at].valueText = text
        } else {
            members.append(Member(name: name, nameText: Self.quoted(name), valueText: text))
        }
    }

    /// Puts `name` with its value where `old` stood.
    mutating func replace(_ old: String, with name: String, text: [UInt8]) {
        guard let at = members.lastIndex(where: { $0.name == old }) else { return set(name, text: text) }
        members[at] = Member(name: name, nameText: Self.quoted(name), valueText: text)
    }

    mutating func remove(_ name: String) { members.removeAll { $0.name == name } }

    var text: [UInt8] {
        var out: [UInt8] = [UInt8(ascii: "{")]
        for (i, member) in members.enumerated() {
            if i > 0 { out.append(UInt8(ascii: ",")) }
            out += member.nameText
            out.append(UInt8(ascii: ":"))
            out += member.valueText
        }
        out.append(UInt8(ascii: "}"))
        return out
    }

    private static func quoted(_ name: String) -> [UInt8] {
        var text: [UInt8] = []
        JSON.string(name).write(to: &text)
        return text
    }
}

/// Finds where values end in valid JSON text.
private struct TextCursor {
    private let text: [UInt8]
    private var at = 0

    init(_ text: [UInt8]) { self.text = text }

    private var byte: UInt8? { at < text.count ? text[at] : nil }

    private mutating func skipSpace() {
        while let byte, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { at += 1 }
    }

    private mutating func take(_ wanted: UInt8) -> Bool {
        skipSpace()
        guard byte == wanted else { return false }
        at += 1
        return true
    }

    mutating func object() -> [JSONMembers.Member]? {
        guard take(UInt8(ascii: "{")) else { return nil }
        var members: [JSONMembers.Member] = []
        if take(UInt8(ascii: "}")) { return members }
        repeat {
            skipSpace()
            let nameText = value()
            guard case .string(let name)? = try? JSON(parsing: nameText), take(UInt8(ascii: ":")) else { return nil }
            skipSpace()
            members.append(.init(name: name, nameText: nameText, valueText: value()))
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "}")) ? members : nil
    }

    /// The text of the value that begins here.
    private mutating func value() -> [UInt8] {
        let start = at
        var depth = 0
        scan: while let byte {
            switch byte {
            case UInt8(ascii: "\""):
                skipString()
                if depth == 0 { break scan }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { break scan }
                depth -= 1
                if depth == 0 {
                    at += 1
                    break scan
                }
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x20, 0x09, 0x0A, 0x0D:
                if depth == 0 { break scan }
            default: break
            }
            at += 1
        }
        return Array(text[start..<at])
    }

    private mutating func skipString() {
        at += 1
        while let byte, byte != UInt8(ascii: "\"") { at += byte == UInt8(ascii: "\\") ? 2 : 1 }
        at = min(at + 1, text.count)
    }
}
