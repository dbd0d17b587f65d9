// Expressions.
extension TemplateInterpreter {
    func evaluate(_ expression: TemplateExpression, _ scope: TemplateScope) throws(TemplateError)
        -> TemplateValue
    {
        try budget.step()
        switch expression {
        case .constant(let constant): return value(of: constant)
        case .name(let occurrence): return lookUp(occurrence, scope)
        default: break
        }
        try budget.enter()
        defer { budget.leave() }
        switch expression {
        case .constant(let constant): return value(of: constant)
        case .name(let occurrence): return lookUp(occurrence, scope)
        case .list(let items): return try budget.list(evaluate(items, scope))
        case .tuple(let items): return try budget.tuple(evaluate(items, scope))
        case .dict(let entries): return try evaluateDict(entries, scope)
        case .chain(let base, let postfixes): return try evaluate(postfixes, of: evaluate(base, scope), scope)
        case .not(let operand): return .bool(try !evaluate(operand, scope).isTrue)
        case .negative(let operand): return try negative(evaluate(operand, scope))
        case .positive(let operand): return try positive(evaluate(operand, scope))
        case .all(let operands): return try evaluateJoined(operands, untilTrue: false, scope)
        case .any(let operands): return try evaluateJoined(operands, untilTrue: true, scope)
        case .comparison(let first, let rest): return try evaluateComparison(first, rest, scope)
        case .arithmetic(let first, let rest): return try evaluateArithmetic(first, rest, scope)
        case .concatenation(let parts): return try evaluateConcatenation(parts, scope)
        case .conditional(let test, let value, let otherwise, let line):
            return try evaluateConditional(test, value, otherwise, line, scope)
        }
    }

    private func value(of constant: TemplateExpression.Constant) -> TemplateValue {
        switch constant {
        case .none: .none
        case .bool(let value): .bool(value)
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        case .text(let text): .text(text)
        }
    }

    private func lookUp(_ occurrence: Int, _ scope: TemplateScope) -> TemplateValue {
        value(of: occurrence, scope)
    }

    private func evaluate(
        _ items: [TemplateExpression], _ scope: TemplateScope
    ) throws(TemplateError) -> [TemplateValue] {
        var values: [TemplateValue] = []
        values.reserveCapacity(items.count)
        for item in items { values.append(try evaluate(item, scope)) }
        return values
    }

    private func evaluateDict(
        _ entries: [(key: TemplateExpression, value: TemplateExpression)], _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        let dict = TemplateDict()
        for (key, value) in entries {
            try dict.set(try evaluate(key, scope), try evaluate(value, scope), budget)
        }
        return try budget.dict(dict)
    }

    private func evaluateJoined(
        _ operands: [TemplateExpression], untilTrue: Bool, _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        var value = TemplateValue.none
        for operand in operands {
            value = try evaluate(operand, scope)
            if value.isTrue == untilTrue { break }
        }
        return value
    }

    private func evaluateComparison(
        _ first: TemplateExpression, _ rest: [(TemplateExpression.Comparison, TemplateExpression)],
        _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        var left = try evaluate(first, scope)
        for (comparison, operand) in rest {
            let right = try evaluate(operand, scope)
            guard try holds(left, comparison, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    private func holds(
        _ left: TemplateValue, _ comparison: TemplateExpression.Comparison, _ right: TemplateValue
    ) throws(TemplateError) -> Bool {
        let compare = TemplateComparison(budget)
        return switch comparison {
        case .equal: try compare.equal(left, right)
        case .notEqual: try !compare.equal(left, right)
        case .less: try compare.holds(left, .less, right)
        case .lessOrEqual: try compare.holds(left, .lessOrEqual, right)
        case .greater: try compare.holds(left, .greater, right)
        case .greaterOrEqual: try compare.holds(left, .greaterOrEqual, right)
        case .isIn: try compare.contains(right, left)
        case .isNotIn: try !compare.contains(right, left)
        }
    }

    private func evaluateArithmetic(
        _ first: TemplateExpression, _ rest: [(TemplateExpression.Arithmetic, TemplateExpression)],
        _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        var value = try evaluate(first, scope)
        for (operation, operand) in rest {
            try budget.step()
            value = try calculate(value, operation, try evaluate(operand, scope))
        }
        return value
    }

    private func evaluateConcatenation(
        _ parts: [TemplateExpression], _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        var text = ""
        for part in parts {
            let string = try TemplatePrinter.str(evaluate(part, scope), budget)
            try budget.charge(string.utf8.count)
            text += string
        }
        return .text(text)
    }

    private func evaluateConditional(
        _ test: TemplateExpression, _ value: TemplateExpression, _ otherwise: TemplateExpression?,
        _ line: Int,
        _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        if try evaluate(test, scope).isTrue { return try evaluate(value, scope) }
        if let otherwise { return try evaluate(otherwise, scope) }
        return .undefined(
            TemplateUndefined(
                "the inline if-expression on line \(line) evaluated to false and no else section was defined."
            ))
    }

    // MARK: - What follows a value

    func evaluate(
        _ postfixes: [TemplateExpression.Postfix], of base: TemplateValue, _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        var value = base
        for postfix in postfixes {
            try budget.step()
            value = try evaluate(postfix, of: value, scope)
        }
        return value
    }

    private func evaluate(
        _ postfix: TemplateExpression.Postfix, of value: TemplateValue, _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateValue {
        switch postfix {
        case .attribute(let name): return try attribute(name, of: value)
        case .item(let key): return try item(try evaluate(key, scope), of: value)
        case .slice(let start, let end, let step):
            let bounds = try evaluate([start, end, step].map { $0 ?? .constant(.none) }, scope)
            return try slice(value, bounds[0], bounds[1], bounds[2])
        case .call(let given, let line):
            let arguments = try evaluate(given, scope)
            self.line = line
            return try call(value, arguments)
        case .filter(.known(let filter), let given, let line):
            let arguments = try evaluate(given, scope)
            self.line = line
            return try apply(filter, to: value, arguments)
        case .test(.known(let test), let given, let isNegated, let line):
            let arguments = try evaluate(given, scope)
            self.line = line
            return .bool(try holds(test, of: value, arguments) != isNegated)
        case .filter(.unknown(let name), _, let line):
            self.line = line
            throw TemplateError(.runtime, "No filter named \(TemplatePrinter.quoted(name)) found.")
        case .test(.unknown(let name), _, _, let line):
            self.line = line
            throw TemplateError(.runtime, "No test named \(TemplatePrinter.quoted(name)) found.")
        }
    }

    func evaluate(
        _ given: TemplateExpression.CallArguments, _ scope: TemplateScope
    ) throws(TemplateError) -> TemplateArguments {
        var arguments = TemplateArguments(positional: try evaluate(given.positional, scope))
        for (name, value) in given.named {
            if arguments.named.contains(where: { $0.name == name }) {
                throw TemplateError(.syntax, "keyword argument repeated: \(name.string)")
            }
            arguments.named.append((name, try evaluate(value, scope)))
        }
        if let unpacked = given.unpacked {
            let more = try iterate(try evaluate(unpacked, scope)).rest()
            try budget.charge(values: more.count)
            arguments.positional += more
        }
        if let unpacked = given.unpackedNamed {
            let value = try evaluate(unpacked, scope)
            guard case .dict(let dict) = value else {
                throw TemplateError(
                    .runtime, "argument after ** must be a mapping, not \(value.typeName)")
            }
            try budget.charge(values: dict.count)
            for (key, value) in dict.entries {
                guard case .text(let name) = key else {
                    throw TemplateError(.runtime, "keywords must be strings")
                }
                arguments.named.append((name, value))
            }
        }
        return arguments
    }

    func call(_ callee: TemplateValue, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue
    {
        try budget.enter()
        defer { budget.leave() }
        switch callee {
        case .macro(let macro): return try call(macro, arguments)
        case .function(let function): return try call(function, arguments)
        case .method(let method): return try call(method, arguments)
        case .undefined(let undefined): throw undefined.error
        case .loop(let loop):
            guard let recurse = loop.recurse else {
                throw TemplateError(
                    .runtime, "The loop must have the 'recursive' marker to be called recursively.")
            }
            return try recurse(arguments.bind("__call__", ["iterable"], required: 1)[0] ?? .none)
        case .cycle(let cycle) where cycle.isJoiner:
            defer { cycle.position += 1 }
            return cycle.position == 0 ? .text("") : cycle.items.values[0]
        default: throw TemplateError(.runtime, "'\(callee.typeName)' object is not callable")
        }
    }
}
