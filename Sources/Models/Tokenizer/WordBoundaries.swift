/// Where a text whose spaces are U+2581 can be cut so that its parts encode to the same ids as the whole:
/// before a U+2581 that no token has in its middle behind such a byte. A merge across the cut would make such
/// a token.
///
/// SentencePiece models look at whole texts, but almost none of their tokens span words.
struct WordBoundaries: Sendable {
    /// U+2581 in UTF-8.
    static let mark: [UInt8] = [0xE2, 0x96, 0x81]

    /// Bytes that stand directly before a mark within a token, other than another mark's last.
    private var joined = [Bool](repeating: false, count: 256)

    /// Nil for tables without the mark.
    init?(_ table: TokenTable) {
        if table.id(of: Self.mark) == nil { return nil }
        for id in 0..<table.count {
            let token = table[id]
            var at = token.startIndex + 1
            while at + 2 < token.endIndex {
                if Self.isMark(token, at) && !Self.isMark(token, at - 3) { joined[Int(token[at - 1])] = true }
                at += 1
            }
        }
    }

    private static func isMark(_ bytes: ArraySlice<UInt8>, _ at: Int) -> Bool {
        at >= bytes.startIndex && at + 2 < bytes.endIndex
            && bytes[at] == mark[0] && bytes[at + 1] == mark[1] && bytes[at + 2] == mark[2]
    }

    /// The end of the first part of `text[range]`, which is not empty.
    func end(of text: [UInt8], _ range: Range<Int>) -> Int {
        var at = range.lowerBound + 1
        while at + 2 < range.upperBound {
            if text[at] == 0xE2 && text[at + 1] == 0x96 && text[at + 2] == 0x81 {
                let afterMark =
                    at - range.lowerBound >= 3
                    && text[at - 3] == 0xE2 && text[at - 2] == 0x96 && text[at - 1] == 0x81
                if !afterMark && !joined[Int(text[at - 1])] { return at }
                at += 3
            } else {
                at += 1
            }
        }
        return range.upperBound
    }
}
