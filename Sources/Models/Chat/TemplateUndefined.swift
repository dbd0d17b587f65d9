/// Jinja's `Undefined`: prints as nothing, is false and empty; anything else done with it fails with
/// `message`.
final class TemplateUndefined {
    let message: String
    let kind: TemplateError.Kind

    init(_ message: String, kind: TemplateError.Kind = .undefined) {
        self.message = message
        self.kind = kind
    }

    convenience init(name: TemplateText) { self.init("\(TemplatePrinter.quoted(name)) is undefined") }

    convenience init(attribute: TemplateText, of owner: TemplateValue) {
        self.init("'\(owner.ownerName)' has no attribute \(TemplatePrinter.quoted(attribute))")
    }

    convenience init(unsafe attribute: TemplateText, of owner: TemplateValue) {
        self.init(
            "access to attribute \(TemplatePrinter.quoted(attribute)) of '\(owner.typeName)' object is unsafe.",
            kind: .security)
    }

    var error: TemplateError { TemplateError(kind, message) }
}
