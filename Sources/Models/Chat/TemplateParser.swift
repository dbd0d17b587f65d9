/// Parses a template: Jinja's statements (https://jinja.palletsprojects.com/en/stable/templates/) with the
/// extensions that transformers turns on, `break`, `continue` and `generation`. Expressions are in
/// `TemplateExpressionParser`.
struct TemplateParser {
    var tokens: [TemplateToken]
    var position = 0
    let limits: TemplateLimits
    /// The names that occur, numbered by their occurrences.
    private(set) var names: [TemplateText] = []
    private(set) var scopeCount = 1
    /// Expressions nested around the current token.
    var expressionDepth = 0
    var openTags: [TemplateText] = []
    private var awaitedTags: [[TemplateText]] = []
    /// Occurrences that declare or assign their name.
    private(set) var assignments: Set<Int> = []
    /// The last line that assigns to `loop`.
    var loopAssignmentLine: Int?
    /// Loops around the current statement that `break` leaves; a macro's body starts anew.
    var loopDepth = 0
    /// Inside a condition, where Jinja looks unknown filters up only when they are reached.
    var isConditional = false
    /// Filters and tests that do not exist, where Jinja looks them up before it renders anything.
    var unknownNames: [TemplateError] = []

    init(_ source: String, _ limits: TemplateLimits) throws(TemplateError) {
        self.limits = limits
        guard source.utf8.count <= limits.sourceBytes else {
            throw TemplateError(.limit, "the template is longer than \(limits.sourceBytes) bytes")
        }
        tokens = try TemplateLexer.tokens(of: source)
    }

    mutating func parse() throws(TemplateError) -> [TemplateStatement] {
        let body = try parseBody(until: [])
        if let unknown = unknownNames.first { throw unknown }
        return body
    }

    mutating func noteUnknown(_ kind: String, _ name: TemplateText, _ line: Int) {
        if isConditional { return }
        unknownNames.append(fail("No \(kind) named \(TemplatePrinter.quoted(name)).", line: line))
    }

    // MARK: - Tokens

    var current: TemplateToken { tokens[position] }
    var following: TemplateToken { tokens[min(position + 1, tokens.count - 1)] }

    @discardableResult
    mutating func advance() -> TemplateToken {
        defer { if position < tokens.count - 1 { position += 1 } }
        return current
    }

    mutating func skip(_ symbol: TemplateToken.Symbol) -> Bool {
        guard current.isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func skip(name: TemplateText) -> Bool {
        guard current.isName(name) else { return false }
        advance()
        return true
    }

    func fail(_ message: String, line: Int? = nil) -> TemplateError {
        TemplateError(.syntax, message, line: line ?? current.line)
    }

    func unexpected(_ expected: String) -> TemplateError {
        current.kind == .end
            ? fail("unexpected end of template, expected '\(expected)'.")
            : fail("expected token '\(expected)', got \(TemplatePrinter.quoted(current.description))")
    }

    mutating func expect(_ symbol: TemplateToken.Symbol) throws(TemplateError) {
        guard skip(symbol) else { throw unexpected(symbol.rawValue) }
    }

    mutating func expect(name: TemplateText) throws(TemplateError) {
        guard skip(name: name) else { throw unexpected(name.string) }
    }

    mutating func expectName() throws(TemplateError) -> TemplateText {
        guard case .name(let name) = current.kind else { throw unexpected("name") }
        advance()
        return name
    }

    private mutating func expectBlockEnd() throws(TemplateError) {
        guard current.kind == .blockEnd else { throw unexpected("end of statement block") }
        advance()
    }

    mutating func occurrence(of name: TemplateText, isAssignment: Bool = false) -> Int {
        names.append(name)
        if isAssignment { assignments.insert(names.count - 1) }
        if isAssignment, name == "loop" { loopAssignmentLine = current.line }
        return names.count - 1
    }

    mutating func newScope() -> Int {
        scopeCount += 1
        return scopeCount - 1
    }

    // MARK: - Bodies

    /// Statements up to a tag of these names, which becomes the current token; up to the end if there are
    /// none.
    private mutating func parseBody(until ends: [TemplateText]) throws(TemplateError) -> [TemplateStatement] {
        awaitedTags.append(ends)
        defer { awaitedTags.removeLast() }
        guard awaitedTags.count <= limits.statementDepth else {
            throw TemplateError(
                .limit, "nests statements deeper than \(limits.statementDepth)", line: current.line)
        }
        var body: [TemplateStatement] = []
        var parts: [TemplateStatement.OutputPart] = []
        func flush() {
            if !parts.isEmpty { body.append(.output(parts)) }
            parts = []
        }
        while true {
            let token = advance()
            switch token.kind {
            case .data(let text): parts.append(.text(text.string))
            case .variableBegin:
                let expression = try parseTuple()
                guard current.kind == .variableEnd else { throw unexpected("end of print statement") }
                advance()
                parts.append(.expression(expression, line: token.line))
            case .blockBegin:
                flush()
                if case .name(let name) = current.kind, ends.contains(name) { return body }
                try parseStatement(into: &body)
                try expectBlockEnd()
            default:
                flush()
                if ends.isEmpty { return body }
                throw unknownTag(nil, line: token.line)
            }
        }
    }

    /// A tag's end, its body, and the closing tag's name.
    mutating func parseBlock(until ends: TemplateText...) throws(TemplateError) -> [TemplateStatement] {
        _ = skip(.colon)
        try expectBlockEnd()
        return try parseBody(until: ends)
    }

    func unknownTag(_ name: TemplateText?, line: Int) -> TemplateError {
        var message =
            name.map { "Encountered unknown tag \(TemplatePrinter.quoted($0))." }
            ?? "Unexpected end of template."
        let awaited = awaitedTags.last.map { $0.map(TemplatePrinter.quoted).joined(separator: " or ") } ?? ""
        if let name, awaitedTags.joined().contains(name) {
            message +=
                " You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for "
                + "\(awaited)."
        } else if !awaited.isEmpty {
            message += " Jinja was looking for the following tags: \(awaited)."
        }
        if let open = openTags.last {
            message += " The innermost block that needs to be closed is \(TemplatePrinter.quoted(open))."
        }
        return fail(message, line: line)
    }
}
