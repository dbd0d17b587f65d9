/// A lexical unit of a template. Comments, raw tags and white space inside tags never become tokens.
struct TemplateToken: Sendable {
    enum Kind: Sendable, Equatable {
        case data(TemplateText)
        case blockBegin
        case blockEnd
        case variableBegin
        case variableEnd
        case name(TemplateText)
        case string(TemplateText)
        case integer(Int)
        case float(Double)
        case symbol(Symbol)
        case end
    }

    /// Operators and delimiters inside tags; longer ones first, as the lexer tries them in order.
    enum Symbol: String, Sendable, CaseIterable {
        case floorDivide = "//"
        case power = "**"
        case equal = "=="
        case notEqual = "!="
        case greaterOrEqual = ">="
        case lessOrEqual = "<="
        case plus = "+"
        case minus = "-"
        case divide = "/"
        case multiply = "*"
        case modulo = "%"
        case tilde = "~"
        case leftBracket = "["
        case rightBracket = "]"
        case leftParenthesis = "("
        case rightParenthesis = ")"
        case leftBrace = "{"
        case rightBrace = "}"
        case greater = ">"
        case less = "<"
        case assign = "="
        case dot = "."
        case colon = ":"
        case pipe = "|"
        case comma = ","
        case semicolon = ";"

        /// Spelled for the lexer, which compares scalars.
        static let spellings: [(scalars: [Unicode.Scalar], symbol: Symbol)] =
            allCases.map { (Array($0.rawValue.unicodeScalars), $0) }
    }

    let kind: Kind
    let line: Int

    /// As it is named in messages.
    var description: String {
        switch kind {
        case .data: "template data"
        case .blockBegin: "begin of statement block"
        case .blockEnd: "end of statement block"
        case .variableBegin: "begin of print statement"
        case .variableEnd: "end of print statement"
        case .name(let name): name.string
        case .string: "string"
        case .integer: "integer"
        case .float: "float"
        case .symbol(let symbol): symbol.rawValue
        case .end: "end of template"
        }
    }

    func isName(_ name: TemplateText) -> Bool { kind == .name(name) }
    func isSymbol(_ symbol: Symbol) -> Bool { kind == .symbol(symbol) }
}
