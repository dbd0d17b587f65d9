/// What a call in a template passes.
struct TemplateArguments {
    var positional: [TemplateValue] = []
    var named: [(name: TemplateText, value: TemplateValue)] = []

    /// Matches them to the parameters of `function` as Python does; nil where an optional one is not given.
    /// - Parameters:
    ///   - offset: how many arguments Python counts that are not in `positional` (a filter's value).
    func bind(
        _ function: String, _ parameters: [TemplateText], required: Int = 0, offset: Int = 0
    ) throws(TemplateError) -> BoundTemplateArguments {
        guard positional.count <= parameters.count else {
            let range =
                required == parameters.count
                ? "\(parameters.count + offset)" : "from \(required + offset) to \(parameters.count + offset)"
            let noun =
                required == parameters.count && parameters.count + offset == 1 ? "argument" : "arguments"
            let given = positional.count + offset
            throw TemplateError(
                .runtime,
                "\(function)() takes \(range) positional \(noun) but \(given) \(given == 1 ? "was" : "were") given"
            )
        }
        var values: [TemplateValue?] = positional
        values += [TemplateValue?](repeating: nil, count: parameters.count - positional.count)
        for (name, value) in named {
            guard let at = parameters.firstIndex(of: name) else {
                throw TemplateError(
                    .runtime,
                    "\(function)() got an unexpected keyword argument \(TemplatePrinter.quoted(name))")
            }
            if values[at] != nil {
                throw TemplateError(
                    .runtime,
                    "\(function)() got multiple values for argument \(TemplatePrinter.quoted(name))")
            }
            values[at] = value
        }
        let missing = parameters.prefix(required).enumerated().filter { values[$0.offset] == nil }
        if !missing.isEmpty {
            let names = missing.map { TemplatePrinter.quoted($0.element) }.joined(separator: " and ")
            throw TemplateError(
                .runtime,
                "\(function)() missing \(missing.count) required positional "
                    + "argument\(missing.count == 1 ? "" : "s"): \(names)")
        }
        return BoundTemplateArguments(function: function, values: values)
    }

    /// A named argument, taken out.
    mutating func take(_ name: TemplateText) -> TemplateValue? {
        named.firstIndex { $0.name == name }.map { named.remove(at: $0).value }
    }
}

/// Arguments in the order of a function's parameters.
struct BoundTemplateArguments {
    let function: String
    let values: [TemplateValue?]

    subscript(_ at: Int) -> TemplateValue? { values[at] }

    func isTrue(_ at: Int) -> Bool { values[at]?.isTrue ?? false }

    /// Not given or `none`.
    func isAbsent(_ at: Int) -> Bool {
        if case .none?? = values[at].map(Optional.some) { return true }
        return values[at] == nil
    }

    func int(_ at: Int) throws(TemplateError) -> Int? {
        guard let value = values[at] else { return nil }
        guard let index = value.index else {
            throw TemplateError(
                .runtime, "'\(value.typeName)' object cannot be interpreted as an integer")
        }
        return index
    }

    func text(_ at: Int) throws(TemplateError) -> TemplateText? {
        guard let value = values[at] else { return nil }
        guard case .text(let text) = value else {
            throw TemplateError(.runtime, "\(function)() argument must be str, not \(value.typeName)")
        }
        return text
    }
}
