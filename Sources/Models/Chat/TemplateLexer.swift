/// Cuts a template into tokens as Jinja's lexer does with `trim_blocks` and `lstrip_blocks` on and
/// `keep_trailing_newline` off (https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control).
struct TemplateLexer {
    let source: [Unicode.Scalar]
    var position = 0
    private(set) var line = 1
    private var tokens: [TemplateToken] = []
    /// Whether the last tag took the end of its line with it, so that text begins a line here.
    private var isLineStarting = true
    /// The brackets that are open inside a tag, by what closes them.
    private var closers: [TemplateToken.Symbol] = []

    static func tokens(of source: String) throws(TemplateError) -> [TemplateToken] {
        var lexer = TemplateLexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ text: String) {
        var source: [Unicode.Scalar] = []
        source.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            // Line ends become "\n"; the "\n" of a "\r\n" is dropped after its "\r" was kept as one.
            switch (scalar, source.last) {
            case ("\n", "\r"): source[source.count - 1] = "\n"
            case ("\n", _): source.append("\n")
            default: source.append(scalar)
            }
        }
        for at in source.indices where source[at] == "\r" { source[at] = "\n" }
        if source.last == "\n" { source.removeLast() }
        self.source = source
    }

    func peek(_ offset: Int = 0) -> Unicode.Scalar? {
        let at = position + offset
        return at < source.count ? source[at] : nil
    }

    private func matches(_ text: StaticString, at: Int) -> Bool {
        var at = at
        return text.withUTF8Buffer { spelling in
            for byte in spelling {
                guard at < source.count, source[at].value == UInt32(byte) else { return false }
                at += 1
            }
            return true
        }
    }

    mutating func emit(_ kind: TemplateToken.Kind) { tokens.append(TemplateToken(kind: kind, line: line)) }

    mutating func move(to end: Int) {
        for at in position..<end where source[at] == "\n" { line += 1 }
        position = end
    }

    private func afterSpace(_ at: Int) -> Int {
        var at = at
        while at < source.count, source[at].isPythonSpace { at += 1 }
        return at
    }

    private mutating func run() throws(TemplateError) {
        while position < source.count {
            guard let start = tagStart(from: position) else {
                emit(.data(TemplateText(scalars: source[position...])))
                move(to: source.count)
                break
            }
            let opener = source[start + 1]
            let sign =
                start + 2 < source.count && (source[start + 2] == "-" || source[start + 2] == "+")
                ? source[start + 2] : nil
            emitText(upTo: start, sign: sign, isVariable: opener == "{")
            let inside = start + (sign == nil ? 2 : 3)
            switch opener {
            case "#": try skipComment(from: inside)
            case "%":
                if let body = rawBody(from: inside) {
                    move(to: body)
                    try lexRaw()
                } else {
                    emit(.blockBegin)
                    move(to: inside)
                    try lexTag(isVariable: false)
                }
            default:
                emit(.variableBegin)
                move(to: inside)
                try lexTag(isVariable: true)
            }
        }
        emit(.end)
    }

    private func tagStart(from: Int) -> Int? {
        var at = from
        while at + 1 < source.count {
            if source[at] == "{", source[at + 1] == "%" || source[at + 1] == "{" || source[at + 1] == "#" {
                return at
            }
            at += 1
        }
        return nil
    }

    /// Emits the text before a tag, without what the tag's sign or `lstrip_blocks` takes away.
    private mutating func emitText(upTo start: Int, sign: Unicode.Scalar?, isVariable: Bool) {
        var end = start
        if sign == "-" {
            while end > position, source[end - 1].isPythonSpace { end -= 1 }
        } else if sign == nil, !isVariable {
            var lineStart = start
            while lineStart > position, source[lineStart - 1] != "\n" { lineStart -= 1 }
            let isBlank = source[lineStart..<start].allSatisfy(\.isPythonSpace)
            if lineStart > position || isLineStarting, isBlank { end = lineStart }
        }
        if end > position { emit(.data(TemplateText(scalars: source[position..<end]))) }
        move(to: start)
    }

    private mutating func skipComment(from inside: Int) throws(TemplateError) {
        var at = inside
        while !matches("#}", at: at) {
            guard at < source.count else {
                throw TemplateError(.syntax, "Missing end of comment tag", line: line)
            }
            at += 1
        }
        finishTag(at: at, sign: at > inside ? source[at - 1] : nil, trims: true)
    }

    /// Goes past the two characters at `at` that end a tag, and past what its sign or `trim_blocks` takes
    /// with it.
    private mutating func finishTag(at: Int, sign: Unicode.Scalar?, trims: Bool) {
        var end = at + 2
        if sign == "-" {
            end = afterSpace(end)
        } else if sign != "+", trims, end < source.count, source[end] == "\n" {
            end += 1
        }
        move(to: end)
        isLineStarting = source[end - 1] == "\n"
    }

    /// Where the body of a raw block begins whose tag's inside is at `inside`; nil if it is no raw block.
    private func rawBody(from inside: Int) -> Int? {
        let name = afterSpace(inside)
        guard matches("raw", at: name) else { return nil }
        let end = afterSpace(name + 3)
        if matches("-%}", at: end) { return afterSpace(end + 3) }
        return matches("%}", at: end) ? end + 2 : nil
    }

    private mutating func lexRaw() throws(TemplateError) {
        isLineStarting = source[position - 1] == "\n"
        var start = position
        while start < source.count {
            defer { start += 1 }
            guard matches("{%", at: start) else { continue }
            let hasSign = start + 2 < source.count && (source[start + 2] == "-" || source[start + 2] == "+")
            let name = afterSpace(start + (hasSign ? 3 : 2))
            guard matches("endraw", at: name) else { continue }
            let end = afterSpace(name + 6)
            let sign = end < source.count && (source[end] == "-" || source[end] == "+") ? source[end] : nil
            guard matches("%}", at: end + (sign == nil ? 0 : 1)) else { continue }
            emitText(upTo: start, sign: hasSign ? source[start + 2] : nil, isVariable: false)
            finishTag(at: end + (sign == nil ? 0 : 1), sign: sign, trims: true)
            return
        }
        throw TemplateError(.syntax, "Missing end of raw directive", line: line)
    }

    // MARK: - Inside tags

    private mutating func lexTag(isVariable: Bool) throws(TemplateError) {
        closers = []
        while position < source.count {
            if closers.isEmpty, endTag(isVariable: isVariable) { return }
            guard let first = peek() else { break }
            if first.isPythonSpace {
                move(to: afterSpace(position))
            } else if first.isASCIIDigit {
                try lexNumber()
            } else if first.continuesIdentifier {
                try lexName()
            } else if first == "'" || first == "\"" {
                try lexString(quote: first)
            } else {
                try lexSymbol(first)
            }
        }
    }

    private mutating func endTag(isVariable: Bool) -> Bool {
        let sign = peek().flatMap { $0 == "-" || ($0 == "+" && !isVariable) ? $0 : nil }
        let at = position + (sign == nil ? 0 : 1)
        guard isVariable ? matches("}}", at: at) : matches("%}", at: at) else { return false }
        emit(isVariable ? .variableEnd : .blockEnd)
        finishTag(at: at, sign: sign, trims: !isVariable)
        return true
    }

    private mutating func lexName() throws(TemplateError) {
        var end = position
        while end < source.count, source[end].continuesIdentifier { end += 1 }
        guard source[position].startsIdentifier else {
            throw TemplateError(.syntax, "Invalid character in identifier", line: line)
        }
        emit(.name(TemplateText(scalars: source[position..<end])))
        position = end
    }

    private mutating func lexSymbol(_ first: Unicode.Scalar) throws(TemplateError) {
        let found = TemplateToken.Symbol.spellings.first { source[position...].starts(with: $0.scalars) }
        guard let symbol = found?.symbol else {
            throw TemplateError(
                .syntax, "unexpected char \(TemplatePrinter.quoted(String(first))) at \(position)", line: line
            )
        }
        switch symbol {
        case .leftParenthesis: closers.append(.rightParenthesis)
        case .leftBracket: closers.append(.rightBracket)
        case .leftBrace: closers.append(.rightBrace)
        case .rightParenthesis, .rightBracket, .rightBrace:
            guard let expected = closers.popLast() else {
                throw TemplateError(.syntax, "unexpected '\(symbol.rawValue)'", line: line)
            }
            guard expected == symbol else {
                throw TemplateError(
                    .syntax, "unexpected '\(symbol.rawValue)', expected '\(expected.rawValue)'", line: line)
            }
        default: break
        }
        emit(.symbol(symbol))
        position += symbol.rawValue.utf8.count
    }
}
