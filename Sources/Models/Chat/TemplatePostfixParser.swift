// What follows a value in an expression: attributes, items, calls, filters and tests.
extension TemplateParser {
    mutating func parsePostfixes() throws(TemplateError) -> [TemplateExpression.Postfix] {
        var postfixes: [TemplateExpression.Postfix] = []
        while let postfix = try parsePostfix() { postfixes.append(postfix) }
        return postfixes
    }

    private mutating func parsePostfix() throws(TemplateError) -> TemplateExpression.Postfix? {
        let line = current.line
        if skip(.dot) {
            let token = advance()
            switch token.kind {
            case .name(let name): return .attribute(name)
            case .integer(let value): return .item(.constant(.int(value)))
            default: throw fail("expected name or number", line: token.line)
            }
        }
        if skip(.leftBracket) { return try parseSubscript() }
        if current.isSymbol(.leftParenthesis) { return .call(try parseCallArguments(), line: line) }
        return nil
    }

    private mutating func parseSubscript() throws(TemplateError) -> TemplateExpression.Postfix {
        var items: [TemplateExpression] = []
        while !current.isSymbol(.rightBracket) {
            if !items.isEmpty { try expect(.comma) }
            let start = current.isSymbol(.colon) ? nil : try parseExpression()
            if !current.isSymbol(.colon), let start {
                items.append(start)
                continue
            }
            guard items.isEmpty else { throw sliceInTuple() }
            advance()
            let end = try parseSliceBound()
            let step = skip(.colon) ? try parseSliceBound() : nil
            if current.isSymbol(.comma) { throw sliceInTuple() }
            try expect(.rightBracket)
            return .slice(start, end, step)
        }
        advance()
        return .item(items.count == 1 ? items[0] : .tuple(items))
    }

    private mutating func parseSliceBound() throws(TemplateError) -> TemplateExpression? {
        let isAbsent =
            current.isSymbol(.colon) || current.isSymbol(.rightBracket) || current.isSymbol(.comma)
        return isAbsent ? nil : try parseExpression()
    }

    private func sliceInTuple() -> TemplateError {
        TemplateError(.unsupported, "a slice beside other subscripts is not supported", line: current.line)
    }

    mutating func parseCallArguments() throws(TemplateError) -> TemplateExpression.CallArguments {
        let line = current.line
        try expect(.leftParenthesis)
        var arguments = TemplateExpression.CallArguments()
        var isFirst = true
        while !current.isSymbol(.rightParenthesis) {
            if !isFirst {
                try expect(.comma)
                if current.isSymbol(.rightParenthesis) { break }
            }
            isFirst = false
            let isValid: Bool
            if skip(.multiply) {
                isValid = arguments.unpacked == nil && arguments.unpackedNamed == nil
                arguments.unpacked = try parseExpression()
            } else if skip(.power) {
                isValid = arguments.unpackedNamed == nil
                arguments.unpackedNamed = try parseExpression()
            } else if case .name(let name) = current.kind, following.isSymbol(.assign) {
                advance()
                advance()
                isValid = arguments.unpackedNamed == nil
                arguments.named.append((name, try parseExpression()))
            } else {
                isValid =
                    arguments.unpacked == nil && arguments.unpackedNamed == nil && arguments.named.isEmpty
                arguments.positional.append(try parseExpression())
            }
            guard isValid else { throw fail("invalid syntax for function call expression", line: line) }
        }
        advance()
        return arguments
    }

    /// Filters, tests and calls of what they gave.
    mutating func parseFiltersAndTests() throws(TemplateError) -> [TemplateExpression.Postfix] {
        var postfixes: [TemplateExpression.Postfix] = []
        while true {
            if current.isSymbol(.pipe) {
                postfixes += try parseFilters(isInline: false)
            } else if skip(name: "is") {
                postfixes.append(try parseTest())
            } else if current.isSymbol(.leftParenthesis) {
                let line = current.line
                postfixes.append(.call(try parseCallArguments(), line: line))
            } else {
                return postfixes
            }
        }
    }

    /// `|filter(...)|filter...`; the first without its `|` if `isInline`.
    mutating func parseFilters(isInline: Bool) throws(TemplateError) -> [TemplateExpression.Postfix] {
        var filters: [TemplateExpression.Postfix] = []
        var isInline = isInline
        while isInline || skip(.pipe) {
            isInline = false
            let line = current.line
            let name = try parseDottedName()
            var arguments = TemplateExpression.CallArguments()
            if current.isSymbol(.leftParenthesis) { arguments = try parseCallArguments() }
            filters.append(.filter(try filter(name, line), arguments, line: line))
        }
        return filters
    }

    private mutating func parseDottedName() throws(TemplateError) -> TemplateText {
        var name = try expectName()
        while skip(.dot) { name = TemplateText(name.string + "." + (try expectName()).string) }
        return name
    }

    private mutating func filter(_ name: TemplateText, _ line: Int) throws(TemplateError) -> TemplateFilterName {
        if let filter = TemplateFilter(name: name) { return .known(filter) }
        if TemplateFilter.unsupported.contains(name) {
            throw TemplateError(.unsupported, "the filter '\(name.string)' is not supported", line: line)
        }
        noteUnknown("filter", name, line)
        return .unknown(name)
    }

    private mutating func parseTest() throws(TemplateError) -> TemplateExpression.Postfix {
        let line = current.line
        let isNegated = skip(name: "not")
        let name = try parseDottedName()
        var arguments = TemplateExpression.CallArguments()
        if current.isSymbol(.leftParenthesis) {
            arguments = try parseCallArguments()
        } else if testArgumentFollows() {
            if current.isName("is") { throw fail("You cannot chain multiple tests with is") }
            arguments.positional = [try parseTestArgument()]
        }
        if let test = TemplateTest(name: name) {
            return .test(.known(test), arguments, isNegated: isNegated, line: line)
        }
        noteUnknown("test", name, line)
        return .test(.unknown(name), arguments, isNegated: isNegated, line: line)
    }

    private func testArgumentFollows() -> Bool {
        switch current.kind {
        case .name("else"), .name("or"), .name("and"): false
        case .name, .string, .integer, .float, .symbol(.leftBracket), .symbol(.leftBrace): true
        default: false
        }
    }
}
