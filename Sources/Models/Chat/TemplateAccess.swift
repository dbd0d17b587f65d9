// Attributes, items, slices, length and iteration, as Python and Jinja's sandbox have them.
extension TemplateInterpreter {
    /// `value.name`: the attribute if there is one, else the item.
    func attribute(_ name: TemplateText, of value: TemplateValue) throws(TemplateError) -> TemplateValue {
        if case .undefined(let undefined) = value { throw undefined.error }
        if let found = try ownAttribute(name, of: value) { return found }
        if case .dict(let dict) = value, let item = dict.value(name) { return item }
        return .undefined(TemplateUndefined(attribute: name, of: value))
    }

    /// `value[key]`: the item if there is one, else the attribute.
    func item(_ key: TemplateValue, of value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch (value, key) {
        case (.undefined(let undefined), _): throw undefined.error
        case (.dict(let dict), _):
            // Python takes an unhashable key for a failed look-up.
            if let id = try hashable(key), let item = dict.value(id) { return item }
        case (.list(let items), _), (.tuple(let items), _):
            if let index = key.index, let at = position(index, items.values.count) { return items.values[at] }
        case (.range(let range), _):
            if let index = key.index, let at = position(index, range.count) { return range.value(at: at) }
        case (.text(let text), _):
            if let index = key.index {
                try budget.charge(min(index == .min ? .max : abs(index), text.byteCount))
                if let scalar = text.scalar(at: index) {
                    return .text(TemplateText(scalars: [scalar], isMarkup: text.isMarkup))
                }
            }
        default: break
        }
        if case .text(let name) = key {
            return try ownAttribute(name, of: value)
                ?? .undefined(TemplateUndefined(attribute: name, of: value))
        }
        let repr = try TemplatePrinter.repr(key, budget)
        return .undefined(TemplateUndefined("\(value.ownerName) has no element \(repr)"))
    }

    private func hashable(_ key: TemplateValue) throws(TemplateError) -> TemplateKey? {
        do {
            return try TemplateKey(key, budget)
        } catch {
            if error.kind == .limit { throw error }
            return nil
        }
    }

    private func position(_ index: Int, _ count: Int) -> Int? {
        let at = index < 0 ? index + count : index
        return (0..<count).contains(at) ? at : nil
    }

    /// What Python's `getattr` finds; nil if nothing.
    func ownAttribute(_ name: TemplateText, of value: TemplateValue) throws(TemplateError) -> TemplateValue? {
        if name.hasPrefix("__"), TemplateAttributes.ofEveryObject.contains(name) {
            return .undefined(TemplateUndefined(unsafe: name, of: value))
        }
        switch value {
        case .namespace(let namespace): return namespace.attributes.value(name)
        case .loop(let loop): return try loop.attribute(name)
        case .macro(let macro): return try macro.attribute(name, budget)
        case .tuple(let items) where items.isGroup && (name == "grouper" || name == "list"):
            return items.values[name == "grouper" ? 0 : 1]
        case .range(let range):
            switch name {
            case "start": return .int(range.start)
            case "stop": return .int(range.end)
            case "step": return .int(range.step)
            default: break
            }
        case .cycle(let cycle) where !cycle.isJoiner && name == "current":
            return cycle.items.values[cycle.position % cycle.items.values.count]
        default: break
        }
        let known = TemplateAttributes.methods(of: value)
        if known.safe.contains(name) { return .method(TemplateMethod(value, name)) }
        return known.mutating.contains(name) ? .undefined(TemplateUndefined(unsafe: name, of: value)) : nil
    }

    // MARK: - Slices

    func slice(
        _ value: TemplateValue, _ start: TemplateValue, _ end: TemplateValue, _ step: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        try budget.charge(for: value)
        switch value {
        case .undefined(let undefined): throw undefined.error
        case .text(let text):
            let range = try range(text.count, start, end, step)
            if range.step == 1 { return .text(text.slice(range.first, range.last)) }
            try budget.charge(text.byteCount * 12)
            let scalars = text.scalars
            return .text(TemplateText(scalars: range.indices.map { scalars[$0] }, isMarkup: text.isMarkup))
        case .list(let items):
            return try budget.list(
                range(items.values.count, start, end, step).indices.map { items.values[$0] })
        case .tuple(let items):
            return try budget.tuple(
                range(items.values.count, start, end, step).indices.map { items.values[$0] })
        case .range(let range):
            let part = try self.range(range.count, start, end, step)
            return .range(try range.slice(part.first, part.last, part.step))
        case .dict: throw TemplateError(.runtime, "unhashable type: 'slice'")
        default: throw TemplateError(.runtime, "'\(value.typeName)' object is not subscriptable")
        }
    }

    private struct SliceRange {
        let first: Int
        let last: Int
        let step: Int
        var indices: [Int] { Array(stride(from: first, to: last, by: step)) }
    }

    /// Python's `slice.indices`.
    private func range(
        _ count: Int, _ start: TemplateValue, _ end: TemplateValue, _ step: TemplateValue
    ) throws(TemplateError) -> SliceRange {
        let step = try bound(step) ?? 1
        guard step != 0 else { throw TemplateError(.runtime, "slice step cannot be zero") }
        let lowest = step > 0 ? 0 : -1
        let highest = step > 0 ? count : count - 1
        func clamped(_ index: Int) -> Int { max(lowest, min(highest, index < 0 ? index + count : index)) }
        let first = try bound(start).map(clamped) ?? (step > 0 ? 0 : count - 1)
        let last = try bound(end).map(clamped) ?? (step > 0 ? count : -1)
        return SliceRange(first: first, last: last, step: max(-count - 1, min(count + 1, step)))
    }

    private func bound(_ value: TemplateValue) throws(TemplateError) -> Int? {
        if case .none = value { return nil }
        if let index = value.index { return index }
        throw TemplateError(
            .runtime, "slice indices must be integers or None or have an __index__ method")
    }

    // MARK: - Length and iteration

    func length(_ value: TemplateValue) throws(TemplateError) -> Int {
        switch value {
        case .undefined: return 0
        case .text(let text):
            try budget.charge(text.byteCount)
            return text.count
        case .list(let items), .tuple(let items): return items.values.count
        case .dict(let dict): return dict.count
        case .range(let range): return range.count
        case .view(let view): return view.dict.count
        default: throw TemplateError(.runtime, "object of type '\(value.typeName)' has no len()")
        }
    }

    func isIterable(_ value: TemplateValue) -> Bool {
        switch value {
        case .undefined, .text, .list, .tuple, .dict, .range, .view, .iterator: true
        default: false
        }
    }

    func iterate(_ value: TemplateValue) throws(TemplateError) -> TemplateIterator {
        switch value {
        case .undefined: return TemplateIterator(over: [])
        case .text(let text):
            try budget.charge(text.byteCount * 24)
            return TemplateIterator(
                over: text.string.unicodeScalars.map { .text(TemplateText(scalars: CollectionOfOne($0))) })
        case .list(let items), .tuple(let items):
            return TemplateIterator(over: items.values, depth: items.depth)
        case .dict(let dict):
            try budget.charge(values: dict.count)
            return TemplateIterator(over: dict.entries.map(\.key), depth: dict.depth)
        case .range(let range):
            try budget.charge(values: range.count)
            return TemplateIterator(over: range.values)
        case .view(let view):
            try budget.charge(values: view.dict.count * 3)
            return TemplateIterator(over: view.values, depth: value.depth)
        case .iterator(let iterator): return iterator
        default: throw TemplateError(.runtime, "'\(value.typeName)' object is not iterable")
        }
    }

    /// All items of an iterable.
    func items(of value: TemplateValue) throws(TemplateError) -> [TemplateValue] {
        let items = try iterate(value).rest()
        try budget.charge(values: items.count)
        return items
    }
}

/// The attributes that Python's objects have.
enum TemplateAttributes {
    static let ofEveryObject: Set<TemplateText> = [
        "__class__", "__doc__", "__init__", "__new__", "__dir__", "__eq__", "__ne__", "__lt__", "__le__",
        "__gt__",
        "__ge__", "__hash__", "__repr__", "__str__", "__format__", "__getattribute__", "__setattr__",
        "__delattr__",
        "__reduce__", "__reduce_ex__", "__sizeof__", "__subclasshook__", "__init_subclass__",
    ]

    private static let ofText: Set<TemplateText> = Set(TemplateText.methods.keys)
    private static let ofDict: Set<TemplateText> = ["get", "items", "keys", "values", "copy", "fromkeys"]
    private static let changingDict: Set<TemplateText> = ["clear", "pop", "popitem", "setdefault", "update"]
    private static let ofList: Set<TemplateText> = ["index", "count", "copy"]
    private static let changingList: Set<TemplateText> = [
        "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
    ]
    private static let ofTuple: Set<TemplateText> = ["index", "count"]
    private static let ofCycler: Set<TemplateText> = ["next", "reset"]
    private static let ofFloat: Set<TemplateText> = ["is_integer"]

    /// The methods of a value's type: those that may be called, and those that the sandbox refuses.
    static func methods(of value: TemplateValue) -> (safe: Set<TemplateText>, mutating: Set<TemplateText>) {
        switch value {
        case .text: (ofText, [])
        case .dict: (ofDict, changingDict)
        case .list: (ofList, changingList)
        case .tuple, .range: (ofTuple, [])
        case .float: (ofFloat, [])
        case .cycle(let cycle) where !cycle.isJoiner: (ofCycler, [])
        case .function(.dict): (["fromkeys"], [])
        default: ([], [])
        }
    }
}
