/// Jinja's built-in filters (https://jinja.palletsprojects.com/en/stable/templates/#builtin-filters), with
/// transformers' `tojson` in place of Jinja's.
enum TemplateFilter: String, CaseIterable, Sendable {
    case abs, attr, batch, capitalize, center, `default`, dictsort, escape, filesizeformat, first, float,
        forceescape
    case format, groupby, indent, int, items, join, last, length, list, lower, map, max, min, reject,
        rejectattr, replace
    case reverse, round, safe, select, selectattr, slice, sort, string, sum, title, tojson, trim, truncate,
        unique, upper
    case urlencode, wordcount

    private static let byName: [TemplateText: TemplateFilter] = {
        var names = Dictionary(uniqueKeysWithValues: allCases.map { (TemplateText($0.rawValue), $0) })
        names["count"] = .length
        names["d"] = .default
        names["e"] = .escape
        return names
    }()

    /// Those that Jinja has and this interpreter has not.
    static let unsupported: Set<TemplateText> = [
        "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr",
    ]

    init?(name: TemplateText) {
        guard let filter = Self.byName[name] else { return nil }
        self = filter
    }

    /// How many arguments Python counts before those in the parentheses, and what it calls the function, for
    /// its messages.
    private var signature: (name: String, offset: Int) {
        switch self {
        case .abs, .tojson: (rawValue, 1)
        case .length: ("len", 1)
        case .list, .slice: ("sync_do_\(rawValue)", 1)
        case .first, .groupby, .join, .sum, .unique: ("sync_do_\(rawValue)", 2)
        case .attr, .last, .max, .min, .replace, .sort, .truncate: ("do_\(rawValue)", 2)
        default: ("do_\(rawValue)", 1)
        }
    }

    func bind(
        _ arguments: TemplateArguments, _ parameters: [TemplateText] = [], required: Int = 0
    ) throws(TemplateError) -> BoundTemplateArguments {
        try arguments.bind(signature.name, parameters, required: required, offset: signature.offset)
    }

    static func exists(_ name: TemplateText) -> Bool { byName[name] != nil || unsupported.contains(name) }
}

extension TemplateInterpreter {
    func apply(
        _ filter: TemplateFilter, to value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        try budget.enter()
        defer { budget.leave() }
        try budget.charge(for: value)
        switch filter {
        case .capitalize, .center, .escape, .forceescape, .format, .indent, .lower, .replace, .safe, .string,
            .title,
            .trim, .truncate, .upper, .urlencode, .wordcount, .tojson:
            return try applyToText(filter, value, arguments)
        case .abs, .filesizeformat, .float, .int, .round:
            return try applyToNumber(filter, value, arguments)
        case .map, .select, .reject, .selectattr, .rejectattr:
            return try applyToEach(filter, value, arguments)
        case .dictsort, .groupby, .max, .min, .sort, .sum, .unique:
            return try applyByKey(filter, value, arguments)
        case .attr, .batch, .default, .first, .items, .join, .last, .length, .list, .reverse, .slice:
            return try applyToSequence(filter, value, arguments)
        }
    }

    /// A filter named at run time, as `map` does.
    private func apply(
        filterNamed name: TemplateValue, to value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        if case .text(let text) = name, let filter = TemplateFilter(name: text) {
            return try apply(filter, to: value, arguments)
        }
        throw try notFound("filter", name, isUnsupported: TemplateFilter.unsupported.contains)
    }

    private func holds(
        testNamed name: TemplateValue, of value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> Bool {
        if case .text(let text) = name, let test = TemplateTest(name: text) {
            return try holds(test, of: value, arguments)
        }
        throw try notFound("test", name) { _ in false }
    }

    private func notFound(
        _ kind: String, _ name: TemplateValue, isUnsupported: (TemplateText) -> Bool
    ) throws(TemplateError) -> TemplateError {
        if case .text(let text) = name, isUnsupported(text) {
            return TemplateError(.unsupported, "the \(kind) '\(text.string)' is not supported")
        }
        var message = "No \(kind) named \(try TemplatePrinter.repr(name, budget))."
        if case .undefined(let undefined) = name {
            message += " (\(undefined.message); did you forget to quote the callable name?)"
        }
        return TemplateError(.runtime, message)
    }

    // MARK: - Filters that apply others to each item

    private func applyToEach(
        _ filter: TemplateFilter, _ value: TemplateValue, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        var results: [TemplateValue] = []
        var failure: TemplateError?
        // As in `lazily`, but what comes before the failure can still be had.
        do {
            if value.isTrue {
                let change = try filter == .map ? mapping(arguments) : selection(filter, arguments)
                let items = try iterate(value)
                while let item = try items.next() {
                    try budget.step()
                    if let result = try change(item) { results.append(result) }
                }
            }
        } catch {
            if error.kind == .limit { throw error }
            failure = error
        }
        return try budget.iterator(results, failure: failure)
    }

    private typealias Change = (TemplateValue) throws(TemplateError) -> TemplateValue?

    private func mapping(_ given: TemplateArguments) throws(TemplateError) -> Change {
        var arguments = given
        if arguments.positional.isEmpty, let attribute = arguments.take("attribute") {
            let standard = arguments.take("default")
            if let (name, _) = arguments.named.first {
                throw TemplateError(
                    .runtime, "Unexpected keyword argument \(TemplatePrinter.quoted(name))")
            }
            let path = try path(attribute)
            return { (item) throws(TemplateError) in try self.value(at: path, of: item, standard: standard) }
        }
        guard !arguments.positional.isEmpty else {
            throw TemplateError(.runtime, "map requires a filter argument")
        }
        let name = arguments.positional.removeFirst()
        return { (item) throws(TemplateError) in
            try self.apply(filterNamed: name, to: item, arguments)
        }
    }

    private func selection(
        _ filter: TemplateFilter, _ given: TemplateArguments
    ) throws(TemplateError) -> Change {
        var arguments = given
        var path: [TemplateValue] = []
        if filter == .selectattr || filter == .rejectattr {
            guard !arguments.positional.isEmpty else {
                throw TemplateError(.runtime, "Missing parameter for attribute name")
            }
            path = try self.path(arguments.positional.removeFirst())
        }
        let wanted = filter == .select || filter == .selectattr
        let name = arguments.positional.isEmpty ? nil : arguments.positional.removeFirst()
        return { (item) throws(TemplateError) in
            let value = try self.value(at: path, of: item)
            let holds = try name.map { (name) throws(TemplateError) in
                try self.holds(testNamed: name, of: value, arguments)
            }
            return (holds ?? value.isTrue) == wanted ? item : nil
        }
    }

    // MARK: - Attributes by path

    /// The parts of `"a.b.0"`, digits as numbers.
    func path(_ attribute: TemplateValue) throws(TemplateError) -> [TemplateValue] {
        switch attribute {
        case .none: return []
        case .text(let text):
            return text.split(by: ".").map { part in
                let isNumber = !part.isEmpty && part.string.unicodeScalars.allSatisfy(\.isASCIIDigit)
                return isNumber ? Int(part.string).map(TemplateValue.int) ?? .text(part) : .text(part)
            }
        default: return [attribute]
        }
    }

    func value(
        at path: [TemplateValue], of item: TemplateValue, standard: TemplateValue? = nil
    ) throws(TemplateError) -> TemplateValue {
        var value = item
        for part in path {
            value = try self.item(part, of: value)
            if let standard, case .undefined = value {
                if case .none = standard { continue }
                value = standard
            }
        }
        return value
    }
}
