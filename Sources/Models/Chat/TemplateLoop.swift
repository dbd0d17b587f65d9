/// The `loop` of a `for`: hands out the items and knows where it is. Like Jinja's, it looks one item ahead
/// only when asked, so that a loop's own condition sees what the body did.
final class TemplateLoop {
    /// Gives the next item; dropped when the loop ends, so that a kept `loop` keeps nothing alive.
    private var pull: (() throws(TemplateError) -> TemplateValue?)?
    /// How many items there are, where that is known without asking for them.
    private var knownCount: Int?
    private var ahead: ArraySlice<TemplateValue> = []
    private var current: TemplateValue?
    private var previous: TemplateValue?
    private var lastChanged: [TemplateValue]?
    private(set) var index0 = -1
    let depth0: Int
    /// Renders the body for inner items; nil unless the loop is recursive.
    private(set) var recurse: ((TemplateValue) throws(TemplateError) -> TemplateValue)?

    init(
        count: Int?, depth0: Int, recurse: ((TemplateValue) throws(TemplateError) -> TemplateValue)?,
        pull: @escaping () throws(TemplateError) -> TemplateValue?
    ) {
        self.pull = pull
        knownCount = count
        self.depth0 = depth0
        self.recurse = recurse
    }

    func advance() throws(TemplateError) -> TemplateValue? {
        guard let next = try ahead.isEmpty ? pull?() : ahead.removeFirst() else { return nil }
        index0 += 1
        previous = current
        current = next
        return next
    }

    func finish() {
        pull = nil
        recurse = nil
        ahead = []
        current = nil
        previous = nil
        lastChanged = nil
    }

    private func peek() throws(TemplateError) -> TemplateValue? {
        if ahead.isEmpty, let next = try pull?() { ahead.append(next) }
        return ahead.first
    }

    private func length() throws(TemplateError) -> Int {
        if let knownCount { return knownCount }
        while let next = try pull?() { ahead.append(next) }
        let count = index0 + 1 + ahead.count
        knownCount = count
        return count
    }

    /// As far as it is known without asking for items.
    func count() -> Int { knownCount ?? index0 + 1 + ahead.count }
    var isKnownNotEmpty: Bool { count() > 0 }

    func attribute(_ name: TemplateText) throws(TemplateError) -> TemplateValue? {
        switch name {
        case "index": return .int(index0 + 1)
        case "index0": return .int(index0)
        case "revindex": return .int(try length() - index0)
        case "revindex0": return .int(try length() - index0 - 1)
        case "first": return .bool(index0 == 0)
        case "last": return .bool(try peek() == nil)
        case "length": return .int(try length())
        case "depth": return .int(depth0 + 1)
        case "depth0": return .int(depth0)
        case "previtem":
            let none = TemplateUndefined("there is no previous item")
            return index0 > 0 ? previous ?? .undefined(none) : .undefined(none)
        case "nextitem": return try peek() ?? .undefined(TemplateUndefined("there is no next item"))
        case "cycle", "changed": return .method(TemplateMethod(.loop(self), name))
        default: return nil
        }
    }

    func call(
        _ name: TemplateText, _ arguments: TemplateArguments, _ comparison: TemplateComparison
    ) throws(TemplateError) -> TemplateValue {
        let values = arguments.positional
        if name == "cycle" {
            guard !values.isEmpty else { throw TemplateError(.runtime, "no items for cycling given") }
            return values[max(index0, 0) % values.count]
        }
        if let lastChanged, lastChanged.count == values.count {
            var isSame = true
            for (a, b) in zip(lastChanged, values) where try !comparison.equal(a, b) { isSame = false }
            if isSame { return .bool(false) }
        }
        lastChanged = values
        return .bool(true)
    }
}

extension TemplateInterpreter {
    func runLoop(_ loop: LoopStatement, _ scope: TemplateScope) throws(TemplateError) {
        line = loop.line
        try runLoop(loop, over: try evaluate(loop.iterable, scope), scope, depth0: 0)
    }

    private func runLoop(
        _ statement: LoopStatement, over iterable: TemplateValue, _ scope: TemplateScope, depth0: Int
    ) throws(TemplateError) {
        let loop = try makeLoop(statement, over: iterable, scope, depth0: depth0)
        defer { loop.finish() }
        // As in Jinja, only an iteration that reached its end keeps the `else` away.
        var hasCompleted = false
        iterations: while let item = try loop.advance() {
            try budget.step()
            let inner = try enter(statement.bodyScope, inside: scope)
            try assign(item, to: statement.target, inner)
            set(statement.loopName, .loop(loop), inner)
            switch try run(statement.body, inner) {
            case .next: hasCompleted = true
            case .nextIteration: break
            case .leaveLoop: break iterations
            }
            line = statement.line
        }
        if !hasCompleted, !statement.otherwise.isEmpty {
            _ = try run(statement.otherwise, try enter(statement.otherwiseScope, inside: scope))
        }
    }

    private func makeLoop(
        _ statement: LoopStatement, over iterable: TemplateValue, _ scope: TemplateScope, depth0: Int
    ) throws(TemplateError) -> TemplateLoop {
        var recurse: ((TemplateValue) throws(TemplateError) -> TemplateValue)?
        if statement.isRecursive {
            recurse = { (inner) throws(TemplateError) in
                .text(
                    try self.capture { () throws(TemplateError) in
                        try self.runLoop(statement, over: inner, scope, depth0: depth0 + 1)
                    })
            }
        }
        let items = try iterate(iterable)
        guard let test = statement.test else {
            return TemplateLoop(count: try? length(iterable), depth0: depth0, recurse: recurse) {
                () throws(TemplateError) in try items.next()
            }
        }
        let testScope = try enter(statement.testScope, inside: scope)
        return TemplateLoop(count: nil, depth0: depth0, recurse: recurse) { () throws(TemplateError) in
            while let item = try items.next() {
                try self.budget.step()
                try self.assign(item, to: statement.testTarget, testScope)
                if try self.evaluate(test, testScope).isTrue { return item }
            }
            return nil
        }
    }
}
