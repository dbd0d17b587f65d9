/// SentencePiece's unigram model as the tokenizers library runs it (https://arxiv.org/abs/1804.10959): of all
/// ways to make a piece of tokens, the one with the highest sum of scores.
struct UnigramModel: Sendable {
    private let tokens: TokenTable
    private let scores: [Double]
    private let trie: TokenTrie
    private let unknown: Int32?
    private let unknownScore: Double
    /// By byte, -1 where there is none; nil if the model does not fall back to bytes.
    private let bytes: [Int32]?

    /// How much worse than the worst token an unknown character is.
    private static let unknownPenalty = 10.0

    init(tokens: TokenTable, scores: [Double], unknown: Int32?, bytes: [Int32]?) {
        self.tokens = tokens
        self.scores = scores
        self.unknown = unknown
        self.bytes = bytes
        unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
        trie = TokenTrie(
            (0..<tokens.count).filter { !tokens[$0].isEmpty }.map { (Array(tokens[$0]), Int32($0)) })
    }

    private struct Best {
        var score = 0.0
        /// Where the token that ends here begins; -1: nothing ends here.
        var start = -1
        var id: Int32 = -1
    }

    /// Appends the ids of the piece `text[range]`. Without an unknown token, what cannot be expressed is left
    /// out.
    func encode(_ text: [UInt8], _ range: Range<Int>, to output: inout [Int32]) {
        var best = [Best](repeating: Best(), count: range.count + 1)
        best[0].start = 0
        var start = range.lowerBound
        while start < range.upperBound {
            let from = start - range.lowerBound
            let character = min(start + UTF8Character.length(lead: text[start]), range.upperBound)
            var coversCharacter = false
            trie.forEach(in: text, from: start, to: range.upperBound) { id, end in
                Self.improve(&best[end - range.lowerBound], best[from].score + scores[Int(id)], from, id)
                if end == character { coversCharacter = true }
            }
            if !coversCharacter {
                Self.improve(&best[character - range.lowerBound], best[from].score + unknownScore, from, -1)
            }
            start = character
        }
        appendPath(text, range, best, to: &output)
    }

    private static func improve(_ best: inout Best, _ score: Double, _ start: Int, _ id: Int32) {
        if best.start < 0 || score > best.score { best = Best(score: score, start: start, id: id) }
    }

    private func appendPath(_ text: [UInt8], _ range: Range<Int>, _ best: [Best], to output: inout [Int32]) {
        var path: [(start: Int, end: Int, id: Int32)] = []
        var end = range.count
        while end > 0 {
            path.append((best[end].start, end, best[end].id))
            end = best[end].start
        }
        path.reverse()
        var at = 0
        while at < path.count {
            let first = path[at]
            at += 1
            if first.id >= 0 && first.id != unknown {
                output.append(first.id)
                continue
            }
            // A run of unknown characters is one token, or its bytes.
            var end = first.end
            while at < path.count, path[at].id < 0 || path[at].id == unknown {
                end = path[at].end
                at += 1
            }
            appendUnknown(text, range.lowerBound + first.start..<range.lowerBound + end, to: &output)
        }
    }

    private func appendUnknown(_ text: [UInt8], _ range: Range<Int>, to output: inout [Int32]) {
        if let id = tokens.id(of: text, range) {
            output.append(id)
        } else if let bytes, range.allSatisfy({ bytes[Int(text[$0])] >= 0 }) {
            output += range.map { bytes[Int(text[$0])] }
        } else if let unknown {
            output.append(unknown)
        }
    }
}
