// Jinja's expressions, with the ranks of its operators: `if else`, `or`, `and`, `not`, comparisons, `+ -`,
// `~`, `* / // %`, `**` (to the left), signs, then what follows a value, then filters and tests.
extension TemplateParser {
    /// Ranks from loose to tight.
    private enum Rank: Int {
        case any, all, not, comparison, sum, concatenation, product, power
        var tighter: Rank { Rank(rawValue: rawValue + 1) ?? .power }
    }

    mutating func parseExpression(withConditional: Bool = true) throws(TemplateError) -> TemplateExpression {
        expressionDepth += 1
        defer { expressionDepth -= 1 }
        guard expressionDepth <= limits.expressionDepth else {
            throw TemplateError(
                .limit, "nests expressions deeper than \(limits.expressionDepth)", line: current.line)
        }
        return withConditional ? try parseConditional() : try parseRank(.any)
    }

    private mutating func parseConditional() throws(TemplateError) -> TemplateExpression {
        let firstUnknown = unknownNames.count
        var line = current.line
        var count = 0
        var result = try parseRank(.any)
        while skip(name: "if") {
            let test = try parseRank(.any)
            let otherwise = skip(name: "else") ? try parseExpression() : nil
            result = .conditional(test: test, result, otherwise: otherwise, line: line)
            line = current.line
            count += 1
            guard count <= limits.expressionDepth else {
                throw TemplateError(.limit, "chains more than \(count - 1) conditions", line: line)
            }
        }
        if count > 0 { unknownNames.removeSubrange(firstUnknown...) }
        return result
    }

    private mutating func parseRank(_ rank: Rank) throws(TemplateError) -> TemplateExpression {
        switch rank {
        case .any: return try parseJoined(rank, by: "or") { .any($0) }
        case .all: return try parseJoined(rank, by: "and") { .all($0) }
        case .not: return try parseNot()
        case .comparison: return try parseComparison()
        case .sum: return try parseArithmetic(rank, [.plus: .add, .minus: .subtract])
        case .concatenation:
            var parts = [try parseRank(rank.tighter)]
            while skip(.tilde) { parts.append(try parseRank(rank.tighter)) }
            return parts.count == 1 ? parts[0] : .concatenation(parts)
        case .product:
            return try parseArithmetic(
                rank,
                [.multiply: .multiply, .divide: .divide, .floorDivide: .floorDivide, .modulo: .modulo])
        case .power: return try parseArithmetic(rank, [.power: .power])
        }
    }

    private mutating func parseJoined(
        _ rank: Rank, by name: TemplateText, _ join: ([TemplateExpression]) -> TemplateExpression
    ) throws(TemplateError) -> TemplateExpression {
        var parts = [try parseRank(rank.tighter)]
        while skip(name: name) { parts.append(try parseRank(rank.tighter)) }
        return parts.count == 1 ? parts[0] : join(parts)
    }

    private mutating func parseNot() throws(TemplateError) -> TemplateExpression {
        var isNegated = false
        var count = 0
        while skip(name: "not") {
            isNegated.toggle()
            count += 1
        }
        let operand = try parseRank(.comparison)
        if count == 0 { return operand }
        return isNegated ? .not(operand) : .not(.not(operand))
    }

    private mutating func parseComparison() throws(TemplateError) -> TemplateExpression {
        let first = try parseRank(.sum)
        var rest: [(TemplateExpression.Comparison, TemplateExpression)] = []
        while let comparison = comparisonHere() {
            advance()
            if comparison == .isNotIn { advance() }
            rest.append((comparison, try parseRank(.sum)))
        }
        return rest.isEmpty ? first : .comparison(first, rest)
    }

    private func comparisonHere() -> TemplateExpression.Comparison? {
        switch current.kind {
        case .symbol(.equal): .equal
        case .symbol(.notEqual): .notEqual
        case .symbol(.less): .less
        case .symbol(.lessOrEqual): .lessOrEqual
        case .symbol(.greater): .greater
        case .symbol(.greaterOrEqual): .greaterOrEqual
        case .name("in"): .isIn
        case .name("not") where following.isName("in"): .isNotIn
        default: nil
        }
    }

    private mutating func parseArithmetic(
        _ rank: Rank, _ operators: [TemplateToken.Symbol: TemplateExpression.Arithmetic]
    ) throws(TemplateError) -> TemplateExpression {
        func operand() throws(TemplateError) -> TemplateExpression {
            rank == .power ? try parseSigned() : try parseRank(rank.tighter)
        }
        let first = try operand()
        var rest: [(TemplateExpression.Arithmetic, TemplateExpression)] = []
        while case .symbol(let symbol) = current.kind, let operation = operators[symbol] {
            advance()
            rest.append((operation, try operand()))
        }
        return rest.isEmpty ? first : .arithmetic(first, rest)
    }

    /// Signs, a value and what follows it. Filters and tests bind looser than signs.
    private mutating func parseSigned() throws(TemplateError) -> TemplateExpression {
        var signs: [TemplateToken.Symbol] = []
        while case .symbol(let symbol) = current.kind, symbol == .minus || symbol == .plus {
            signs.append(symbol)
            advance()
        }
        guard signs.count <= limits.expressionDepth else {
            throw TemplateError(
                .limit, "nests expressions deeper than \(limits.expressionDepth)", line: current.line)
        }
        let value = try parsePrimary()
        var postfixes = try parsePostfixes()
        var result = chained(value, postfixes)
        for sign in signs.reversed() { result = sign == .minus ? .negative(result) : .positive(result) }
        postfixes = try parseFiltersAndTests()
        return chained(result, postfixes)
    }

    mutating func parseTestArgument() throws(TemplateError) -> TemplateExpression {
        let value = try parsePrimary()
        return chained(value, try parsePostfixes())
    }

    private func chained(
        _ value: TemplateExpression, _ postfixes: [TemplateExpression.Postfix]
    ) -> TemplateExpression {
        postfixes.isEmpty ? value : .chain(value, postfixes)
    }

    private mutating func parsePrimary() throws(TemplateError) -> TemplateExpression {
        let token = advance()
        switch token.kind {
        case .name("true"), .name("True"): return .constant(.bool(true))
        case .name("false"), .name("False"): return .constant(.bool(false))
        case .name("none"), .name("None"): return .constant(.none)
        case .name(let name): return .name(occurrence(of: name))
        case .string(var text):
            while case .string(let more) = current.kind {
                text.string += more.string
                advance()
            }
            return .constant(.text(text))
        case .integer(let value): return .constant(.int(value))
        case .float(let value): return .constant(.float(value))
        case .symbol(.leftParenthesis):
            let inside = try parseTuple(allowsEmpty: true)
            try expect(.rightParenthesis)
            return inside
        case .symbol(.leftBracket):
            var items: [TemplateExpression] = []
            while !current.isSymbol(.rightBracket) {
                if !items.isEmpty { try expect(.comma) }
                if current.isSymbol(.rightBracket) { break }
                items.append(try parseExpression())
            }
            advance()
            return .list(items)
        case .symbol(.leftBrace): return try parseDict()
        default: throw fail("unexpected \(TemplatePrinter.quoted(token.description))", line: token.line)
        }
    }

    private mutating func parseDict() throws(TemplateError) -> TemplateExpression {
        var entries: [(key: TemplateExpression, value: TemplateExpression)] = []
        while !current.isSymbol(.rightBrace) {
            if !entries.isEmpty { try expect(.comma) }
            if current.isSymbol(.rightBrace) { break }
            let key = try parseExpression()
            try expect(.colon)
            entries.append((key, try parseExpression()))
        }
        advance()
        return .dict(entries)
    }

    /// One expression, or several with commas between, up to what ends a tuple.
    mutating func parseTuple(
        withConditional: Bool = true, endingAt end: TemplateText? = nil, allowsEmpty: Bool = false
    ) throws(TemplateError) -> TemplateExpression {
        var items: [TemplateExpression] = []
        var isTuple = false
        while !isTupleEnd(end) {
            items.append(try parseExpression(withConditional: withConditional))
            guard skip(.comma) else { break }
            isTuple = true
        }
        if !isTuple, let only = items.first { return only }
        if !isTuple, !allowsEmpty {
            throw fail("Expected an expression, got \(TemplatePrinter.quoted(current.description))")
        }
        return .tuple(items)
    }

    private func isTupleEnd(_ end: TemplateText?) -> Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .symbol(.rightParenthesis): true
        case .name(let name): name == end
        default: false
        }
    }

    /// Names to assign to. `attribute`s are those of namespaces.
    mutating func parseTarget(
        endingAt end: TemplateText?, allowsAttributes: Bool = false
    ) throws(TemplateError) -> TemplateTarget {
        expressionDepth += 1
        defer { expressionDepth -= 1 }
        guard expressionDepth <= limits.expressionDepth else { throw fail("nests assignments too deep") }
        var targets: [TemplateTarget] = []
        var isTuple = false
        while !isTupleEnd(end) {
            let line = current.line
            if skip(.leftParenthesis) {
                targets.append(try parseTarget(endingAt: nil))
                try expect(.rightParenthesis)
            } else if case .name(let name) = current.kind {
                advance()
                if ["true", "false", "none", "True", "False", "None"].contains(name) {
                    throw fail("can't assign to 'const'", line: line)
                }
                if allowsAttributes, skip(.dot) {
                    targets.append(.attribute(occurrence(of: name), try expectName()))
                } else {
                    targets.append(.name(occurrence(of: name, isAssignment: true)))
                }
            } else {
                throw fail("can't assign to \(TemplatePrinter.quoted(current.description))", line: line)
            }
            guard skip(.comma) else { break }
            isTuple = true
        }
        if !isTuple, let only = targets.first { return only }
        if targets.isEmpty {
            throw fail("Expected an expression, got \(TemplatePrinter.quoted(current.description))")
        }
        return .tuple(targets)
    }
}
