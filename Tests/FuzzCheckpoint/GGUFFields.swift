/// The numbers in the header of a GGUF file, found without trusting it: a walk that stops where the file
/// ends. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
struct GGUFFields {
    struct Field {
        let offset: Int
        let width: Int

        func value(in bytes: [UInt8]) -> UInt64 {
            bytes[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }

        func store(_ value: UInt64, in bytes: inout [UInt8]) {
            for index in 0..<width {
                bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
            }
        }
    }

    private let bytes: [UInt8]
    private var at = 0
    private var fields: [Field] = []

    static func find(in bytes: [UInt8]) -> [Field] {
        var walk = GGUFFields(bytes: bytes)
        walk.header()
        return walk.fields
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// Notes a number and steps over it; 0 at the end of the file.
    @discardableResult
    private mutating func number(_ width: Int) -> UInt64 {
        guard at + width <= bytes.count else {
            at = bytes.count
            return 0
        }
        let field = Field(offset: at, width: width)
        fields.append(field)
        at += width
        return field.value(in: bytes)
    }

    private mutating func string() {
        let length = number(8)
        at = length < UInt64(bytes.count - at) ? at + Int(length) : bytes.count
    }

    private mutating func value(type: UInt64) {
        switch type {
        case 0, 1, 7: number(1)
        case 2, 3: number(2)
        case 4, 5, 6: number(4)
        case 10, 11, 12: number(8)
        case 8: string()
        case 9:
            let element = number(4)
            var count = number(8)
            while count > 0, at < bytes.count {
                value(type: element)
                count -= 1
            }
        default: at = bytes.count
        }
    }

    private mutating func header() {
        number(4)
        number(4)
        var tensors = number(8)
        var keys = number(8)
        while keys > 0, at < bytes.count {
            string()
            value(type: number(4))
            keys -= 1
        }
        while tensors > 0, at < bytes.count {
            string()
            for _ in 0..<min(number(4), 8) { number(8) }
            number(4)
            number(8)
            tensors -= 1
        }
    }
}
