import CPCRE2

/// A compiled regular expression over UTF-8 bytes (PCRE2, https://www.pcre.org/current/doc/html/pcre2api.html), written in
/// Oniguruma's syntax, which is what tokenizer.json files are written for (see `ExpressionSyntax`).
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
        guard let context = pcre2_compile_context_create_8(nil) else { fatalError("out of memory") }
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))

        var error: Int32 = 0
        var offset = 0
        // Oniguruma's ^ and $ are a line's.
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE
        let compiled = pattern.withUnsafeBufferPointer { bytes in
            pcre2_compile_8(bytes.baseAddress, bytes.count, UInt32(options), &error, &offset, context)
        }
        guard let compiled else {
            throw .invalid(place, "the expression \(source) at \(offset): \(Self.message(error))")
        }
        code = compiled
        // Where the platform has no JIT, the interpreter matches the same, slower.
        pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
    }

    deinit { pcre2_code_free_8(code) }

    private static func message(_ error: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let length = pcre2_get_error_message_8(error, &buffer, buffer.count)
        return length > 0 ? String(decoding: buffer[..<Int(length)], as: UTF8.self) : "error \(error)"
    }

    /// All matches within `text[range]`, in order, seen as a text of its own: nothing outside is looked at. An empty match
    /// directly behind another one does not count. `text` must be UTF-8.
    ///
    /// A search that exceeds the matcher's limits (catastrophic backtracking) ends the list; the same text always ends it
    /// at the same place.
    func forEachMatch(
        in text: [UInt8], _ range: Range<Int>, with matcher: ExpressionMatcher, _ body: (Range<Int>) -> Void
    ) {
        if range.isEmpty { return }
        text.withUnsafeBufferPointer { buffer in
            let subject = UnsafeBufferPointer(rebasing: buffer[range])
            var from = 0
            var last = -1
            while from <= subject.count, let found = matcher.match(code, subject, from: from) {
                if found.isEmpty && found.lowerBound == last {
                    from = Self.nextCharacter(subject, from)
                    continue
                }
                body(found.lowerBound + range.lowerBound..<found.upperBound + range.lowerBound)
                from = found.upperBound
                last = from
            }
        }
    }

    private static func nextCharacter(_ subject: UnsafeBufferPointer<UInt8>, _ from: Int) -> Int {
        var at = from + 1
        while at < subject.count && subject[at] & 0xC0 == 0x80 { at += 1 }
        return at
    }
}

/// What one search at a time writes to: belongs to one thread at a time, works with every expression.
///
/// `@unchecked Sendable`: a scratch owns it and is lent to one call at a time (`TokenizerScratchPool`).
final class ExpressionMatcher: @unchecked Sendable {
    private let data: OpaquePointer
    private let context: OpaquePointer
    private let stack: OpaquePointer?

    /// Backtracking steps in one search; the largest honest search of a pre-tokenizer (16 MB of blanks) stays below it.
    private static let matchLimit: UInt32 = 100_000_000
    private static let heapLimitKiB: UInt32 = 256 * 1024
    private static let stackBytes = (first: 32 * 1024, most: 1024 * 1024)

    init() {
        guard let data = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil) else {
            fatalError("out of memory")
        }
        self.data = data
        self.context = context
        pcre2_set_match_limit_8(context, Self.matchLimit)
        pcre2_set_heap_limit_8(context, Self.heapLimitKiB)
        stack = pcre2_jit_stack_create_8(Self.stackBytes.first, Self.stackBytes.most, nil)
        if let stack { pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack)) }
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
        if let stack { pcre2_jit_stack_free_8(stack) }
    }

    fileprivate func match(_ code: OpaquePointer, _ subject: UnsafeBufferPointer<UInt8>, from: Int) -> Range<Int>? {
        let options = UInt32(PCRE2_NO_UTF_CHECK)
        var result = pcre2_match_8(code, subject.baseAddress, subject.count, from, options, data, context)
        if result == PCRE2_ERROR_JIT_STACKLIMIT {
            // The interpreter keeps its stack on the heap.
            let interpreted = options | UInt32(PCRE2_NO_JIT)
            result = pcre2_match_8(code, subject.baseAddress, subject.count, from, interpreted, data, context)
        }
        // Zero: matched, with more groups than there is room for; only the whole match is of interest.
        guard result >= 0, let bounds = pcre2_get_ovector_pointer_8(data) else { return nil }
        // \K in a lookahead can put the start behind the end.
        return bounds[0] <= bounds[1] ? bounds[0]..<bounds[1] : nil
    }
}
