// The global functions, and the methods of dicts, lists and the like. Methods of texts are in
// `TemplateTextMethods`.
extension TemplateInterpreter {
    func call(_ function: TemplateFunction, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        switch function {
        case .range: return try makeRange(arguments)
        case .dict: return try budget.dict(makeDict("dict", arguments))
        case .namespace:
            let namespace = TemplateNamespace()
            namespace.attributes = try makeDict("namespace", arguments)
            for case (.text(let name), _) in namespace.attributes.entries { try checkNamespaceName(name) }
            try budget.charge(values: 4 + namespace.attributes.count)
            namespaces.append(namespace)
            return .namespace(namespace)
        case .joiner:
            let given = try arguments.bind("joiner", ["sep"])
            return .cycle(TemplateCycle(try budget.items([given[0] ?? .text(", ")]), isJoiner: true))
        case .cycler:
            guard !arguments.positional.isEmpty else {
                throw TemplateError(.runtime, "at least one item has to be provided")
            }
            return .cycle(TemplateCycle(try budget.items(arguments.positional), isJoiner: false))
        case .raiseException:
            let given = try arguments.bind("raise_exception", ["message"], required: 1)
            throw TemplateError(.raised, try TemplatePrinter.str(given[0] ?? .none, budget))
        case .strftimeNow:
            let given = try arguments.bind("strftime_now", ["format"], required: 1)
            guard case .text(let format)? = given[0] else {
                throw TemplateError(.runtime, "strftime() argument 1 must be str")
            }
            try budget.charge(format.byteCount * 64)
            return .text(try now.formatted(format.string))
        }
    }

    private func makeRange(_ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
        let count = arguments.positional.count
        guard count > 0 else { throw TemplateError(.runtime, "range expected at least 1 argument, got 0") }
        guard count <= 3 else {
            throw TemplateError(.runtime, "range expected at most 3 arguments, got \(count)")
        }
        let given = try arguments.bind("range", ["start", "stop", "step"])
        let first = try given.int(0) ?? 0
        guard let end = try given.int(1) else {
            return .range(try TemplateRange(start: 0, end: first, step: 1))
        }
        return .range(try TemplateRange(start: first, end: end, step: try given.int(2) ?? 1))
    }

    /// What Python's `dict(...)` makes of a mapping or pairs, and keyword arguments.
    private func makeDict(
        _ function: String, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateDict {
        guard arguments.positional.count <= 1 else {
            throw TemplateError(
                .runtime, "\(function) expected at most 1 argument, got \(arguments.positional.count)")
        }
        let dict = TemplateDict()
        if let source = arguments.positional.first {
            let entries: [TemplateValue]
            if case .dict(let other) = source {
                try budget.charge(values: other.count * 3)
                entries = TemplateDictView(other, .items).values
            } else {
                entries = try items(of: source)
            }
            for (at, entry) in entries.enumerated() {
                guard isIterable(entry) else {
                    throw TemplateError(
                        .runtime, "cannot convert dictionary update sequence element #\(at) to a sequence")
                }
                let pair = try items(of: entry)
                guard pair.count == 2 else {
                    throw TemplateError(
                        .runtime,
                        "dictionary update sequence element #\(at) has length \(pair.count); 2 is required")
                }
                try dict.set(pair[0], pair[1], budget)
            }
        }
        for (name, value) in arguments.named { dict.set(name, value) }
        return dict
    }

    // MARK: - Methods

    func call(_ method: TemplateMethod, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue
    {
        switch method.receiver {
        case .text(let text): return try call(text, method.name, arguments)
        case .dict(let dict): return try call(dict, method.name, arguments)
        case .list(let items), .tuple(let items):
            return try call(items.values, method.receiver, method.name, arguments)
        case .range(let range): return try call(range.values, method.receiver, method.name, arguments)
        case .loop(let loop):
            try budget.charge(values: arguments.positional.count)
            return try loop.call(method.name, arguments, TemplateComparison(budget))
        case .cycle(let cycle):
            if method.name == "reset" {
                cycle.position = 0
                return .none
            }
            defer { cycle.position = (cycle.position + 1) % cycle.items.values.count }
            return cycle.items.values[cycle.position]
        case .float(let number): return .bool(number.isFinite && number == number.rounded())
        case .function:
            let given = try arguments.bind("fromkeys", ["iterable", "value"], required: 1)
            return try fromKeys(given[0] ?? .none, given[1] ?? .none)
        default:
            throw TemplateError(.runtime, "'\(method.receiver.typeName)' object is not callable")
        }
    }

    private func fromKeys(_ keys: TemplateValue, _ value: TemplateValue) throws(TemplateError)
        -> TemplateValue
    {
        let dict = TemplateDict()
        for key in try items(of: keys) { try dict.set(key, value, budget) }
        return try budget.dict(dict)
    }

    private func call(
        _ dict: TemplateDict, _ name: TemplateText, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch name {
        case "get":
            let count = arguments.positional.count
            guard count > 0 else { throw TemplateError(.runtime, "get expected at least 1 argument, got 0") }
            guard count <= 2 else {
                throw TemplateError(.runtime, "get expected at most 2 arguments, got \(count)")
            }
            guard arguments.named.isEmpty else {
                throw TemplateError(.runtime, "dict.get() takes no keyword arguments")
            }
            let found = dict.value(try TemplateKey(arguments.positional[0], budget))
            return found ?? (count == 2 ? arguments.positional[1] : .none)
        case "fromkeys":
            let given = try arguments.bind("fromkeys", ["iterable", "value"], required: 1)
            return try fromKeys(given[0] ?? .none, given[1] ?? .none)
        default: break
        }
        try refuseArguments("dict", name, arguments)
        switch name {
        case "items": return .view(TemplateDictView(dict, .items))
        case "keys": return .view(TemplateDictView(dict, .keys))
        case "values": return .view(TemplateDictView(dict, .values))
        default: return .dict(dict)
        }
    }

    private func refuseArguments(
        _ type: String, _ name: TemplateText, _ arguments: TemplateArguments
    ) throws(TemplateError) {
        let count = arguments.positional.count
        guard count > 0 || !arguments.named.isEmpty else { return }
        throw TemplateError(
            .runtime,
            arguments.named.isEmpty
                ? "\(type).\(name.string)() takes no arguments (\(count) given)"
                : "\(type).\(name.string)() takes no keyword arguments")
    }

    private func call(
        _ values: [TemplateValue], _ receiver: TemplateValue, _ name: TemplateText,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        if name == "copy" {
            try refuseArguments(receiver.typeName, name, arguments)
            return receiver
        }
        let given = try arguments.bind(name.string, ["value", "start", "stop"], required: 1)
        let wanted = given[0] ?? .none
        let comparison = TemplateComparison(budget)
        if name == "count" {
            var count = 0
            for value in values where try comparison.equal(value, wanted) { count += 1 }
            return .int(count)
        }
        func bound(_ index: Int) -> Int {
            max(0, min(values.count, index < 0 ? index + values.count : index))
        }
        let start = bound(try given.int(1) ?? 0)
        let end = max(start, bound(try given.int(2) ?? values.count))
        for at in start..<end where try comparison.equal(values[at], wanted) { return .int(at) }
        let found = try TemplatePrinter.repr(wanted, budget)
        if case .tuple = receiver { throw TemplateError(.runtime, "tuple.index(x): x not in tuple") }
        throw TemplateError(.runtime, "\(found) is not in \(receiver.typeName)")
    }
}
