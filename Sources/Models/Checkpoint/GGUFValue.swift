/// A metadata value of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
/// Whole numbers of every width are `.int` (or `.uint` above Int64.max), floats are `.double`.
/// Strings keep their bytes: vocabularies hold tokens that are not UTF-8.
package enum GGUFValue: Sendable, Equatable {
    case int(Int64)
    case uint(UInt64)
    case double(Double)
    case bool(Bool)
    case string([UInt8])
    case ints([Int64])
    case doubles([Double])
    case bools([Bool])
    case strings([[UInt8]])
    /// Arrays of arrays; no known key uses them.
    case nested([GGUFValue])
}

/// The metadata of a GGUF file by key. Reading returns nil for an absent key or one of another type.
package struct GGUFMetadata: Sendable, Equatable {
    package var values: [String: GGUFValue]

    package init(_ values: [String: GGUFValue]) { self.values = values }

    package subscript(key: String) -> GGUFValue? { values[key] }

    package func int(_ key: String) -> Int? {
        if case .int(let value)? = values[key] { Int(exactly: value) } else { nil }
    }

    package func double(_ key: String) -> Double? {
        switch values[key] {
        case .double(let value)?: value
        case .int(let value)?: Double(value)
        default: nil
        }
    }

    package func bool(_ key: String) -> Bool? {
        if case .bool(let value)? = values[key] { value } else { nil }
    }

    /// Invalid UTF-8 is replaced.
    package func string(_ key: String) -> String? {
        if case .string(let value)? = values[key] { String(decoding: value, as: UTF8.self) } else { nil }
    }

    package func strings(_ key: String) -> [[UInt8]]? {
        if case .strings(let value)? = values[key] { value } else { nil }
    }

    package func ints(_ key: String) -> [Int64]? {
        if case .ints(let value)? = values[key] { value } else { nil }
    }

    package func doubles(_ key: String) -> [Double]? {
        switch values[key] {
        case .doubles(let value)?: value
        case .ints(let value)?: value.map(Double.init)
        default: nil
        }
    }
}
