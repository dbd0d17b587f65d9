import Foundation

/// Writes small GGUF files for tests, valid or broken on purpose.
struct GGUFBuilder {
    var version: UInt32 = 3
    var keys: [(name: String, bytes: [UInt8])] = []
    var tensors: [(name: String, dimensions: [UInt64], type: UInt32, offset: UInt64)] = []
    var data: [UInt8] = []
    var tensorCount: UInt64?
    var keyCount: UInt64?
    var alignment = 32

    static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }
    static func bytes(_ value: Float) -> [UInt8] { bytes(value.bitPattern) }
    static func bytes(_ text: String) -> [UInt8] { bytes(UInt64(text.utf8.count)) + Array(text.utf8) }

    mutating func key(_ name: String, type: UInt32, _ payload: [UInt8]) {
        keys.append((name, Self.bytes(type) + payload))
    }
    mutating func key(_ name: String, _ value: UInt32) { key(name, type: 4, Self.bytes(value)) }
    mutating func key(_ name: String, _ value: String) { key(name, type: 8, Self.bytes(value)) }

    /// Appends a tensor of zeros of `byteCount` bytes; dimensions as in the file, fastest first.
    mutating func tensor(_ name: String, _ dimensions: [UInt64], type: UInt32, byteCount: Int) {
        while data.count % alignment != 0 { data.append(0) }
        tensors.append((name, dimensions, type, UInt64(data.count)))
        data += [UInt8](repeating: 0, count: byteCount)
    }

    var file: [UInt8] {
        var out = Array("GGUF".utf8) + Self.bytes(version)
        out += Self.bytes(tensorCount ?? UInt64(tensors.count)) + Self.bytes(keyCount ?? UInt64(keys.count))
        for key in keys { out += Self.bytes(key.name) + key.bytes }
        for tensor in tensors {
            out += Self.bytes(tensor.name) + Self.bytes(UInt32(tensor.dimensions.count))
            for extent in tensor.dimensions { out += Self.bytes(extent) }
            out += Self.bytes(tensor.type) + Self.bytes(tensor.offset)
        }
        while out.count % alignment != 0 { out.append(0) }
        return out + data
    }
}
