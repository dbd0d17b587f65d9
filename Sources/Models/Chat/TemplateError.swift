/// Why a chat template cannot be parsed or rendered.
package struct TemplateError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// The source is not a Jinja template.
        case syntax
        /// Jinja has the construct, this interpreter does not.
        case unsupported
        /// The template itself refused its input with `raise_exception(message)`.
        case raised
        /// An operation on a value that is not defined.
        case undefined
        /// An operation that Python refuses: wrong types, wrong arguments, division by zero.
        case runtime
        /// An operation that the sandbox refuses.
        case security
        /// The template takes more steps, memory, output or depth than `TemplateLimits` allows.
        case limit
    }

    package let kind: Kind
    /// The text of the error alone; for `.raised` exactly what the template passed to `raise_exception`.
    package let message: String
    /// Where in the template's source, from 1.
    package internal(set) var line: Int?

    init(_ kind: Kind, _ message: String, line: Int? = nil) {
        self.kind = kind
        self.message = message
        self.line = line
    }

    package var description: String {
        switch kind {
        case .raised: "the chat template refuses these messages: \(message)"
        default: "chat template" + (line.map { ", line \($0)" } ?? "") + ": \(message)"
        }
    }
}

/// What one template may cost, so that a hostile one in a checkpoint can neither hang nor exhaust its
/// process.
package struct TemplateLimits: Sendable {
    /// UTF-8 bytes of the template's source.
    package var sourceBytes = 1 << 18
    /// Expressions nested in parentheses, brackets and operators; also the nesting of values.
    package var expressionDepth = 64
    /// Statements nested in statements.
    package var statementDepth = 40
    /// Statements and expressions under evaluation at one time, through macro calls too.
    package var evaluationDepth = 320
    /// Expressions and statements evaluated in one rendering.
    package var steps = 4_000_000
    /// Bytes of text and collections built or searched in one rendering, apart from what its input allows.
    package var workBytes = 1 << 26
    package var workBytesForEachInputByte = 256
    /// UTF-8 bytes of the rendered text.
    package var outputBytes = 1 << 25

    package init() {}
}
