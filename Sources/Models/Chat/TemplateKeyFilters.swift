// Filters that order, group or add up items by a key of each.
extension TemplateInterpreter {
    func applyByKey(
        _ filter: TemplateFilter, _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch filter {
        case .sort:
            let given = try filter.bind(arguments, ["reverse", "case_sensitive", "attribute"])
            let items = try items(of: value)
            let keys = try sortKeys(items, given[2] ?? .none, isCaseSensitive: given.isTrue(1))
            return try budget.list(
                TemplateComparison(budget).sorted(items, by: keys, descending: given.isTrue(0)))
        case .dictsort: return try dictSorted(value, arguments)
        case .groupby: return try groupedBy(value, arguments)
        case .sum: return try sum(value, arguments)
        case .unique:
            let given = try filter.bind(arguments, ["case_sensitive", "attribute"])
            return try lazily { () throws(TemplateError) in
                try unique(value, given[1] ?? .none, isCaseSensitive: given.isTrue(0))
            }
        default:
            let given = try filter.bind(arguments, ["case_sensitive", "attribute"])
            let items = try items(of: value)
            guard !items.isEmpty else {
                return .undefined(TemplateUndefined("No aggregated item, sequence was empty."))
            }
            let keys = try keys(items, given[1] ?? .none, isCaseSensitive: given.isTrue(0))
            var best = 0
            let comparison = TemplateComparison(budget)
            for at in items.indices.dropFirst()
            where try comparison.holds(keys[at], filter == .max ? .greater : .less, keys[best]) { best = at }
            return items[best]
        }
    }

    private func folded(_ value: TemplateValue, _ isCaseSensitive: Bool) -> TemplateValue {
        guard !isCaseSensitive, case .text(let text) = value else { return value }
        return .text(text.lowercased())
    }

    private func keys(
        _ items: [TemplateValue], _ attribute: TemplateValue, isCaseSensitive: Bool,
        standard: TemplateValue? = nil
    ) throws(TemplateError) -> [TemplateValue] {
        let path = try path(attribute)
        var keys: [TemplateValue] = []
        for item in items {
            try budget.charge(for: item)
            keys.append(folded(try value(at: path, of: item, standard: standard), isCaseSensitive))
        }
        return keys
    }

    /// Lists of the keys by several attributes, `"a,b.c"`.
    private func sortKeys(
        _ items: [TemplateValue], _ attribute: TemplateValue, isCaseSensitive: Bool
    ) throws(TemplateError) -> [TemplateValue] {
        var names = [attribute]
        if case .text(let text) = attribute { names = text.split(by: ",").map { .text($0) } }
        var columns: [[TemplateValue]] = []
        for name in names { columns.append(try keys(items, name, isCaseSensitive: isCaseSensitive)) }
        var rows: [TemplateValue] = []
        for at in items.indices { rows.append(try budget.list(columns.map { $0[at] })) }
        return rows
    }

    private func dictSorted(
        _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let given = try TemplateFilter.dictsort.bind(arguments, ["case_sensitive", "by", "reverse"])
        let by = try given.text(1) ?? "key"
        guard by == "key" || by == "value" else {
            throw TemplateError(.runtime, "You can only sort by either \"key\" or \"value\"")
        }
        guard case .dict(let dict) = value else {
            if case .undefined(let undefined) = value { throw undefined.error }
            throw TemplateError(.runtime, "'\(value.typeName)' object has no attribute 'items'")
        }
        let keys = dict.entries.map { folded(by == "key" ? $0.key : $0.value, given.isTrue(0)) }
        let pairs = TemplateDictView(dict, .items).values
        return try budget.list(
            TemplateComparison(budget).sorted(pairs, by: keys, descending: given.isTrue(2)))
    }

    private func groupedBy(
        _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let given = try TemplateFilter.groupby.bind(
            arguments, ["attribute", "default", "case_sensitive"], required: 1)
        let standard = given.isAbsent(1) ? nil : given[1]
        let attribute = given[0] ?? .none
        let unsorted = try items(of: value)
        let unsortedKeys = try keys(unsorted, attribute, isCaseSensitive: given.isTrue(2), standard: standard)
        let comparison = TemplateComparison(budget)
        let order = try comparison.sorted(unsorted.indices.map { .int($0) }, by: unsortedKeys).compactMap(
            \.index)
        var groups: [TemplateValue] = []
        var from = 0
        while from < order.count {
            let key = unsortedKeys[order[from]]
            var end = from + 1
            while end < order.count, try comparison.equal(unsortedKeys[order[end]], key) { end += 1 }
            let members = order[from..<end].map { unsorted[$0] }
            // The group is named as its first member spells it.
            let name = try self.value(at: try path(attribute), of: members[0], standard: standard)
            let pair = try budget.items([name, try budget.list(members)], isGroup: true)
            groups.append(.tuple(pair))
            from = end
        }
        return try budget.list(groups)
    }

    private func unique(
        _ value: TemplateValue, _ attribute: TemplateValue, isCaseSensitive: Bool
    ) throws(TemplateError) -> [TemplateValue] {
        let items = try items(of: value)
        let keys = try keys(items, attribute, isCaseSensitive: isCaseSensitive)
        var seen: Set<TemplateKey> = []
        var kept: [TemplateValue] = []
        for (item, key) in zip(items, keys) where seen.insert(try TemplateKey(key, budget)).inserted {
            kept.append(item)
        }
        return kept
    }

    private func sum(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        let given = try TemplateFilter.sum.bind(arguments, ["attribute", "start"])
        let path = given.isAbsent(0) ? [] : try path(given[0] ?? .none)
        var total = given[1] ?? .int(0)
        if case .text = total {
            throw TemplateError(.runtime, "sum() can't sum strings [use ''.join(seq) instead]")
        }
        for item in try items(of: value) {
            total = try calculate(total, .add, self.value(at: path, of: item))
        }
        return total
    }
}
