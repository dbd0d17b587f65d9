/// The names of one scope while `TemplateScopes` analyzes it.
final class TemplateSymbols {
    private let parent: TemplateSymbols?
    /// Declared here, in order of declaration: their slots.
    private var order: [TemplateText] = []
    private var known: [TemplateText: (slot: Int, start: TemplateScopes.Start)] = [:]
    private var stored: Set<TemplateText> = []

    init(parent: TemplateSymbols?) { self.parent = parent }

    private init(copying other: TemplateSymbols) {
        parent = other.parent
        order = other.order
        known = other.known
        stored = other.stored
    }

    private func define(_ name: TemplateText, _ start: TemplateScopes.Start) {
        let slot = known[name]?.slot ?? order.count
        if slot == order.count { order.append(name) }
        known[name] = (slot, start)
    }

    /// Used: if nobody outside knows the name either, it is a variable of the rendering.
    func load(_ name: TemplateText) {
        if find(name) == nil { define(name, .variable(name)) }
    }

    func declare(_ name: TemplateText) {
        stored.insert(name)
        define(name, .parameter)
    }

    /// Assigned: starts as the outer one, or missing, unless it was used before.
    func store(_ name: TemplateText) {
        stored.insert(name)
        if known[name] == nil { define(name, outerCopy(name) ?? .missing) }
    }

    private func outerCopy(_ name: TemplateText) -> TemplateScopes.Start? {
        parent?.find(name).map { .copy(.init(hops: $0.hops + 1, slot: $0.slot)) }
    }

    private func find(_ name: TemplateText) -> TemplateScopes.Address? {
        var hops = 0
        var scope: TemplateSymbols? = self
        while let here = scope {
            if let slot = here.known[name]?.slot { return .init(hops: hops, slot: slot) }
            hops += 1
            scope = here.parent
        }
        return nil
    }

    /// Of a name that was analyzed.
    func address(of name: TemplateText) -> TemplateScopes.Address { find(name) ?? .init(hops: 0, slot: 0) }

    func branch(_ analyze: (TemplateSymbols) -> Void) -> TemplateSymbols {
        let copy = TemplateSymbols(copying: self)
        analyze(copy)
        return copy
    }

    /// Takes over what the branches of a condition declare; what only they assign may not be assigned at all.
    func merge(_ branches: [TemplateSymbols]) {
        let assigned = branches.flatMap(\.stored).filter { !stored.contains($0) }
        for branch in branches {
            for name in branch.order { define(name, branch.known[name]?.start ?? .missing) }
        }
        for branch in branches { stored.formUnion(branch.stored) }
        for name in assigned { define(name, outerCopy(name) ?? .variable(name)) }
    }

    func starts() -> [TemplateScopes.Start] { order.map { known[$0]?.start ?? .missing } }
}
