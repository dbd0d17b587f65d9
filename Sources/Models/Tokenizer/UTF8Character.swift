/// UTF-8's byte patterns (https://www.rfc-editor.org/rfc/rfc3629).
enum UTF8Character {
    /// Length of the character that `lead` begins; 1 for a byte that begins none.
    static func length(lead: UInt8) -> Int {
        switch lead {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 1
        }
    }

    /// How many bytes at the end of `bytes` are the beginning of a character that the next bytes may
    /// complete; 0 if none.
    static func incompleteTail(of bytes: some BidirectionalCollection<UInt8>) -> Int {
        let tail = Array(bytes.suffix(3))
        for count in stride(from: tail.count, to: 0, by: -1) where isIncomplete(tail.suffix(count)) {
            return count
        }
        return 0
    }

    /// Whether `bytes`, not empty, are a proper beginning of one well-formed character.
    private static func isIncomplete(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let lead = bytes.first, bytes.count < length(lead: lead) else { return false }
        let following = bytes.dropFirst()
        guard following.allSatisfy({ $0 & 0xC0 == 0x80 }) else { return false }
        guard let second = following.first else { return true }
        switch lead {
        case 0xE0: return second >= 0xA0
        case 0xED: return second < 0xA0
        case 0xF0: return second >= 0x90
        case 0xF4: return second < 0x90
        default: return true
        }
    }
}
