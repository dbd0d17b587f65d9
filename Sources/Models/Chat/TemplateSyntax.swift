/// A parsed template. Names stand as numbers of their occurrences; `TemplateScopes` says where each is found.
indirect enum TemplateStatement: Sendable {
    case output([OutputPart])
    case set(TemplateTarget, TemplateExpression, line: Int)
    case setBlock(TemplateTarget, FilteredBlock, line: Int)
    case condition([ConditionBranch], otherwise: [TemplateStatement])
    case loop(LoopStatement)
    case macro(MacroDefinition)
    /// `{% call(args) f(...) %}`: the body is passed to `f` as the macro `caller`.
    case call(TemplateExpression, caller: MacroDefinition)
    case filter(FilteredBlock, line: Int)
    case with(WithStatement)
    /// `{% generation %}`: marks the assistant's part; a scope of its own, otherwise without effect.
    case generation(FilteredBlock)
    case leaveLoop
    case nextIteration

    enum OutputPart: Sendable {
        case text(String)
        case expression(TemplateExpression, line: Int)
    }

    struct ConditionBranch: Sendable {
        let test: TemplateExpression
        let body: [TemplateStatement]
        let line: Int
    }
}

/// A body rendered into a text in a scope of its own, then filtered.
struct FilteredBlock: Sendable {
    let scope: Int
    let body: [TemplateStatement]
    let filters: [TemplateExpression.Postfix]
}

struct WithStatement: Sendable {
    let scope: Int
    let targets: [TemplateTarget]
    /// Evaluated outside the scope.
    let values: [TemplateExpression]
    let body: [TemplateStatement]
}

struct LoopStatement: Sendable {
    let target: TemplateTarget
    /// The same names in the scope of the test.
    let testTarget: TemplateTarget
    let iterable: TemplateExpression
    let test: TemplateExpression?
    let isRecursive: Bool
    let body: [TemplateStatement]
    let otherwise: [TemplateStatement]
    /// The occurrence of the name `loop` that each iteration sets.
    let loopName: Int
    let bodyScope: Int
    let testScope: Int
    let otherwiseScope: Int
    let line: Int
}

/// A macro, or the body of a call block.
final class MacroDefinition: Sendable {
    let name: TemplateText?
    /// The occurrence that receives the macro; none for a call block's body.
    let nameOccurrence: Int?
    let parameters: [Parameter]
    let body: [TemplateStatement]
    let scope: Int
    /// Occurrences of the names that a body may use without declaring them; nil where it does not.
    let special: SpecialNames
    let line: Int

    struct Parameter: Sendable {
        let name: TemplateText
        /// The occurrence that receives the argument.
        let occurrence: Int
        let standard: TemplateExpression?
    }

    struct SpecialNames: Sendable {
        var caller: Int?
        var kwargs: Int?
        var varargs: Int?

        var all: [Int] { [caller, kwargs, varargs].compactMap(\.self) }
    }

    init(
        name: TemplateText?, nameOccurrence: Int?, parameters: [Parameter], body: [TemplateStatement],
        scope: Int,
        special: SpecialNames, line: Int
    ) {
        self.name = name
        self.nameOccurrence = nameOccurrence
        self.parameters = parameters
        self.body = body
        self.scope = scope
        self.special = special
        self.line = line
    }
}

/// What is assigned to.
indirect enum TemplateTarget: Sendable {
    /// The occurrence of a name.
    case name(Int)
    /// An attribute of the namespace at the occurrence of its name.
    case attribute(Int, TemplateText)
    case tuple([TemplateTarget])
}

/// Chains of operators of one rank, and of what follows a value, are flat, so that only nesting makes it
/// deep.
indirect enum TemplateExpression: Sendable {
    case constant(Constant)
    /// The occurrence of a name.
    case name(Int)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dict([(key: TemplateExpression, value: TemplateExpression)])
    case chain(TemplateExpression, [Postfix])
    case not(TemplateExpression)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case all([TemplateExpression])
    case any([TemplateExpression])
    case comparison(TemplateExpression, [(Comparison, TemplateExpression)])
    case arithmetic(TemplateExpression, [(Arithmetic, TemplateExpression)])
    case concatenation([TemplateExpression])
    case conditional(test: TemplateExpression, TemplateExpression, otherwise: TemplateExpression?, line: Int)

    enum Constant: Sendable {
        case none
        case bool(Bool)
        case int(Int)
        case float(Double)
        case text(TemplateText)
    }

    enum Comparison: Sendable {
        case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, isIn, isNotIn
    }

    enum Arithmetic: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case modulo = "%"
        case power = "**"
    }

    enum Postfix: Sendable {
        case attribute(TemplateText)
        case item(TemplateExpression)
        case slice(TemplateExpression?, TemplateExpression?, TemplateExpression?)
        case call(CallArguments, line: Int)
        case filter(TemplateFilterName, CallArguments, line: Int)
        case test(TemplateTestName, CallArguments, isNegated: Bool, line: Int)
    }

    struct CallArguments: Sendable {
        var positional: [TemplateExpression] = []
        var named: [(name: TemplateText, value: TemplateExpression)] = []
        var unpacked: TemplateExpression?
        var unpackedNamed: TemplateExpression?
    }
}

/// A filter by name; unknown ones in branches fail only where they are reached, as in Jinja.
enum TemplateFilterName: Sendable {
    case known(TemplateFilter)
    case unknown(TemplateText)
}

/// A test by name.
enum TemplateTestName: Sendable {
    case known(TemplateTest)
    case unknown(TemplateText)
}

extension TemplateExpression {
    /// Goes through the occurrences of names in it.
    func forEachName(_ visit: (Int) -> Void) {
        switch self {
        case .constant: break
        case .name(let occurrence): visit(occurrence)
        case .list(let items), .tuple(let items), .all(let items), .any(let items), .concatenation(let items):
            for item in items { item.forEachName(visit) }
        case .dict(let entries):
            for (key, value) in entries {
                key.forEachName(visit)
                value.forEachName(visit)
            }
        case .chain(let base, let postfixes):
            base.forEachName(visit)
            for postfix in postfixes { postfix.forEachName(visit) }
        case .not(let operand), .negative(let operand), .positive(let operand): operand.forEachName(visit)
        case .comparison(let first, let rest):
            first.forEachName(visit)
            for (_, operand) in rest { operand.forEachName(visit) }
        case .arithmetic(let first, let rest):
            first.forEachName(visit)
            for (_, operand) in rest { operand.forEachName(visit) }
        case .conditional(let test, let value, let otherwise, _):
            test.forEachName(visit)
            value.forEachName(visit)
            otherwise?.forEachName(visit)
        }
    }
}

extension TemplateExpression.Postfix {
    func forEachName(_ visit: (Int) -> Void) {
        switch self {
        case .attribute: break
        case .item(let item): item.forEachName(visit)
        case .slice(let start, let end, let step):
            for bound in [start, end, step] { bound?.forEachName(visit) }
        case .call(let arguments, _), .filter(_, let arguments, _), .test(_, let arguments, _, _):
            for argument in arguments.positional { argument.forEachName(visit) }
            for (_, argument) in arguments.named { argument.forEachName(visit) }
            arguments.unpacked?.forEachName(visit)
            arguments.unpackedNamed?.forEachName(visit)
        }
    }
}
