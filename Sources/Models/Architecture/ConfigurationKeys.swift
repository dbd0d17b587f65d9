import JSON

/// Reads members of a config.json, with the defaults of the model's family; a member of the wrong kind is
/// an error.
struct ConfigurationKeys {
    let file: String
    /// Put before names in messages: "text_config.".
    let prefix: String
    let object: JSONObject

    init(file: String, prefix: String = "", _ object: JSONObject) {
        self.file = file
        self.prefix = prefix
        self.object = object
    }

    func malformed(_ name: String, _ reason: String) -> ModelError {
        .malformed(file: file, field: prefix + name, reason: reason)
    }

    func unsupported(_ name: String, _ reason: String) -> ModelError {
        .unsupported(file: file, field: prefix + name, reason: reason)
    }

    /// The member is there, be it null.
    func has(_ name: String) -> Bool { object[name] != nil }

    /// A member that is neither absent nor null.
    func value(_ name: String) -> JSON? {
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    private func first(_ names: [String]) -> (name: String, value: JSON)? {
        for name in names {
            if let value = value(name) { return (name, value) }
        }
        return nil
    }

    /// The first of `names` that is there: names differ between versions.
    func int(_ names: String...) throws(ModelError) -> Int? {
        guard let (name, value) = first(names) else { return nil }
        guard let int = value.int else { throw malformed(name, "must be a whole number, is \(value.text)") }
        return int
    }

    func number(_ names: String...) throws(ModelError) -> Double? {
        guard let (name, value) = first(names) else { return nil }
        guard let number = value.double else { throw malformed(name, "must be a number, is \(value.text)") }
        return number
    }

    func flag(_ name: String) throws(ModelError) -> Bool? {
        guard let value = value(name) else { return nil }
        guard let flag = value.bool else {
            throw malformed(name, "must be true or false, is \(value.text)")
        }
        return flag
    }

    func text(_ names: String...) throws(ModelError) -> String? {
        guard let (name, value) = first(names) else { return nil }
        guard let text = value.string else { throw malformed(name, "must be a string, is \(value.text)") }
        return text
    }

    /// An optional feature whose explicit null means off, and whose absence means the family's default.
    func number(_ name: String, absent: Double?) throws(ModelError) -> Double? {
        has(name) ? try number(name) : absent
    }

    /// A nested object; nil where absent or null.
    func keys(_ name: String) throws(ModelError) -> ConfigurationKeys? {
        guard let value = value(name) else { return nil }
        guard let object = value.object else {
            throw malformed(name, "must be an object, is \(value.kindName)")
        }
        return ConfigurationKeys(file: file, prefix: "\(prefix)\(name).", object)
    }
}
