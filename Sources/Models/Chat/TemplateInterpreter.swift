/// Renders one template once: carries out its statements. Expressions are in `TemplateEvaluation`.
final class TemplateInterpreter {
    enum Flow { case next, leaveLoop, nextIteration }

    let scopes: TemplateScopes
    let variables: [TemplateText: TemplateValue]
    let budget: TemplateBudget
    let now: CalendarTime
    /// Of the statement or call being carried out, for errors.
    var line: Int?
    private var output = ""
    private var outputBytes = 0
    /// What may refer to itself; emptied at the end, so that nothing outlives the rendering.
    var namespaces: [TemplateNamespace] = []
    private var macros: [TemplateMacro] = []

    init(
        scopes: TemplateScopes, variables: [TemplateText: TemplateValue], budget: TemplateBudget,
        now: CalendarTime
    ) {
        self.scopes = scopes
        self.variables = variables
        self.budget = budget
        self.now = now
    }

    func render(_ body: [TemplateStatement]) throws(TemplateError) -> String {
        defer {
            for namespace in namespaces { namespace.attributes = TemplateDict() }
            for macro in macros { macro.scope = nil }
        }
        do {
            _ = try run(body, enter(0, inside: nil))
        } catch {
            throw TemplateError(error.kind, error.message, line: error.line ?? line)
        }
        return output
    }

    // MARK: - Output

    func write(_ text: String) throws(TemplateError) {
        try budget.charge(text.utf8.count)
        outputBytes += text.utf8.count
        guard outputBytes <= budget.limits.outputBytes else {
            throw TemplateError(.limit, "renders more than \(budget.limits.outputBytes) bytes")
        }
        output += text
    }

    /// What `body` writes, as a text.
    func capture(_ body: () throws(TemplateError) -> Void) throws(TemplateError) -> TemplateText {
        let outer = (output, outputBytes)
        (output, outputBytes) = ("", 0)
        defer { (output, outputBytes) = outer }
        try body()
        return TemplateText(output)
    }

    // MARK: - Scopes

    func enter(_ scope: Int, inside parent: TemplateScope?) throws(TemplateError) -> TemplateScope {
        let starts = scopes.layouts[scope].starts
        try budget.charge(values: starts.count)
        let inner = TemplateScope(parent: parent, count: starts.count)
        for (slot, start) in starts.enumerated() {
            switch start {
            case .variable(let name): inner.slots[slot] = variables[name]
            case .copy(let address): inner.slots[slot] = inner.outward(address.hops)?.slots[address.slot]
            case .missing, .parameter: break
            }
        }
        return inner
    }

    func value(of occurrence: Int, _ scope: TemplateScope) -> TemplateValue {
        let address = scopes.addresses[occurrence]
        if let value = scope.outward(address.hops)?.slots[address.slot] { return value }
        return .undefined(TemplateUndefined(name: scopes.name(occurrence)))
    }

    func set(_ occurrence: Int, _ value: TemplateValue?, _ scope: TemplateScope) {
        let address = scopes.addresses[occurrence]
        scope.outward(address.hops)?.slots[address.slot] = value
    }

    func assign(_ value: TemplateValue, to target: TemplateTarget, _ scope: TemplateScope)
        throws(TemplateError)
    {
        switch target {
        case .name(let occurrence): set(occurrence, value, scope)
        case .attribute(let occurrence, let name):
            let object = try namespace(occurrence, scope)
            try checkNamespaceName(name)
            try budget.charge(1)
            object.attributes.set(name, value)
        case .tuple(let targets):
            let values = try unpack(value, targets.count)
            for (target, value) in zip(targets, values) { try assign(value, to: target, scope) }
        }
    }

    private func namespace(
        _ occurrence: Int, _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateNamespace {
        guard case .namespace(let object) = value(of: occurrence, scope) else {
            throw TemplateError(.runtime, "cannot assign attribute on non-namespace object")
        }
        return object
    }

    func checkNamespaceName(_ name: TemplateText) throws(TemplateError) {
        guard name.hasPrefix("_") else { return }
        throw TemplateError(
            .security,
            "Chat templates cannot store underscore-prefixed attributes on a namespace, but got "
                + "\(TemplatePrinter.quoted(name)). Please rename the attribute.")
    }

    func unpack(_ value: TemplateValue, _ count: Int) throws(TemplateError) -> [TemplateValue] {
        guard isIterable(value) else {
            throw TemplateError(.runtime, "cannot unpack non-iterable \(value.typeName) object")
        }
        let iterator = try iterate(value)
        var values: [TemplateValue] = []
        while values.count < count {
            guard let next = try iterator.next() else {
                throw TemplateError(
                    .runtime, "not enough values to unpack (expected \(count), got \(values.count))")
            }
            values.append(next)
        }
        guard try iterator.next() == nil else {
            throw TemplateError(.runtime, "too many values to unpack (expected \(count))")
        }
        return values
    }

    // MARK: - Statements

    func run(_ body: [TemplateStatement], _ scope: TemplateScope) throws(TemplateError) -> Flow {
        try budget.enter()
        defer { budget.leave() }
        for statement in body {
            try budget.step()
            let flow = try run(statement, scope)
            if flow != .next { return flow }
        }
        return .next
    }

    private func run(_ statement: TemplateStatement, _ scope: TemplateScope) throws(TemplateError) -> Flow {
        switch statement {
        case .output(let parts): try runOutput(parts, scope)
        case .set(let target, let value, let line): try runSet(target, value, line, scope)
        case .setBlock(let target, let block, let line):
            self.line = line
            let (text, flow) = try filtered(block, scope)
            guard flow == .next else { return flow }
            try assign(text, to: target, scope)
        case .condition(let branches, let otherwise): return try runCondition(branches, otherwise, scope)
        case .loop(let loop): try runLoop(loop, scope)
        case .macro(let definition):
            if let name = definition.nameOccurrence { set(name, macro(definition, scope), scope) }
        case .call(let call, let caller): try runCall(call, caller, scope)
        case .filter(let block, let line):
            self.line = line
            let (text, flow) = try filtered(block, scope)
            guard flow == .next else { return flow }
            try write(TemplatePrinter.str(text, budget))
        case .generation(let block):
            try write(TemplatePrinter.str(try filtered(block, scope).text, budget))
        case .with(let with): return try runWith(with, scope)
        case .leaveLoop: return .leaveLoop
        case .nextIteration: return .nextIteration
        }
        return .next
    }

    private func runOutput(
        _ parts: [TemplateStatement.OutputPart], _ scope: TemplateScope
    ) throws(TemplateError) {
        for part in parts {
            switch part {
            case .text(let text): try write(text)
            case .expression(let expression, let line):
                self.line = line
                try write(TemplatePrinter.str(evaluate(expression, scope), budget))
            }
        }
    }

    private func runSet(
        _ target: TemplateTarget, _ value: TemplateExpression, _ line: Int, _ scope: TemplateScope
    ) throws(TemplateError) {
        self.line = line
        try checkNamespaces(target, scope)
        try assign(try evaluate(value, scope), to: target, scope)
    }

    /// Jinja looks at these before it computes the value.
    private func checkNamespaces(_ target: TemplateTarget, _ scope: TemplateScope) throws(TemplateError) {
        switch target {
        case .name: break
        case .attribute(let occurrence, _): _ = try namespace(occurrence, scope)
        case .tuple(let targets): for target in targets { try checkNamespaces(target, scope) }
        }
    }

    private func runCondition(
        _ branches: [TemplateStatement.ConditionBranch], _ otherwise: [TemplateStatement],
        _ scope: TemplateScope
    ) throws(TemplateError) -> Flow {
        for branch in branches {
            line = branch.line
            try budget.step()
            if try evaluate(branch.test, scope).isTrue { return try run(branch.body, scope) }
        }
        return try run(otherwise, scope)
    }

    private func runWith(_ with: WithStatement, _ scope: TemplateScope) throws(TemplateError) -> Flow {
        let inner = try enter(with.scope, inside: scope)
        for (target, value) in zip(with.targets, with.values) {
            try assign(try evaluate(value, scope), to: target, inner)
        }
        return try run(with.body, inner)
    }

    /// The text of a block, filtered; meaningless if the body left a loop.
    private func filtered(
        _ block: FilteredBlock, _ scope: TemplateScope
    ) throws(TemplateError) -> (text: TemplateValue, flow: Flow) {
        let inner = try enter(block.scope, inside: scope)
        var flow = Flow.next
        let text = try capture { () throws(TemplateError) in flow = try run(block.body, inner) }
        if flow != .next || block.filters.isEmpty { return (.text(text), flow) }
        return (try evaluate(block.filters, of: .text(text), inner), flow)
    }

    // MARK: - Macros

    func macro(_ definition: MacroDefinition, _ scope: TemplateScope) -> TemplateValue {
        let macro = TemplateMacro(definition, scope)
        macros.append(macro)
        return .macro(macro)
    }
}

/// The values of one scope's names.
final class TemplateScope {
    let parent: TemplateScope?
    /// By slot; nil while a name has no value.
    var slots: [TemplateValue?]

    init(parent: TemplateScope?, count: Int) {
        self.parent = parent
        slots = Array(repeating: nil, count: count)
    }

    func outward(_ hops: Int) -> TemplateScope? {
        var scope: TemplateScope? = self
        for _ in 0..<hops { scope = scope?.parent }
        return scope
    }
}
