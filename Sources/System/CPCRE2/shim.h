// PCRE2, 8-bit code units (https://www.pcre.org/current/doc/html/pcre2api.html).
#pragma once
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>

// Compiles a pattern of `length` bytes; null on failure, with `*error` and `*offset` set. A line ends with a
// line feed alone.
static inline pcre2_code *millrace_pcre2_compile(
    const uint8_t *pattern, size_t length, uint32_t options, int *error, size_t *offset) {
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) return NULL;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_code *code = pcre2_compile(pattern, length, options, error, offset, context);
    pcre2_compile_context_free(context);
    // Where the platform has no JIT, the interpreter matches the same, slower.
    if (code) pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    return code;
}

// The first match at or behind `from` in text[start..<end], which is UTF-8 and looked at as a subject of its
// own. Offsets count from the beginning of `text`. False: no match, or a limit of `context` was reached.
static inline bool millrace_pcre2_match(
    const pcre2_code *code, const uint8_t *text, size_t start, size_t end, size_t from,
    pcre2_match_data *data, pcre2_match_context *context, size_t *match_start, size_t *match_end) {
    const uint8_t *subject = text + start;
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int found = pcre2_match(code, subject, end - start, from - start, options, data, context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
        // The interpreter keeps its stack on the heap.
        options |= PCRE2_NO_JIT;
        found = pcre2_match(code, subject, end - start, from - start, options, data, context);
    }
    // Zero: matched, with more groups than `data` has room for.
    if (found < 0) return false;
    const size_t *bounds = pcre2_get_ovector_pointer(data);
    // \K in a lookahead can put the start behind the end.
    if (bounds[0] > bounds[1]) return false;
    *match_start = bounds[0] + start;
    *match_end = bounds[1] + start;
    return true;
}
