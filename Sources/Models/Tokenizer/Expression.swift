import CPCRE2

/// A compiled regular expression over UTF-8 bytes (PCRE2,
/// https://www.pcre.org/current/doc/html/pcre2api.html), written in Oniguruma's syntax, which is what
/// tokenizer.json files are written for (see `ExpressionSyntax`).
///
/// `@unchecked Sendable`: a compiled pattern is read-only once made; what a match writes lies in the caller's
/// `ExpressionMatcher`.
final class Expression: @unchecked Sendable {
    /// As it was given, for messages.
    let source: String
    private let code: OpaquePointer

    /// - Throws: `unsupported` or `invalid` at `place`, naming the expression.
    init(_ source: String, at place: String) throws(TokenizerError) {
        self.source = source
        let pattern = Array(try ExpressionSyntax.pcre2(from: source, at: place).utf8)
        var error: Int32 = 0
        var offset = 0
        // Oniguruma's ^ and $ are a line's.
        let options = UInt32(PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE)
        guard let code = millrace_pcre2_compile(pattern, pattern.count, options, &error, &offset) else {
            throw .invalid(place, "the expression \(source): \(Self.message(error))")
        }
        self.code = code
    }

    deinit { pcre2_code_free_8(code) }

    private static func message(_ error: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let length = pcre2_get_error_message_8(error, &buffer, buffer.count)
        return length > 0 ? String(decoding: buffer[..<Int(length)], as: UTF8.self) : "error \(error)"
    }

    /// All matches within `text[range]`, in order, seen as a text of its own: nothing outside is looked at.
    /// An empty match directly behind another one does not count. `text` must be UTF-8.
    ///
    /// A search that exceeds the matcher's limits (catastrophic backtracking) ends the list; the same text
    /// always ends it at the same place.
    func forEachMatch(
        in text: [UInt8], _ range: Range<Int>, with matcher: ExpressionMatcher, _ body: (Range<Int>) -> Void
    ) {
        if range.isEmpty { return }
        var from = range.lowerBound
        var last = -1
        while from <= range.upperBound, let match = matcher.match(code, text, range, from: from) {
            if match.isEmpty && match.lowerBound == last {
                from += 1
                while from < range.upperBound && text[from] & 0xC0 == 0x80 { from += 1 }
                continue
            }
            body(match)
            from = match.upperBound
            last = from
        }
    }
}

/// What one search at a time writes to: belongs to one thread at a time, works with every expression.
///
/// `@unchecked Sendable`: a scratch owns it and is lent to one call at a time (`TokenizerScratchPool`).
final class ExpressionMatcher: @unchecked Sendable {
    private let data: OpaquePointer
    private let context: OpaquePointer
    private let stack: OpaquePointer?

    /// Backtracking steps in one search; the largest honest search of a pre-tokenizer (16 MB of blanks) stays
    /// below.
    private static let matchLimit: UInt32 = 100_000_000
    private static let heapLimitKiB: UInt32 = 256 * 1024
    private static let stackBytes = (first: 32 * 1024, most: 1024 * 1024)

    init() {
        guard let data = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil)
        else {
            preconditionFailure("out of memory")
        }
        self.data = data
        self.context = context
        pcre2_set_match_limit_8(context, Self.matchLimit)
        pcre2_set_heap_limit_8(context, Self.heapLimitKiB)
        stack = pcre2_jit_stack_create_8(Self.stackBytes.first, Self.stackBytes.most, nil)
        if let stack { pcre2_jit_stack_assign_8(context, nil, .init(stack)) }
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
        if let stack { pcre2_jit_stack_free_8(stack) }
    }

    fileprivate func match(_ code: OpaquePointer, _ text: [UInt8], _ range: Range<Int>, from: Int) -> Range<
        Int
    >? {
        var start = 0
        var end = 0
        let found = millrace_pcre2_match(
            code, text, range.lowerBound, range.upperBound, from, data, context, &start, &end)
        return found ? start..<end : nil
    }
}
