/// Where each name of a template is found at run time.
///
/// Jinja decides this when it compiles: each loop body, macro, block set and so on is a scope; a name that a
/// scope assigns anywhere lives there and starts as a copy of the outer one; a name that no scope declares is
/// one of the variables of the rendering. Conditions are no scopes. The rules here are those of Jinja's
/// compiler, so that its corner cases agree (what a name is before its assignment, or after one in a branch
/// not taken).
struct TemplateScopes: Sendable {
    /// So many scopes outwards, at that place.
    struct Address: Sendable {
        let hops: Int
        let slot: Int
    }

    /// What a name holds when its scope is entered.
    enum Start: Sendable {
        /// The rendering's variable of this name.
        case variable(TemplateText)
        case copy(Address)
        case missing
        /// Set by whoever enters the scope.
        case parameter
    }

    struct Layout: Sendable {
        var starts: [Start] = []
    }

    /// By occurrence.
    private(set) var addresses: [Address]
    /// By scope; 0 is the template itself.
    private(set) var layouts: [Layout]
    private let names: [TemplateText]

    init(_ body: [TemplateStatement], names: [TemplateText], scopeCount: Int) {
        self.names = names
        addresses = Array(repeating: Address(hops: 0, slot: 0), count: names.count)
        layouts = Array(repeating: Layout(), count: scopeCount)
        let scope = TemplateSymbols(parent: nil)
        analyze(body, scope)
        place(body, scope)
        finish(0, scope)
    }

    func name(_ occurrence: Int) -> TemplateText { names[occurrence] }

    private mutating func finish(_ scope: Int, _ symbols: TemplateSymbols) {
        layouts[scope].starts = symbols.starts()
    }

    // MARK: - Analysis: which names a scope declares

    private func analyze(_ body: [TemplateStatement], _ symbols: TemplateSymbols) {
        for statement in body { analyze(statement, symbols) }
    }

    private func analyze(_ statement: TemplateStatement, _ symbols: TemplateSymbols) {
        switch statement {
        case .output(let parts):
            for case .expression(let expression, _) in parts { load(expression, symbols) }
        case .set(let target, let value, _):
            load(value, symbols)
            store(target, symbols)
        case .setBlock(let target, _, _): store(target, symbols)
        case .condition(let branches, let otherwise):
            // Jinja nests the second and later branches' tests in the analysis of the branches themselves.
            load(branches[0].test, symbols)
            let first = symbols.branch { analyze(branches[0].body, $0) }
            let others = symbols.branch { symbols in
                for branch in branches.dropFirst() {
                    load(branch.test, symbols)
                    symbols.merge([symbols.branch { analyze(branch.body, $0) }])
                }
            }
            symbols.merge([first, others, symbols.branch { analyze(otherwise, $0) }])
        case .loop(let loop): load(loop.iterable, symbols)
        case .macro(let macro): if let name = macro.name { symbols.store(name) }
        case .call(let call, _): load(call, symbols)
        case .filter(let block, _): load(block.filters, symbols)
        case .with(let with): for value in with.values { load(value, symbols) }
        case .generation, .leaveLoop, .nextIteration: break
        }
    }

    private func load(_ expression: TemplateExpression, _ symbols: TemplateSymbols) {
        expression.forEachName { symbols.load(names[$0]) }
    }

    private func load(_ postfixes: [TemplateExpression.Postfix], _ symbols: TemplateSymbols) {
        for postfix in postfixes { postfix.forEachName { symbols.load(names[$0]) } }
    }

    private func store(_ target: TemplateTarget, _ symbols: TemplateSymbols, isParameter: Bool = false) {
        switch target {
        case .name(let name) where isParameter: symbols.declare(names[name])
        case .name(let name): symbols.store(names[name])
        case .attribute(let name, _): symbols.load(names[name])
        case .tuple(let targets): for target in targets { store(target, symbols, isParameter: isParameter) }
        }
    }

    // MARK: - Placement: where each occurrence finds its name

    private mutating func place(_ body: [TemplateStatement], _ symbols: TemplateSymbols) {
        for statement in body { place(statement, symbols) }
    }

    private mutating func place(_ statement: TemplateStatement, _ symbols: TemplateSymbols) {
        switch statement {
        case .output(let parts):
            for case .expression(let expression, _) in parts { place(expression, symbols) }
        case .set(let target, let value, _):
            place(value, symbols)
            place(target, symbols)
        case .setBlock(let target, let block, _):
            place(block, symbols)
            place(target, symbols)
        case .condition(let branches, let otherwise):
            for branch in branches {
                place(branch.test, symbols)
                place(branch.body, symbols)
            }
            place(otherwise, symbols)
        case .loop(let loop): place(loop, symbols)
        case .macro(let macro): place(macro, symbols)
        case .call(let call, let caller):
            place(call, symbols)
            place(caller, symbols)
        case .filter(let block, _): place(block, symbols)
        case .with(let with):
            for value in with.values { place(value, symbols) }
            let inner = TemplateSymbols(parent: symbols)
            for target in with.targets { store(target, inner, isParameter: true) }
            analyze(with.body, inner)
            for target in with.targets { place(target, inner) }
            place(with.body, inner)
            finish(with.scope, inner)
        case .generation(let block): place(block, symbols)
        case .leaveLoop, .nextIteration: break
        }
    }

    private mutating func place(_ expression: TemplateExpression, _ symbols: TemplateSymbols) {
        expression.forEachName { place($0, symbols) }
    }

    private mutating func place(_ occurrence: Int, _ symbols: TemplateSymbols) {
        addresses[occurrence] = symbols.address(of: names[occurrence])
    }

    private mutating func place(_ target: TemplateTarget, _ symbols: TemplateSymbols) {
        switch target {
        case .name(let name), .attribute(let name, _): place(name, symbols)
        case .tuple(let targets): for target in targets { place(target, symbols) }
        }
    }

    private mutating func place(_ block: FilteredBlock, _ symbols: TemplateSymbols) {
        let inner = TemplateSymbols(parent: symbols)
        analyze(block.body, inner)
        load(block.filters, inner)
        place(block.body, inner)
        for filter in block.filters { filter.forEachName { place($0, inner) } }
        finish(block.scope, inner)
    }

    private mutating func place(_ loop: LoopStatement, _ symbols: TemplateSymbols) {
        place(loop.iterable, symbols)
        let body = TemplateSymbols(parent: symbols)
        body.declare("loop")
        store(loop.target, body, isParameter: true)
        analyze(loop.body, body)
        place(loop.target, body)
        place(loop.loopName, body)
        place(loop.body, body)
        finish(loop.bodyScope, body)

        let test = TemplateSymbols(parent: symbols)
        store(loop.testTarget, test, isParameter: true)
        if let condition = loop.test { load(condition, test) }
        place(loop.testTarget, test)
        if let condition = loop.test { place(condition, test) }
        finish(loop.testScope, test)

        let otherwise = TemplateSymbols(parent: symbols)
        analyze(loop.otherwise, otherwise)
        place(loop.otherwise, otherwise)
        finish(loop.otherwiseScope, otherwise)
    }

    private mutating func place(_ macro: MacroDefinition, _ symbols: TemplateSymbols) {
        if let occurrence = macro.nameOccurrence { place(occurrence, symbols) }
        let inner = TemplateSymbols(parent: symbols)
        for parameter in macro.parameters { inner.declare(names[parameter.occurrence]) }
        for parameter in macro.parameters {
            if let standard = parameter.standard { load(standard, inner) }
        }
        for occurrence in macro.special.all { inner.declare(names[occurrence]) }
        analyze(macro.body, inner)
        for parameter in macro.parameters {
            place(parameter.occurrence, inner)
            if let standard = parameter.standard { place(standard, inner) }
        }
        for occurrence in macro.special.all { place(occurrence, inner) }
        place(macro.body, inner)
        finish(macro.scope, inner)
    }
}
