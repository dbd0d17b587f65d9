/// Tokens on their way through a decoder's stages, one at a time: gives the same bytes as all at once would,
/// each as soon as no later token can change it.
struct DecoderRun: Sendable {
    private struct State {
        /// What waits for later tokens.
        var held: [UInt8] = []
        var hasHeld = false
        /// Tokens seen.
        var seen = 0
        /// What has been taken off the beginning; `Int.max` when nothing more will.
        var stripped = 0
        /// The stage sees one token, in parts.
        var isFused: Bool
    }

    private let decoder: TokenDecoder
    private let repairs: Bool
    private var states: [State]

    /// - Parameters:
    ///   - repairs: bytes that are not UTF-8 become U+FFFD where a stage does that; otherwise they stay.
    ///   - continuing: the ids go on from others, so nothing is taken off the beginning.
    init(_ decoder: TokenDecoder, repairs: Bool, continuing: Bool) {
        self.decoder = decoder
        self.repairs = repairs
        states = decoder.stages.indices.map { index in
            var state = State(isFused: decoder.fuses(before: index))
            if continuing {
                state.seen = 1
                if state.isFused { state.stripped = .max }
            }
            return state
        }
    }

    mutating func push(_ id: Int32, skipSpecial: Bool, to output: inout [UInt8]) {
        if skipSpecial && decoder.special.contains(id) { return }
        guard let piece = decoder.piece(id) else { return }
        pass(piece, stage: 0, to: &output)
    }

    mutating func finish(to output: inout [UInt8]) {
        for stage in states.indices {
            let held = states[stage].held
            let hasHeld = states[stage].hasHeld
            states[stage].held = []
            states[stage].hasHeld = false
            if !hasHeld { continue }
            switch decoder.stages[stage] {
            case .byteFallback:
                if states[stage].isFused {
                    passByte(held, stage, to: &output)
                } else {
                    passRun(held, stage, to: &output)
                }
            case .replace(let pattern, let content):
                pass(pattern.replace(in: held, with: content), stage: stage + 1, to: &output)
            case .strip(let content, let start, let stop):
                // A held tail of single bytes is what is taken off; longer contents wait for the whole text.
                if content.count > 1 {
                    let limit = states[stage].stripped == .max ? 0 : start
                    pass(Self.strip(held, content, limit, stop), stage: stage + 1, to: &output)
                }
            case .wordSuffix(let suffix):
                pass(TextPattern.literal(suffix).replace(in: held, with: []), stage: stage + 1, to: &output)
            case .byteLevel:
                pass(ByteAlphabet.decode(held) ?? held, stage: stage + 1, to: &output)
            case .metaspace, .fuse, .separate:
                pass(held, stage: stage + 1, to: &output)
            }
        }
    }

    /// Gives a token, or a part of the one that all are by then, to a stage.
    private mutating func pass(_ token: [UInt8], stage: Int, to output: inout [UInt8]) {
        guard stage < states.count else {
            output += token
            return
        }
        let seen = states[stage].seen
        if !states[stage].isFused { states[stage].seen += 1 }
        switch decoder.stages[stage] {
        case .fuse: pass(token, stage: stage + 1, to: &output)
        case .replace(let pattern, let content):
            if states[stage].isFused {
                passReplaced(token, pattern, content, stage, to: &output)
            } else {
                pass(pattern.replace(in: token, with: content), stage: stage + 1, to: &output)
            }
        case .byteFallback: passFallback(token, stage, to: &output)
        case .strip(let content, let start, let stop):
            if states[stage].isFused {
                passStripped(token, content, start, stop, stage, to: &output)
            } else {
                pass(Self.strip(token, content, start, stop), stage: stage + 1, to: &output)
            }
        case .metaspace(let mark, let dropsFirst):
            let content: [UInt8] = seen == 0 && dropsFirst ? [] : [0x20]
            let pattern = TextPattern.literal(mark)
            if states[stage].isFused { return passReplaced(token, pattern, content, stage, to: &output) }
            pass(pattern.replace(in: token, with: content), stage: stage + 1, to: &output)
        case .byteLevel(let fromAlphabet):
            if fromAlphabet && states[stage].isFused { return hold(token, stage) }
            let bytes = fromAlphabet ? ByteAlphabet.decode(token) ?? token : token
            pass(bytes, stage: stage + 1, to: &output)
        case .wordSuffix(let suffix):
            if states[stage].isFused { return passReplaced(token, .literal(suffix), [], stage, to: &output) }
            let held = states[stage].held
            let hasHeld = states[stage].hasHeld
            states[stage].held = token
            states[stage].hasHeld = true
            if hasHeld {
                pass(
                    TextPattern.literal(suffix).replace(in: held, with: [0x20]), stage: stage + 1, to: &output
                )
            }
        case .separate: pass(seen == 0 ? token : [0x20] + token, stage: stage + 1, to: &output)
        }
    }

    private mutating func passFallback(_ token: [UInt8], _ stage: Int, to output: inout [UInt8]) {
        if states[stage].isFused {
            hold(token, stage)
        } else if let byte = Self.byte(of: token) {
            if repairs { hold([byte], stage) } else { pass([byte], stage: stage + 1, to: &output) }
        } else {
            if states[stage].hasHeld {
                let held = states[stage].held
                states[stage].held = []
                states[stage].hasHeld = false
                passRun(held, stage, to: &output)
            }
            pass(token, stage: stage + 1, to: &output)
        }
    }

    private mutating func hold(_ bytes: [UInt8], _ stage: Int) {
        states[stage].held += bytes
        states[stage].hasHeld = true
    }

    /// The bytes of a run of byte tokens.
    private mutating func passRun(_ bytes: [UInt8], _ stage: Int, to output: inout [UInt8]) {
        let text =
            String(validating: bytes, as: UTF8.self) != nil
            ? bytes : [[UInt8]](repeating: [0xEF, 0xBF, 0xBD], count: bytes.count).flatMap(\.self)
        pass(text, stage: stage + 1, to: &output)
    }

    /// The one token that all became, at the end.
    private mutating func passByte(_ token: [UInt8], _ stage: Int, to output: inout [UInt8]) {
        if let byte = Self.byte(of: token) {
            passRun([byte], stage, to: &output)
        } else {
            pass(token, stage: stage + 1, to: &output)
        }
    }

    /// A literal is replaced as soon as it is complete; an expression sees the whole text.
    private mutating func passReplaced(
        _ part: [UInt8], _ pattern: TextPattern, _ content: [UInt8], _ stage: Int, to output: inout [UInt8]
    ) {
        guard case .literal(let literal) = pattern else { return hold(part, stage) }
        let text = states[stage].held + part
        // The longest end of the text, behind the last match, that may be the beginning of another.
        let settled = TextPattern.literal(literal).matches(in: text, 0..<text.count).last?.upperBound ?? 0
        let longest = min(literal.count - 1, text.count - settled)
        let tail =
            stride(from: longest, to: 0, by: -1).first { text.suffix($0).elementsEqual(literal.prefix($0)) }
            ?? 0
        states[stage].held = Array(text.suffix(tail))
        states[stage].hasHeld = tail > 0
        pass(pattern.replace(in: text.dropLast(tail), with: content), stage: stage + 1, to: &output)
    }

    private mutating func passStripped(
        _ part: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int, _ stage: Int, to output: inout [UInt8]
    ) {
        guard content.count == 1 else { return hold(part, stage) }
        var part = part[...]
        while states[stage].stripped < start, let first = part.first {
            if first == content[0] {
                part = part.dropFirst()
                states[stage].stripped += 1
            } else {
                states[stage].stripped = .max
            }
        }
        let text = states[stage].held + part
        let tail = min(stop, text.reversed().prefix { $0 == content[0] }.count)
        states[stage].held = Array(text.suffix(tail))
        states[stage].hasHeld = tail > 0
        pass(text.dropLast(tail), stage: stage + 1, to: &output)
    }

    /// The byte that a token `<0xHH>` stands for.
    static func byte(of token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else {
            return nil
        }
        guard let high = digit(token[3]), let low = digit(token[4]) else { return nil }
        return high << 4 | low
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    /// `token` without up to `start` contents at its beginning and `stop` at its end.
    static func strip(_ token: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
        var rest = token[...]
        var count = 0
        while count < start && rest.starts(with: content) {
            rest = rest.dropFirst(content.count)
            count += 1
        }
        count = 0
        while count < stop && rest.suffix(content.count).elementsEqual(content) {
            rest = rest.dropLast(content.count)
            count += 1
        }
        return Array(rest)
    }
}
