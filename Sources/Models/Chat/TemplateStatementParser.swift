// Jinja's statements.
extension TemplateParser {
    mutating func parseStatement(into body: inout [TemplateStatement]) throws(TemplateError) {
        let line = current.line
        guard case .name(let tag) = current.kind else { throw fail("tag name expected") }
        advance()
        openTags.append(tag)
        defer { openTags.removeLast() }
        switch tag {
        case "if": body.append(try parseCondition(line))
        case "for": body.append(try parseLoop(line))
        case "set": body.append(try parseSet(line))
        case "macro": body.append(try parseMacro(line))
        case "call": body.append(try parseCall(line))
        case "filter":
            let filters = try parseFilters(isInline: true)
            body.append(.filter(try parseFiltered(filters, "endfilter"), line: line))
        case "with": body.append(try parseWith())
        case "generation":
            let outside = loopDepth
            loopDepth = 0
            body.append(.generation(try parseFiltered([], "endgeneration")))
            loopDepth = outside
        case "print":
            var parts: [TemplateStatement.OutputPart] = []
            while current.kind != .blockEnd {
                if !parts.isEmpty { try expect(.comma) }
                parts.append(.expression(try parseExpression(), line: line))
            }
            body.append(.output(parts))
        case "break", "continue":
            guard loopDepth > 0 else { throw fail("'\(tag.string)' outside loop", line: line) }
            body.append(tag == "break" ? .leaveLoop : .nextIteration)
        case "include", "import", "from", "extends", "block", "autoescape":
            throw TemplateError(.unsupported, "the tag '\(tag.string)' is not supported", line: line)
        default:
            openTags.removeLast()
            defer { openTags.append(tag) }
            throw unknownTag(tag, line: line)
        }
    }

    private mutating func parseCondition(_ line: Int) throws(TemplateError) -> TemplateStatement {
        let outside = isConditional
        isConditional = true
        defer { isConditional = outside }
        var branches: [TemplateStatement.ConditionBranch] = []
        var line = line
        while true {
            let test = try parseTuple(withConditional: false)
            let body = try parseBlock(until: "elif", "else", "endif")
            branches.append(.init(test: test, body: body, line: line))
            line = current.line
            if skip(name: "elif") { continue }
            if skip(name: "endif") { return .condition(branches, otherwise: []) }
            advance()
            let otherwise = try parseBlock(until: "endif")
            advance()
            return .condition(branches, otherwise: otherwise)
        }
    }

    private mutating func parseLoop(_ line: Int) throws(TemplateError) -> TemplateStatement {
        let outerAssignment = loopAssignmentLine
        loopAssignmentLine = nil
        let target = try parseTarget(endingAt: "in")
        try expect(name: "in")
        let iterable = try parseTuple(withConditional: false, endingAt: "recursive")
        let outside = isConditional
        isConditional = false
        defer { isConditional = outside }
        let test = skip(name: "if") ? try parseExpression() : nil
        let isRecursive = skip(name: "recursive")
        loopDepth += 1
        let body = try parseBlock(until: "endfor", "else")
        loopDepth -= 1
        var otherwise: [TemplateStatement] = []
        if advance().isName("else") {
            otherwise = try parseBlock(until: "endfor")
            advance()
        }
        if let line = loopAssignmentLine {
            throw fail("Can't assign to special loop variable in for-loop target", line: line)
        }
        loopAssignmentLine = outerAssignment
        return .loop(
            LoopStatement(
                target: target, testTarget: copy(target), iterable: iterable, test: test,
                isRecursive: isRecursive,
                body: body, otherwise: otherwise, loopName: occurrence(of: "loop"), bodyScope: newScope(),
                testScope: newScope(),
                otherwiseScope: newScope(), line: line))
    }

    private mutating func copy(_ target: TemplateTarget) -> TemplateTarget {
        switch target {
        case .name(let name): .name(occurrence(of: names[name], isAssignment: true))
        case .attribute(let name, let attribute): .attribute(occurrence(of: names[name]), attribute)
        case .tuple(let targets): .tuple(targets.map { copy($0) })
        }
    }

    private mutating func parseSet(_ line: Int) throws(TemplateError) -> TemplateStatement {
        let target = try parseTarget(endingAt: nil, allowsAttributes: true)
        if skip(.assign) { return .set(target, try parseTuple(), line: line) }
        let filters = try parseFilters(isInline: false)
        return .setBlock(target, try parseFiltered(filters, "endset"), line: line)
    }

    private mutating func parseFiltered(
        _ filters: [TemplateExpression.Postfix], _ end: TemplateText
    ) throws(TemplateError) -> FilteredBlock {
        let body = try parseBlock(until: end)
        advance()
        return FilteredBlock(scope: newScope(), body: body, filters: filters)
    }

    private mutating func parseWith() throws(TemplateError) -> TemplateStatement {
        var targets: [TemplateTarget] = []
        var values: [TemplateExpression] = []
        while current.kind != .blockEnd {
            if !targets.isEmpty { try expect(.comma) }
            let assignment = loopAssignmentLine
            targets.append(try parseTarget(endingAt: nil))
            loopAssignmentLine = assignment
            try expect(.assign)
            values.append(try parseExpression())
        }
        let body = try parseBlock(until: "endwith")
        advance()
        return .with(WithStatement(scope: newScope(), targets: targets, values: values, body: body))
    }
}

// Macros.
extension TemplateParser {
    private mutating func parseMacro(_ line: Int) throws(TemplateError) -> TemplateStatement {
        let name = try expectName()
        let parameters = try parseParameters()
        return .macro(try parseMacroBody(name, parameters, until: "endmacro", line))
    }

    private mutating func parseCall(_ line: Int) throws(TemplateError) -> TemplateStatement {
        let parameters = current.isSymbol(.leftParenthesis) ? try parseParameters() : []
        let call = try parseExpression()
        guard case .chain(_, let postfixes) = call, case .call? = postfixes.last else {
            throw fail("expected call", line: line)
        }
        return .call(call, caller: try parseMacroBody(nil, parameters, until: "endcall", line))
    }

    private mutating func parseParameters() throws(TemplateError) -> [MacroDefinition.Parameter] {
        try expect(.leftParenthesis)
        var parameters: [MacroDefinition.Parameter] = []
        while !current.isSymbol(.rightParenthesis) {
            if !parameters.isEmpty { try expect(.comma) }
            let name = try expectName()
            let standard = skip(.assign) ? try parseExpression() : nil
            if standard == nil, parameters.last?.standard != nil {
                throw fail("non-default argument follows default argument")
            }
            parameters.append(
                .init(name: name, occurrence: occurrence(of: name, isAssignment: true), standard: standard))
        }
        advance()
        return parameters
    }

    private mutating func parseMacroBody(
        _ name: TemplateText?, _ parameters: [MacroDefinition.Parameter], until end: TemplateText, _ line: Int
    ) throws(TemplateError) -> MacroDefinition {
        let (outside, wasConditional) = (loopDepth, isConditional)
        (loopDepth, isConditional) = (0, false)
        defer { (loopDepth, isConditional) = (outside, wasConditional) }
        let firstName = names.count
        let body = try parseBlock(until: end)
        advance()
        let special = MacroDefinition.SpecialNames(
            caller: free("caller", parameters, firstName), kwargs: free("kwargs", parameters, firstName),
            varargs: free("varargs", parameters, firstName))
        return MacroDefinition(
            name: name, nameOccurrence: name.map { occurrence(of: $0) }, parameters: parameters, body: body,
            scope: newScope(), special: special, line: line)
    }

    /// A new occurrence of a name that Jinja declares for a macro: one that its body, whose names begin at
    /// `first`, uses before it assigns to it, and that is no parameter.
    private mutating func free(
        _ name: TemplateText, _ parameters: [MacroDefinition.Parameter], _ first: Int
    ) -> Int? {
        guard let use = names[first...].firstIndex(of: name), !assignments.contains(use),
            !parameters.contains(where: { $0.name == name })
        else { return nil }
        return occurrence(of: name, isAssignment: true)
    }
}
