/// A dict, in insertion order. The sandbox forbids changing it.
final class TemplateDict {
    private(set) var entries: [(key: TemplateValue, value: TemplateValue)] = []
    private var index: [TemplateKey: Int] = [:]
    private(set) var depth = 1

    var count: Int { entries.count }

    init() {}

    /// Only while the dict is made. A repeated key keeps its place and takes the new value.
    func set(_ key: TemplateValue, _ value: TemplateValue, _ budget: TemplateBudget) throws(TemplateError) {
        set(try TemplateKey(key, budget), key, value)
    }

    func set(_ name: TemplateText, _ value: TemplateValue) { set(.text(name), .text(name), value) }

    private func set(_ id: TemplateKey, _ key: TemplateValue, _ value: TemplateValue) {
        depth = max(depth, 1 + value.depth, 1 + key.depth)
        if let at = index[id] {
            entries[at].value = value
        } else {
            index[id] = entries.count
            entries.append((key, value))
        }
    }

    func value(_ key: TemplateKey) -> TemplateValue? { index[key].map { entries[$0].value } }
    func value(_ name: TemplateText) -> TemplateValue? { value(.text(name)) }
}

/// `dict.keys()`, `.values()` or `.items()`.
final class TemplateDictView {
    enum Kind {
        case keys, values, items
        var typeName: String {
            switch self {
            case .keys: "dict_keys"
            case .values: "dict_values"
            case .items: "dict_items"
            }
        }
    }

    let dict: TemplateDict
    let kind: Kind

    init(_ dict: TemplateDict, _ kind: Kind) {
        self.dict = dict
        self.kind = kind
    }

    var values: [TemplateValue] {
        switch kind {
        case .keys: dict.entries.map(\.key)
        case .values: dict.entries.map(\.value)
        case .items: dict.entries.map { .tuple(TemplateItems([$0.key, $0.value])) }
        }
    }
}

/// What identifies a dict key: equal numbers of different types are one key.
enum TemplateKey: Hashable {
    case none
    case undefined
    case int(Int)
    case float(Double)
    case text(TemplateText)
    case tuple([TemplateKey])
    case object(ObjectIdentifier)

    init(_ value: TemplateValue, _ budget: TemplateBudget) throws(TemplateError) {
        try budget.charge(values: 2)
        if case .text(let text) = value { try budget.charge(text.byteCount) }
        switch value {
        case .none: self = .none
        case .undefined: self = .undefined
        case .bool(let value): self = .int(value ? 1 : 0)
        case .int(let value): self = .int(value)
        case .float(let value): self = Int(exactly: value).map(TemplateKey.int) ?? .float(value)
        case .text(let text): self = .text(text)
        case .tuple(let items):
            var keys: [TemplateKey] = []
            for item in items.values { keys.append(try TemplateKey(item, budget)) }
            self = .tuple(keys)
        case .range(let range): self = .tuple([.int(range.start), .int(range.end), .int(range.step)])
        case .namespace(let object): self = .object(ObjectIdentifier(object))
        case .loop(let object): self = .object(ObjectIdentifier(object))
        case .macro(let object): self = .object(ObjectIdentifier(object))
        case .iterator(let object): self = .object(ObjectIdentifier(object))
        case .method(let object): self = .object(ObjectIdentifier(object))
        case .cycle(let object): self = .object(ObjectIdentifier(object))
        case .function(let function): self = .text(TemplateText(function.rawValue))
        case .list, .dict, .view:
            throw TemplateError(.runtime, "unhashable type: '\(value.typeName)'")
        }
    }
}
