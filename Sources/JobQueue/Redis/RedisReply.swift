import CHiredis

/// What the server answered, copied out of hiredis.
///
/// Source: https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2)
enum RedisReply: Sendable, Equatable {
    case null
    case int(Int64)
    case bytes([UInt8])
    /// `OK` and the like.
    case status(String)
    case error(String)
    case array([RedisReply])

    init(_ reply: UnsafePointer<redisReply>) {
        let raw = reply.pointee
        // Widths of the lengths differ between hiredis 0.14 and 1.x.
        let bytes = UnsafeRawBufferPointer(start: raw.str, count: raw.str == nil ? 0 : Int(raw.len))
        switch raw.type {
        case REDIS_REPLY_INTEGER: self = .int(Int64(raw.integer))
        case REDIS_REPLY_STRING: self = .bytes([UInt8](bytes))
        case REDIS_REPLY_STATUS: self = .status(String(decoding: bytes, as: UTF8.self))
        case REDIS_REPLY_ERROR: self = .error(String(decoding: bytes, as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            self = .array(
                (0..<Int(raw.elements)).map { at in
                    guard let element = raw.element?[at] else { return .null }
                    return RedisReply(element)
                })
        default: self = .null
        }
    }

    var bytes: [UInt8]? { if case .bytes(let bytes) = self { bytes } else { nil } }
    var array: [RedisReply]? { if case .array(let elements) = self { elements } else { nil } }

    /// Text or a status.
    var text: String? {
        switch self {
        case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text): text
        default: nil
        }
    }

    /// A number, or a text that is one.
    var int: Int64? {
        switch self {
        case .int(let value): value
        case .bytes(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        default: nil
        }
    }
}

/// A command as the protocol writes it.
struct RedisCommand: Sendable {
    private(set) var bytes: [UInt8]

    init(_ arguments: [RedisArgument]) {
        var size = 16
        for argument in arguments { size += argument.bytes.count + 16 }
        bytes = []
        bytes.reserveCapacity(size)
        bytes += Array("*\(arguments.count)\r\n".utf8)
        for argument in arguments {
            bytes += Array("$\(argument.bytes.count)\r\n".utf8)
            bytes += argument.bytes
            bytes += [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
        }
    }
}

/// One argument of a command.
struct RedisArgument: Sendable, ExpressibleByStringLiteral {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }
    init(_ text: String) { bytes = Array(text.utf8) }
    init(_ number: some BinaryInteger) { bytes = Array("\(number)".utf8) }
    init(stringLiteral value: String) { self.init(value) }
}
