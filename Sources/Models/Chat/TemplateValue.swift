/// A value that a template computes with: what Python's objects are to Jinja. Lives within one rendering.
enum TemplateValue {
    case undefined(TemplateUndefined)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case text(TemplateText)
    case list(TemplateItems)
    case tuple(TemplateItems)
    case dict(TemplateDict)
    case range(TemplateRange)
    case view(TemplateDictView)
    case iterator(TemplateIterator)
    case namespace(TemplateNamespace)
    case loop(TemplateLoop)
    case macro(TemplateMacro)
    case function(TemplateFunction)
    case method(TemplateMethod)
    case cycle(TemplateCycle)

    static func text(_ string: String) -> TemplateValue { .text(TemplateText(string)) }

    /// How many containers are nested in it; bounded, so that recursion over values is.
    var depth: Int {
        switch self {
        case .list(let items), .tuple(let items): items.depth
        case .dict(let dict): dict.depth
        case .view(let view): view.dict.depth + 1
        case .iterator(let iterator): iterator.depth
        case .cycle(let cycle): cycle.items.depth
        case .method(let method): method.receiver.depth
        default: 0
        }
    }

    /// Python's name of its type.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .text(let text): text.isMarkup ? "Markup" : "str"
        case .list: "list"
        case .tuple(let items): items.isGroup ? "_GroupTuple" : "tuple"
        case .dict: "dict"
        case .range: "range"
        case .view(let view): view.kind.typeName
        case .iterator(let iterator): iterator.typeName
        case .namespace: "TemplateNamespace"
        case .loop: "LoopContext"
        case .macro: "Macro"
        case .function: "function"
        case .method: "builtin_function_or_method"
        case .cycle(let cycle): cycle.isJoiner ? "Joiner" : "Cycler"
        }
    }

    /// How Jinja names it in messages about missing attributes.
    var ownerName: String {
        switch self {
        case .none: "None"
        case .namespace: "transformers.utils.chat_template_utils.TemplateNamespace object"
        case .loop, .macro: "jinja2.runtime.\(typeName) object"
        case .cycle: "jinja2.utils.\(typeName) object"
        case .text(let text) where text.isMarkup: "markupsafe.Markup object"
        default: "\(typeName) object"
        }
    }

    /// A whole number or boolean, as Python's `operator.index` takes it.
    var index: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// Python's truth of a value.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .text(let text): !text.isEmpty
        case .list(let items), .tuple(let items): !items.values.isEmpty
        case .dict(let dict): dict.count > 0
        case .range(let range): range.count > 0
        case .view(let view): view.dict.count > 0
        case .loop(let loop): loop.isKnownNotEmpty
        case .iterator, .namespace, .macro, .function, .method, .cycle: true
        }
    }
}

/// Jinja's `Undefined`: prints as nothing, is false and empty; anything else done with it fails with `message`.
final class TemplateUndefined {
    let message: String
    let kind: TemplateError.Kind

    init(_ message: String, kind: TemplateError.Kind = .undefined) {
        self.message = message
        self.kind = kind
    }

    convenience init(name: TemplateText) { self.init("\(TemplatePrinter.quoted(name)) is undefined") }

    convenience init(attribute: TemplateText, of owner: TemplateValue) {
        self.init("'\(owner.ownerName)' has no attribute \(TemplatePrinter.quoted(attribute))")
    }

    convenience init(unsafe attribute: TemplateText, of owner: TemplateValue) {
        self.init(
            "access to attribute \(TemplatePrinter.quoted(attribute)) of '\(owner.typeName)' object is unsafe.",
            kind: .security)
    }

    var error: TemplateError { TemplateError(kind, message) }
}

/// The items of a list or tuple. The sandbox forbids changing them.
final class TemplateItems {
    let values: [TemplateValue]
    let depth: Int
    /// A pair that `groupby` made: its items have names.
    let isGroup: Bool

    init(_ values: [TemplateValue], isGroup: Bool = false) {
        self.values = values
        self.isGroup = isGroup
        depth = 1 + (values.lazy.map(\.depth).max() ?? 0)
    }
}

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
    enum Kind { case keys, values, items
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

/// Python's `range`; at most `maxCount` items, as in Jinja's sandbox.
final class TemplateRange {
    static let maxCount = 100_000

    let start: Int
    let end: Int
    let step: Int
    let count: Int

    init(start: Int, end: Int, step: Int) throws(TemplateError) {
        guard step != 0 else { throw TemplateError(.runtime, "range() arg 3 must not be zero") }
        let isEmpty = step > 0 ? end <= start : end >= start
        let distance = UInt(bitPattern: step > 0 ? end &- start : start &- end)
        let count = isEmpty ? 0 : (distance - 1) / step.magnitude + 1
        guard count <= Self.maxCount else {
            throw TemplateError(
                .limit, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (\(Self.maxCount)).")
        }
        self.start = start
        self.end = end
        self.step = step
        self.count = Int(count)
    }

    func value(at index: Int) -> TemplateValue { .int(start + index * step) }

    /// Of positions that may be one beyond either end.
    func slice(_ first: Int, _ last: Int, _ by: Int) throws(TemplateError) -> TemplateRange {
        func position(_ index: Int) -> (Int, Bool) {
            let (offset, isTooFar) = index.multipliedReportingOverflow(by: step)
            let (position, isOutside) = start.addingReportingOverflow(offset)
            return (position, isTooFar || isOutside)
        }
        let ends = [position(first), position(last), step.multipliedReportingOverflow(by: by)]
        guard !ends.contains(where: \.1) else {
            throw TemplateError(.unsupported, "an integer beyond 64 bits is not supported")
        }
        return try TemplateRange(start: ends[0].0, end: ends[1].0, step: ends[2].0)
    }

    func contains(_ number: Int) -> Bool {
        guard step > 0 ? number >= start && number < end : number <= start && number > end else { return false }
        let (offset, overflow) = number.subtractingReportingOverflow(start)
        return !overflow && offset % step == 0
    }

    var values: [TemplateValue] { (0..<count).map(value) }
}

/// A Python generator or iterator: true, without length, gone through once.
final class TemplateIterator {
    private let values: [TemplateValue]
    private var position = 0
    /// What its making failed with; comes to light where the generator would reach it.
    private var failure: TemplateError?
    let depth: Int
    let typeName: String

    init(_ values: [TemplateValue], typeName: String = "generator", failure: TemplateError? = nil) {
        self.values = values
        self.typeName = typeName
        self.failure = failure
        depth = 1 + (values.lazy.map(\.depth).max() ?? 0)
    }

    /// Goes through items whose depth is known already.
    init(over items: [TemplateValue], depth: Int = 0) {
        values = items
        self.depth = depth
        typeName = "iterator"
    }

    func next() throws(TemplateError) -> TemplateValue? {
        if position < values.count {
            position += 1
            return values[position - 1]
        }
        if let failure {
            self.failure = nil
            throw failure
        }
        return nil
    }

    /// All that is left.
    func rest() throws(TemplateError) -> [TemplateValue] {
        if position == 0, failure == nil {
            position = values.count
            return values
        }
        var rest: [TemplateValue] = []
        while let value = try next() { rest.append(value) }
        return rest
    }
}

/// What `namespace(...)` makes: the one thing whose attributes `set` may change.
final class TemplateNamespace {
    var attributes = TemplateDict()
}

/// A method taken from its object, not called yet.
final class TemplateMethod {
    let receiver: TemplateValue
    let name: TemplateText

    init(_ receiver: TemplateValue, _ name: TemplateText) {
        self.receiver = receiver
        self.name = name
    }
}

/// `joiner(separator)` (nothing at its first call, then the separator) or `cycler(...)`.
final class TemplateCycle {
    let items: TemplateItems
    let isJoiner: Bool
    var position = 0

    init(_ items: TemplateItems, isJoiner: Bool) {
        self.items = items
        self.isJoiner = isJoiner
    }
}

/// The global functions a template may call.
enum TemplateFunction: String, CaseIterable {
    case range
    case dict
    case namespace
    case joiner
    case cycler
    case raiseException = "raise_exception"
    case strftimeNow = "strftime_now"
}
