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
