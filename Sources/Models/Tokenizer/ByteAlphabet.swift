/// GPT-2's way to write bytes as printable characters
/// (https://github.com/openai/gpt-2/blob/master/src/encoder.py): printable Latin-1 bytes are the character of
/// the same code point, the others are U+0100 and up in order.
enum ByteAlphabet {
    /// The code point of each byte.
    static let scalars: [UInt32] = {
        var following: UInt32 = 0x100
        return (0..<256).map { (byte: UInt32) in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return byte
            default:
                defer { following += 1 }
                return following
            }
        }
    }()

    /// The byte of each code point below 0x144; -1 for those outside the alphabet.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
        return bytes
    }()

    /// The bytes that `text`, UTF-8 in the alphabet, stands for; nil if any character is not of the alphabet.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        return decode(text, to: &result) ? result : nil
    }

    /// Appends the bytes that `text` stands for; false, with nothing appended, if any character is not of the
    /// alphabet.
    static func decode(_ text: some Collection<UInt8>, to result: inout [UInt8]) -> Bool {
        let start = result.count
        if append(text, to: &result) { return true }
        result.removeLast(result.count - start)
        return false
    }

    private static func append(_ text: some Collection<UInt8>, to result: inout [UInt8]) -> Bool {
        var lead: UInt32 = 0
        for byte in text {
            switch byte {
            case 0x21...0x7E where lead == 0: result.append(byte)
            case 0xC2...0xC5 where lead == 0: lead = UInt32(byte)
            case 0x80...0xBF where lead != 0:
                let scalar = Int(lead & 0x1F) << 6 | Int(byte & 0x3F)
                lead = 0
                guard scalar < bytes.count, bytes[scalar] >= 0 else { return false }
                result.append(UInt8(bytes[scalar]))
            default: return false
            }
        }
        return lead == 0
    }

    /// `bytes` written in the alphabet, as UTF-8.
    static func encode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        for byte in bytes {
            let scalar = scalars[Int(byte)]
            if scalar < 0x80 {
                result.append(UInt8(scalar))
            } else {
                result.append(UInt8(0xC0 | scalar >> 6))
                result.append(UInt8(0x80 | scalar & 0x3F))
            }
        }
        return result
    }
}
