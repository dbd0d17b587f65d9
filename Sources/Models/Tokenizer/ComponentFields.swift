import JSON

/// The fields of one component of a tokenizer.json, with the place for messages:
/// `normalizer.normalizers[1].pattern`.
struct ComponentFields {
    let json: JSON
    let place: String

    init(_ json: JSON, at place: String) throws(TokenizerError) {
        guard json.object != nil else { throw .invalid(place, "it is \(json.kindName), not an object") }
        self.json = json
        self.place = place
    }

    private func wrong(_ name: String, _ value: JSON, _ expected: String) -> TokenizerError {
        .invalid("\(place).\(name)", "it is \(value.kindName), not \(expected)")
    }

    /// Nil for an absent field and for null.
    func optional(_ name: String) -> JSON? {
        guard let value = json[name], !value.isNull else { return nil }
        return value
    }

    func required(_ name: String) throws(TokenizerError) -> JSON {
        guard let value = optional(name) else { throw .missing("\(place).\(name)") }
        return value
    }

    /// The component's kind.
    func type() throws(TokenizerError) -> String { try string("type") }

    func string(_ name: String) throws(TokenizerError) -> String {
        let value = try required(name)
        guard let string = value.string else { throw wrong(name, value, "a string") }
        return string
    }

    func optionalString(_ name: String) throws(TokenizerError) -> String? {
        optional(name) == nil ? nil : try string(name)
    }

    func bool(_ name: String, default fallback: Bool? = nil) throws(TokenizerError) -> Bool {
        guard let value = optional(name) else {
            if let fallback { return fallback }
            throw .missing("\(place).\(name)")
        }
        guard let bool = value.bool else { throw wrong(name, value, "a boolean") }
        return bool
    }

    /// A whole number of 0 or more.
    func count(_ name: String) throws(TokenizerError) -> Int {
        let value = try required(name)
        guard let count = value.int, count >= 0 else {
            throw wrong(name, value, "a whole number of 0 or more")
        }
        return count
    }

    func array(_ name: String) throws(TokenizerError) -> [JSON] {
        let value = try required(name)
        guard let array = value.array else { throw wrong(name, value, "an array") }
        return array
    }

    func fields(_ name: String) throws(TokenizerError) -> ComponentFields {
        try ComponentFields(required(name), at: "\(place).\(name)")
    }

    /// The fields of each element of an array.
    func elements(_ name: String) throws(TokenizerError) -> [ComponentFields] {
        var result: [ComponentFields] = []
        for (i, element) in try array(name).enumerated() {
            result.append(try ComponentFields(element, at: "\(place).\(name)[\(i)]"))
        }
        return result
    }

    /// `{"String": "…"}` or `{"Regex": "…"}`.
    func pattern(_ name: String) throws(TokenizerError) -> TextPattern {
        let fields = try fields(name)
        if let literal = try fields.optionalString("String") {
            if literal.isEmpty { throw .unsupported("\(fields.place).String", "an empty pattern") }
            return .literal(Array(literal.utf8))
        }
        if let expression = try fields.optionalString("Regex") {
            return .expression(try Expression(expression, at: "\(fields.place).Regex"))
        }
        throw .unsupported(fields.place, "it is neither {\"String\"} nor {\"Regex\"}")
    }
}
