// Filters over sequences.
extension TemplateInterpreter {
    func applyToSequence(
        _ filter: TemplateFilter, _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch filter {
        case .default:
            let given = try filter.bind(arguments, ["default_value", "boolean"])
            if case .undefined = value { return given[0] ?? .text("") }
            return given.isTrue(1) && !value.isTrue ? given[0] ?? .text("") : value
        case .attr:
            let given = try filter.bind(arguments, ["name"], required: 1)
            let name = try given.text(0) ?? ""
            if case .undefined(let undefined) = value { throw undefined.error }
            return try ownAttribute(name, of: value)
                ?? .undefined(TemplateUndefined(attribute: name, of: value))
        case .join: return try join(value, arguments)
        case .batch, .slice:
            let given = try filter.bind(
                arguments, [filter == .batch ? "linecount" : "slices", "fill_with"], required: 1)
            return try lazily { () throws(TemplateError) in try grouped(filter, value, given) }
        default: break
        }
        _ = try filter.bind(arguments)
        switch filter {
        case .first:
            return try iterate(value).next()
                ?? .undefined(TemplateUndefined("No first item, sequence was empty."))
        case .last:
            return try reversed(value).first
                ?? .undefined(TemplateUndefined("No last item, sequence was empty."))
        case .length: return .int(try length(value))
        case .list: return try budget.list(items(of: value))
        case .reverse: return try reverse(value)
        default: return try itemPairs(value)
        }
    }

    private func itemPairs(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch value {
        case .undefined: return try budget.iterator([])
        case .dict(let dict):
            try budget.charge(values: dict.count * 3)
            return try budget.iterator(TemplateDictView(dict, .items).values)
        default:
            let failure = TemplateError(.runtime, "Can only get item pairs from a mapping.")
            return try budget.iterator([], failure: failure)
        }
    }

    /// Python's `reversed`, which takes no iterators.
    private func reversed(_ value: TemplateValue) throws(TemplateError) -> [TemplateValue] {
        switch value {
        case .list, .tuple, .dict, .range, .view, .text, .undefined: return try items(of: value).reversed()
        default: throw TemplateError(.runtime, "'\(value.typeName)' object is not reversible")
        }
    }

    private func reverse(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch value {
        case .text(let text):
            try budget.charge(text.byteCount * 4)
            return .text(
                TemplateText(scalars: text.string.unicodeScalars.reversed(), isMarkup: text.isMarkup))
        case .iterator: return try budget.list(items(of: value).reversed())
        default:
            guard isIterable(value) else { throw TemplateError(.runtime, "argument must be iterable") }
            return try budget.iterator(reversed(value), typeName: "list_reverseiterator")
        }
    }

    private func join(
        _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let given = try TemplateFilter.join.bind(arguments, ["d", "attribute"])
        let separator = try given[0].map { (value) throws(TemplateError) in
            try TemplatePrinter.str(value, budget)
        }
        let path = given.isAbsent(1) ? [] : try path(given[1] ?? .none)
        var out = ""
        for (i, item) in try items(of: value).enumerated() {
            if i > 0, let separator {
                try budget.charge(separator.utf8.count)
                out += separator
            }
            let text = try TemplatePrinter.str(self.value(at: path, of: item), budget)
            try budget.charge(text.utf8.count)
            out += text
        }
        return .text(out)
    }

    /// What Python makes only when it is asked for: a failure shows when the iterator gets there.
    func lazily(
        _ make: () throws(TemplateError) -> [TemplateValue]
    ) throws(TemplateError) -> TemplateValue {
        let values: [TemplateValue]
        do {
            values = try make()
        } catch {
            if error.kind == .limit { throw error }
            return try budget.iterator([], failure: error)
        }
        return try budget.iterator(values)
    }

    private func grouped(
        _ filter: TemplateFilter, _ value: TemplateValue, _ given: BoundTemplateArguments
    ) throws(TemplateError) -> [TemplateValue] {
        let items = try items(of: value)
        let fill = given.isAbsent(1) ? nil : given[1]
        if filter == .slice { return try sliced(items, try given.int(0) ?? 0, fill) }
        guard let size = given[0]?.number else {
            throw TemplateError(.runtime, "batch expects a number, not \(given[0]?.typeName ?? "NoneType")")
        }
        var groups: [TemplateValue] = []
        var from = 0
        while from < items.count {
            let end =
                size >= 1 && size < Double(items.count) ? min(from + Int(size), items.count) : items.count
            var group = Array(items[from..<end])
            if let fill, Double(group.count) < size {
                guard let missing = Int(exactly: size.rounded(.towardZero)).map({ $0 - group.count }) else {
                    throw TemplateError(.limit, "fills a batch of \(size) items")
                }
                try budget.charge(values: missing)
                group += Array(repeating: fill, count: missing)
            }
            groups.append(try budget.list(group))
            from = end
        }
        return groups
    }

    private func sliced(
        _ items: [TemplateValue], _ slices: Int, _ fill: TemplateValue?
    ) throws(TemplateError) -> [TemplateValue] {
        guard slices != 0 else { throw TemplateError(.runtime, "integer division or modulo by zero") }
        guard slices > 0 else { return [] }
        try budget.charge(values: slices)
        let (each, extra) = items.count.quotientAndRemainder(dividingBy: slices)
        var groups: [TemplateValue] = []
        var from = 0
        for number in 0..<slices {
            let count = each + (number < extra ? 1 : 0)
            var group = Array(items[from..<(from + count)])
            if let fill, number >= extra { group.append(fill) }
            groups.append(try budget.list(group))
            from += count
        }
        return groups
    }
}
