/// Counts what one rendering costs, and ends it when it costs too much.
final class TemplateBudget {
    let limits: TemplateLimits
    private var steps: Int
    private var workBytes: Int
    private var depth = 0

    init(_ limits: TemplateLimits) {
        self.limits = limits
        steps = limits.steps
        workBytes = limits.workBytes
    }

    func allow(inputBytes: Int) { workBytes += inputBytes * limits.workBytesForEachInputByte }

    /// One statement or expression.
    func step() throws(TemplateError) {
        steps -= 1
        if steps < 0 { throw TemplateError(.limit, "takes more than \(limits.steps) steps") }
    }

    /// Work on so many bytes: before it is done, so that its memory is bounded too.
    func charge(_ bytes: Int) throws(TemplateError) {
        workBytes -= min(max(bytes, 0), workBytes + 1)
        if workBytes < 0 { throw TemplateError(.limit, "works on more than \(limits.workBytes) bytes") }
    }

    /// Work on `count` things of `bytes` each.
    func charge(_ count: Int, of bytes: Int) throws(TemplateError) {
        let (total, overflow) = max(count, 0).multipliedReportingOverflow(by: bytes)
        try charge(overflow ? .max : total)
    }

    /// Work on so many values.
    func charge(values: Int) throws(TemplateError) { try charge(values, of: 32) }

    /// Pairs with `leave`.
    func enter() throws(TemplateError) {
        depth += 1
        if depth > limits.evaluationDepth {
            throw TemplateError(.limit, "nests deeper than \(limits.evaluationDepth) at run time")
        }
    }

    func leave() { depth -= 1 }
}

extension TemplateBudget {
    /// Looking at all of a value, but not at what its items contain.
    func charge(for value: TemplateValue) throws(TemplateError) {
        switch value {
        case .text(let text): try charge(text.byteCount)
        case .list(let items), .tuple(let items): try charge(items.values.count)
        case .dict(let dict): try charge(dict.count)
        case .view(let view): try charge(values: view.dict.count)
        case .range(let range): try charge(values: range.count)
        default: try charge(values: 1)
        }
    }

    /// A new list, charged for and not nested too deep.
    func list(_ values: [TemplateValue]) throws(TemplateError) -> TemplateValue { .list(try items(values)) }

    func tuple(_ values: [TemplateValue]) throws(TemplateError) -> TemplateValue { .tuple(try items(values)) }

    func items(_ values: [TemplateValue], isGroup: Bool = false) throws(TemplateError) -> TemplateItems {
        try charge(values: values.count)
        let items = TemplateItems(values, isGroup: isGroup)
        try check(depth: items.depth)
        return items
    }

    func dict(_ dict: TemplateDict) throws(TemplateError) -> TemplateValue {
        try charge(values: dict.count)
        try check(depth: dict.depth)
        return .dict(dict)
    }

    func iterator(
        _ values: [TemplateValue], typeName: String = "generator", failure: TemplateError? = nil
    ) throws(TemplateError) -> TemplateValue {
        try charge(values: values.count)
        let iterator = TemplateIterator(values, typeName: typeName, failure: failure)
        try check(depth: iterator.depth)
        return .iterator(iterator)
    }

    private func check(depth: Int) throws(TemplateError) {
        if depth > limits.expressionDepth {
            throw TemplateError(.limit, "nests values deeper than \(limits.expressionDepth)")
        }
    }
}
