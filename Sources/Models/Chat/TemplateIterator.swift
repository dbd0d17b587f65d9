/// A Python generator or iterator: true, without length, gone through once.
final class TemplateIterator {
    private let values: [TemplateValue]
    private var position = 0
    /// What its making failed with; comes to light where the generator would reach it.
    private var failure: TemplateError?
    let depth: Int
    let typeName: String

    init(_ values: [TemplateValue], typeName: String = "generator", failure: TemplateError? = nil) {
        self.values = values
        self.typeName = typeName
        self.failure = failure
        depth = 1 + (values.lazy.map(\.depth).max() ?? 0)
    }

    /// Goes through items whose depth is known already.
    init(over items: [TemplateValue], depth: Int = 0) {
        values = items
        self.depth = depth
        typeName = "iterator"
    }

    func next() throws(TemplateError) -> TemplateValue? {
        if position < values.count {
            position += 1
            return values[position - 1]
        }
        if let failure {
            self.failure = nil
            throw failure
        }
        return nil
    }

    /// All that is left.
    func rest() throws(TemplateError) -> [TemplateValue] {
        if position == 0, failure == nil {
            position = values.count
            return values
        }
        var rest: [TemplateValue] = []
        while let value = try next() { rest.append(value) }
        return rest
    }
}
