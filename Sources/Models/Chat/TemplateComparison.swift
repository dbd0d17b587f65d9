/// Python's `==`, `<` and `in`.
struct TemplateComparison {
    let budget: TemplateBudget

    init(_ budget: TemplateBudget) { self.budget = budget }

    func equal(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateError) -> Bool {
        try budget.charge(values: 1)
        switch (a, b) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.text(let a), .text(let b)):
            guard a.byteCount == b.byteCount else { return false }
            try budget.charge(a.byteCount)
            return a == b
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            if a === b { return true }
            guard a.values.count == b.values.count else { return false }
            for (x, y) in zip(a.values, b.values) where try !equal(x, y) { return false }
            return true
        case (.dict(let a), .dict(let b)): return try equal(a, b)
        case (.range(let a), .range(let b)):
            return a.count == b.count && (a.count == 0 || a.start == b.start)
                && (a.count <= 1 || a.step == b.step)
        case (.namespace(let a), .namespace(let b)): return a === b
        case (.loop(let a), .loop(let b)): return a === b
        case (.macro(let a), .macro(let b)): return a === b
        case (.iterator(let a), .iterator(let b)): return a === b
        case (.cycle(let a), .cycle(let b)): return a === b
        case (.function(let a), .function(let b)): return a == b
        case (.view(let a), .view(let b)):
            guard a.kind == b.kind, a.kind != .values, a.dict.count == b.dict.count else { return a === b }
            return a.kind == .items ? try equal(a.dict, b.dict) : try hasSameKeys(a.dict, b.dict)
        default: return order(a, b) == .equal
        }
    }

    private func equal(_ a: TemplateDict, _ b: TemplateDict) throws(TemplateError) -> Bool {
        if a === b { return true }
        guard a.count == b.count else { return false }
        for entry in a.entries {
            guard let other = b.value(try TemplateKey(entry.key, budget)), try equal(entry.value, other)
            else {
                return false
            }
        }
        return true
    }

    private func hasSameKeys(_ a: TemplateDict, _ b: TemplateDict) throws(TemplateError) -> Bool {
        for entry in a.entries where b.value(try TemplateKey(entry.key, budget)) == nil { return false }
        return true
    }

    private enum NumberOrder { case less, equal, greater, unordered }

    /// Of two numbers; nil for other values.
    private func order(_ a: TemplateValue, _ b: TemplateValue) -> NumberOrder? {
        if let x = a.index, let y = b.index { return x < y ? .less : x == y ? .equal : .greater }
        guard let x = a.number, let y = b.number else { return nil }
        if case .float = a, let whole = b.index, let exact = Int(exactly: x) {
            return exact < whole ? .less : exact == whole ? .equal : .greater
        }
        if case .float = b, let whole = a.index, let exact = Int(exactly: y) {
            return whole < exact ? .less : whole == exact ? .equal : .greater
        }
        return x < y ? .less : x == y ? .equal : x > y ? .greater : .unordered
    }

    enum Operator: String {
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
    }

    func holds(
        _ a: TemplateValue, _ comparison: Operator, _ b: TemplateValue
    ) throws(TemplateError) -> Bool {
        try budget.charge(values: 1)
        if let order = order(a, b) {
            return switch comparison {
            case .less: order == .less
            case .lessOrEqual: order == .less || order == .equal
            case .greater: order == .greater
            case .greaterOrEqual: order == .greater || order == .equal
            }
        }
        switch (a, b) {
        case (.undefined(let undefined), _), (_, .undefined(let undefined)): throw undefined.error
        case (.text(let a), .text(let b)):
            try budget.charge(min(a.byteCount, b.byteCount))
            return switch comparison {
            case .less: a < b
            case .lessOrEqual: !(b < a)
            case .greater: b < a
            case .greaterOrEqual: !(a < b)
            }
        case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
            for (p, q) in zip(x.values, y.values) where try !equal(p, q) {
                return try holds(p, comparison, q)
            }
            return try holds(.int(x.values.count), comparison, .int(y.values.count))
        default:
            throw TemplateError(
                .runtime,
                "'\(comparison.rawValue)' not supported between instances of "
                    + "'\(a.typeName)' and '\(b.typeName)'")
        }
    }

    func contains(_ container: TemplateValue, _ item: TemplateValue) throws(TemplateError) -> Bool {
        try budget.charge(for: container)
        switch container {
        case .text(let text):
            guard case .text(let part) = item else {
                throw TemplateError(
                    .runtime, "'in <string>' requires string as left operand, not \(item.typeName)")
            }
            try budget.charge(part.byteCount * 8)
            return text.contains(part)
        case .list(let items), .tuple(let items):
            for value in items.values where try equal(value, item) { return true }
            return false
        case .dict(let dict): return dict.value(try TemplateKey(item, budget)) != nil
        case .range(let range):
            return item.number.flatMap { Int(exactly: $0) }.map(range.contains) ?? false
        case .view(let view) where view.kind == .keys:
            return view.dict.value(try TemplateKey(item, budget)) != nil
        case .view(let view):
            for value in view.values where try equal(value, item) { return true }
            return false
        case .iterator(let iterator):
            while let value = try iterator.next() {
                if try equal(value, item) { return true }
            }
            return false
        case .undefined: return false
        default:
            throw TemplateError(.runtime, "argument of type '\(container.typeName)' is not iterable")
        }
    }

    /// Python's stable `sorted` by keys already made.
    func sorted(
        _ values: [TemplateValue], by keys: [TemplateValue], descending: Bool = false
    ) throws(TemplateError) -> [TemplateValue] {
        var order = Array(values.indices)
        // Reversing before and after keeps equal items in their order, as Python does.
        if descending { order.reverse() }
        order = try mergeSorted(order[...]) { (a, b) throws(TemplateError) in
            try holds(keys[a], .less, keys[b])
        }
        if descending { order.reverse() }
        return order.map { values[$0] }
    }

    private func mergeSorted(
        _ order: ArraySlice<Int>, _ precedes: (Int, Int) throws(TemplateError) -> Bool
    ) throws(TemplateError) -> [Int] {
        guard order.count > 1 else { return Array(order) }
        let middle = order.startIndex + order.count / 2
        let left = try mergeSorted(order[..<middle], precedes)
        let right = try mergeSorted(order[middle...], precedes)
        try budget.charge(order.count * 8)
        var merged: [Int] = []
        merged.reserveCapacity(order.count)
        var l = 0
        var r = 0
        while l < left.count, r < right.count {
            if try precedes(right[r], left[l]) {
                merged.append(right[r])
                r += 1
            } else {
                merged.append(left[l])
                l += 1
            }
        }
        return merged + left[l...] + right[r...]
    }
}

extension TemplateValue {
    /// A number or boolean; nil for other values.
    var number: Double? {
        switch self {
        case .float(let value): value
        default: index.map(Double.init)
        }
    }
}
