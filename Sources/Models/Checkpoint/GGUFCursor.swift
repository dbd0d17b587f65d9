/// Reads the header of a GGUF file front to back; every length and count is checked against what is left
/// of the file before anything is allocated. Format:
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
struct GGUFCursor {
    let file: String
    let bytes: UnsafeRawBufferPointer
    private(set) var offset = 0
    /// Array elements that the metadata may still hold; see `Limits.elements`.
    private var elementsLeft = Limits.elements

    /// Far above any real file, low enough that a hostile one cannot make the reader take gigabytes.
    enum Limits {
        static let keys = 1 << 16
        static let tensors = 1 << 20
        /// Elements of all metadata arrays together; the largest vocabularies have about a million.
        static let elements = 1 << 24
        static let arrayDepth = 4
        static let nameBytes = 1 << 16
    }

    init(file: String, bytes: UnsafeRawBufferPointer) {
        self.file = file
        self.bytes = bytes
    }

    var remaining: Int { bytes.count - offset }

    func malformed(_ field: String, _ reason: String) -> ModelError {
        .malformed(file: file, field: field, reason: "\(reason) (at byte \(offset) of \(bytes.count))")
    }

    mutating func integer<T: FixedWidthInteger>(
        _: T.Type, _ field: @autoclosure () -> String
    ) throws(ModelError) -> T {
        guard remaining >= MemoryLayout<T>.size else { throw malformed(field(), "the file ends here") }
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
        offset += MemoryLayout<T>.size
        return T(littleEndian: value)
    }

    /// A count of things that take at least `minimumBytes` each, so that an absurd one is found before
    /// allocating.
    mutating func count(
        minimumBytes: Int, limit: Int, _ field: @autoclosure () -> String
    ) throws(ModelError) -> Int {
        let raw = try integer(UInt64.self, field())
        guard raw <= UInt64(limit) else {
            throw malformed(field(), "\(raw) is above the limit of \(limit)")
        }
        let count = Int(raw)
        guard count <= remaining / minimumBytes else {
            throw malformed(field(), "\(count) do not fit into the \(remaining) bytes that are left")
        }
        return count
    }

    /// A length-prefixed string as bytes.
    mutating func string(_ field: @autoclosure () -> String) throws(ModelError) -> [UInt8] {
        let length = try integer(UInt64.self, field())
        guard length <= UInt64(remaining) else {
            throw malformed(
                field(), "a string of \(length) bytes does not fit into the \(remaining) that are left")
        }
        let start = offset
        offset += Int(length)
        return [UInt8](bytes[start..<offset])
    }

    /// A length-prefixed string that names something: short, and UTF-8.
    mutating func name(_ field: @autoclosure () -> String) throws(ModelError) -> String {
        let start = offset
        let raw = try string(field())
        guard raw.count <= Limits.nameBytes, !raw.isEmpty, let text = String(validating: raw, as: UTF8.self)
        else {
            offset = start
            throw malformed(
                field(), "a name must be UTF-8 of 1 to \(Limits.nameBytes) bytes, this one has \(raw.count)"
            )
        }
        return text
    }

    mutating func boolean(_ field: @autoclosure () -> String) throws(ModelError) -> Bool {
        let raw = try integer(UInt8.self, field())
        guard raw <= 1 else { throw malformed(field(), "a boolean must be 0 or 1, this is \(raw)") }
        return raw == 1
    }
}

// MARK: - Metadata values

extension GGUFCursor {
    private enum ValueType: UInt32 {
        case uint8 = 0
        case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

        /// Bytes that one value takes at least.
        var minimumBytes: Int {
            switch self {
            case .uint8, .int8, .bool: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64, .string: 8
            case .array: 12
            }
        }
    }

    private mutating func valueType(_ field: @autoclosure () -> String) throws(ModelError) -> ValueType {
        let raw = try integer(UInt32.self, field())
        guard let type = ValueType(rawValue: raw) else {
            throw malformed(field(), "unknown value type \(raw)")
        }
        return type
    }

    /// A typed value: its type id, then itself.
    mutating func value(_ field: String) throws(ModelError) -> GGUFValue {
        switch try valueType("\(field): type") {
        case .uint8: .int(Int64(try integer(UInt8.self, field)))
        case .int8: .int(Int64(try integer(Int8.self, field)))
        case .uint16: .int(Int64(try integer(UInt16.self, field)))
        case .int16: .int(Int64(try integer(Int16.self, field)))
        case .uint32: .int(Int64(try integer(UInt32.self, field)))
        case .int32: .int(Int64(try integer(Int32.self, field)))
        case .int64: .int(try integer(Int64.self, field))
        case .uint64: Self.whole(try integer(UInt64.self, field))
        case .float32: .double(Double(Float(bitPattern: try integer(UInt32.self, field))))
        case .float64: .double(Double(bitPattern: try integer(UInt64.self, field)))
        case .bool: .bool(try boolean(field))
        case .string: .string(try string(field))
        case .array: try array(field, depth: 1)
        }
    }

    private static func whole(_ value: UInt64) -> GGUFValue {
        Int64(exactly: value).map { .int($0) } ?? .uint(value)
    }

    private mutating func array(_ field: String, depth: Int) throws(ModelError) -> GGUFValue {
        guard depth <= Limits.arrayDepth else {
            throw malformed(field, "arrays are nested more than \(Limits.arrayDepth) deep")
        }
        let type = try valueType("\(field): element type")
        let count = try count(
            minimumBytes: type.minimumBytes, limit: elementsLeft, "\(field): array length")
        elementsLeft -= count
        switch type {
        case .uint8: return .ints(integers(UInt8.self, count))
        case .int8: return .ints(integers(Int8.self, count))
        case .uint16: return .ints(integers(UInt16.self, count))
        case .int16: return .ints(integers(Int16.self, count))
        case .uint32: return .ints(integers(UInt32.self, count))
        case .int32: return .ints(integers(Int32.self, count))
        case .int64: return .ints(integers(Int64.self, count))
        case .uint64:
            let values = numbers(UInt64.self, count) { Int64(exactly: $0) ?? -1 }
            guard !values.contains(where: { $0 < 0 }) else {
                throw malformed(field, "an array element is above \(Int64.max)")
            }
            return .ints(values)
        case .float32: return .doubles(numbers(UInt32.self, count) { Double(Float(bitPattern: $0)) })
        case .float64: return .doubles(numbers(UInt64.self, count) { Double(bitPattern: $0) })
        case .bool:
            var values: [Bool] = []
            values.reserveCapacity(count)
            for i in 0..<count { values.append(try boolean("\(field)[\(i)]")) }
            return .bools(values)
        case .string:
            var values: [[UInt8]] = []
            values.reserveCapacity(count)
            for i in 0..<count { values.append(try string("\(field)[\(i)]")) }
            return .strings(values)
        case .array:
            var values: [GGUFValue] = []
            for i in 0..<count { values.append(try array("\(field)[\(i)]", depth: depth + 1)) }
            return .nested(values)
        }
    }

    private mutating func integers<T: FixedWidthInteger>(_ type: T.Type, _ count: Int) -> [Int64] {
        numbers(type, count) { Int64(truncatingIfNeeded: $0) }
    }

    /// `count` fixed-width values; the caller has checked that they are there.
    private mutating func numbers<T: FixedWidthInteger, Value>(
        _: T.Type, _ count: Int, _ convert: (T) -> Value
    ) -> [Value] {
        let start = offset
        offset += count * MemoryLayout<T>.size
        return (0..<count).map {
            convert(
                T(
                    littleEndian: bytes.loadUnaligned(
                        fromByteOffset: start + $0 * MemoryLayout<T>.size, as: T.self)))
        }
    }
}
