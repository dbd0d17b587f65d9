/// A macro with the scope it was defined in.
final class TemplateMacro {
    let definition: MacroDefinition
    /// Dropped at the end of the rendering, since it holds the macro in turn.
    var scope: TemplateScope?

    init(_ definition: MacroDefinition, _ scope: TemplateScope) {
        self.definition = definition
        self.scope = scope
    }

    var name: TemplateText? { definition.name }
    private var quotedName: String { name.map(TemplatePrinter.quoted) ?? "None" }

    func attribute(_ name: TemplateText, _ budget: TemplateBudget) throws(TemplateError) -> TemplateValue? {
        switch name {
        case "name": definition.name.map { .text($0) } ?? TemplateValue.none
        case "arguments": try budget.tuple(definition.parameters.map { .text($0.name) })
        case "caller": .bool(definition.special.caller != nil)
        case "catch_kwargs": .bool(definition.special.kwargs != nil)
        case "catch_varargs": .bool(definition.special.varargs != nil)
        default: nil
        }
    }

    fileprivate func refuse(_ arguments: TemplateArguments) throws(TemplateError) {
        if definition.special.kwargs == nil, let (name, _) = arguments.named.first {
            if arguments.named.contains(where: { $0.name == "caller" }) {
                throw TemplateError(
                    .runtime,
                    "macro \(quotedName) was invoked with two values for the special caller argument. "
                        + "This is most likely a bug.")
            }
            throw TemplateError(
                .runtime, "macro \(quotedName) takes no keyword argument \(TemplatePrinter.quoted(name))")
        }
        let count = definition.parameters.count
        if definition.special.varargs == nil, arguments.positional.count > count {
            throw TemplateError(.runtime, "macro \(quotedName) takes not more than \(count) argument(s)")
        }
    }
}

extension TemplateInterpreter {
    /// Binds arguments as Jinja does: by position, then by name, then defaults; what is missing is undefined.
    func call(_ macro: TemplateMacro, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
        let definition = macro.definition
        var arguments = arguments
        let scope = try enter(definition.scope, inside: macro.scope)
        var given: [TemplateValue?] = []
        for (at, parameter) in definition.parameters.enumerated() {
            let value =
                at < arguments.positional.count ? arguments.positional[at] : arguments.take(parameter.name)
            given.append(value)
            set(parameter.occurrence, value, scope)
        }
        if let occurrence = definition.special.caller {
            let caller = arguments.take("caller")
            set(occurrence, caller ?? .undefined(TemplateUndefined("No caller defined")), scope)
        }
        try macro.refuse(arguments)
        if let occurrence = definition.special.kwargs {
            let dict = TemplateDict()
            for (name, value) in arguments.named { dict.set(name, value) }
            set(occurrence, try budget.dict(dict), scope)
        }
        if let occurrence = definition.special.varargs {
            let rest = arguments.positional.dropFirst(definition.parameters.count)
            set(occurrence, try budget.tuple(Array(rest)), scope)
        }
        for (parameter, value) in zip(definition.parameters, given) where value == nil {
            if let standard = parameter.standard {
                set(parameter.occurrence, try evaluate(standard, scope), scope)
            } else {
                let undefined = TemplateUndefined(
                    "parameter \(TemplatePrinter.quoted(parameter.name)) was not provided")
                set(parameter.occurrence, .undefined(undefined), scope)
            }
        }
        return .text(try capture { () throws(TemplateError) in _ = try run(definition.body, scope) })
    }

    func runCall(
        _ call: TemplateExpression, _ caller: MacroDefinition, _ scope: TemplateScope
    ) throws(TemplateError) {
        line = caller.line
        guard case .chain(let base, let postfixes) = call, case .call(let given, let line)? = postfixes.last
        else {
            throw TemplateError(.syntax, "expected call")
        }
        let callee = try evaluate(Array(postfixes.dropLast()), of: try evaluate(base, scope), scope)
        var arguments = try evaluate(given, scope)
        arguments.named.append(("caller", macro(caller, scope)))
        self.line = line
        try write(TemplatePrinter.str(try self.call(callee, arguments), budget))
    }
}
