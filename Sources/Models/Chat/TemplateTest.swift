/// Jinja's built-in tests, what stands after `is`
/// (https://jinja.palletsprojects.com/en/stable/templates/#builtin-tests).
enum TemplateTest: String, CaseIterable, Sendable {
    case boolean, callable, defined, divisibleby, eq, escaped, even, `false`, filter, float, ge, gt, `in`,
        integer
    case iterable, le, lower, lt, mapping, ne, none, number, odd, sameas, sequence, string, test, `true`,
        undefined, upper

    private static let byName: [TemplateText: TemplateTest] = {
        var names = Dictionary(uniqueKeysWithValues: allCases.map { (TemplateText($0.rawValue), $0) })
        let others: [(TemplateText, TemplateTest)] = [
            ("==", .eq), ("equalto", .eq), ("!=", .ne), (">", .gt), ("greaterthan", .gt), (">=", .ge),
            ("<", .lt),
            ("lessthan", .lt), ("<=", .le),
        ]
        for (name, test) in others { names[name] = test }
        return names
    }()

    init?(name: TemplateText) {
        guard let test = Self.byName[name] else { return nil }
        self = test
    }
}

extension TemplateInterpreter {
    func holds(
        _ test: TemplateTest, of value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> Bool {
        switch test {
        case .divisibleby, .eq, .ge, .gt, .in, .le, .lt, .ne, .sameas:
            let count = arguments.positional.count
            if count != 1, arguments.named.isEmpty, ![.divisibleby, .in, .sameas].contains(test) {
                throw TemplateError(.runtime, "\(test.rawValue) expected 2 arguments, got \(count + 1)")
            }
            let parameter: TemplateText = test == .divisibleby ? "num" : test == .in ? "seq" : "other"
            let given = try arguments.bind("test_\(test.rawValue)", [parameter], required: 1, offset: 1)
            return try holds(test, of: value, given[0] ?? .none)
        default:
            _ = try arguments.bind("test_\(test.rawValue)", [], offset: 1)
            return try holds(test, of: value)
        }
    }

    private func holds(
        _ test: TemplateTest, of value: TemplateValue, _ other: TemplateValue
    ) throws(TemplateError) -> Bool {
        let comparison = TemplateComparison(budget)
        switch test {
        case .divisibleby:
            return try comparison.equal(try calculate(value, .modulo, other), .int(0))
        case .eq: return try comparison.equal(value, other)
        case .ne: return try !comparison.equal(value, other)
        case .ge: return try comparison.holds(value, .greaterOrEqual, other)
        case .gt: return try comparison.holds(value, .greater, other)
        case .le: return try comparison.holds(value, .lessOrEqual, other)
        case .lt: return try comparison.holds(value, .less, other)
        case .in: return try comparison.contains(other, value)
        default: return try isSame(value, other)
        }
    }

    /// Python's `is`. Equal numbers of one type and equal texts count as one object, as CPython's small ones
    /// are.
    private func isSame(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateError) -> Bool {
        switch (a, b) {
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): return a === b
        case (.dict(let a), .dict(let b)): return a === b
        case (.undefined(let a), .undefined(let b)): return a === b
        default:
            guard a.typeName == b.typeName else { return false }
            return try TemplateComparison(budget).equal(a, b)
        }
    }

    private func holds(_ test: TemplateTest, of value: TemplateValue) throws(TemplateError) -> Bool {
        switch (test, value) {
        case (.undefined, .undefined), (.none, .none), (.boolean, .bool), (.true, .bool(true)),
            (.false, .bool(false)), (.integer, .int), (.float, .float), (.number, .int), (.number, .float),
            (.number, .bool), (.string, .text), (.mapping, .dict):
            return true
        case (.defined, _):
            if case .undefined = value { return false }
            return true
        case (.iterable, _): return isIterable(value)
        case (.sequence, .text), (.sequence, .list), (.sequence, .tuple), (.sequence, .dict),
            (.sequence, .range),
            (.sequence, .undefined):
            return true
        case (.callable, .macro), (.callable, .function), (.callable, .method), (.callable, .loop),
            (.callable, .undefined):
            return true
        case (.callable, .cycle(let cycle)): return cycle.isJoiner
        case (.escaped, .text(let text)): return text.isMarkup
        case (.odd, _), (.even, _):
            let remainder = try calculate(value, .modulo, .int(2))
            return try TemplateComparison(budget).equal(remainder, .int(test == .odd ? 1 : 0))
        case (.lower, _), (.upper, _):
            let text = TemplateText(try TemplatePrinter.str(value, budget))
            return test == .lower ? text.isLower : text.isUpper
        case (.filter, .text(let name)): return TemplateFilter.exists(name)
        case (.test, .text(let name)): return TemplateTest(name: name) != nil
        default: return false
        }
    }
}
