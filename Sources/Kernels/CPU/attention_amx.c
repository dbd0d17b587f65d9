// Attention by tdpbf16ps: up to 16 queries at once against 16 positions (scores) or 16 dimensions (outputs). Keys of a
// span are right operands as they lie in the cache, 16 pairs of dimensions each; so are its values, 8 pairs of
// positions.
//
// Scores and outputs of a query add its own terms in order of dimension and position; terms of positions that it does
// not see are products with a weight of zero, which change nothing where values are finite (see mend_sums).
#include "tiles.h"
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AMX))), apply_to = function)
#include "vector_avx512bf16.h"
#include "functions_body.h"
enum { FLOATS, WIDENED, PAIRS };
#include "attention_body.h"

enum {
    HALF_PAIRS = MR_SPAN / 2, // pairs of positions in a span
    KEY_STEP = MR_TILE_PAIRS * MR_SPAN * 4,
};

// Keys are padded to whole vectors of dimensions by zeros; so must the queries be.
static void pad_queries(const attention *at) {
    int32_t width = (at->tile->head_width + 1) / 2 * 2, padded = mr_padded_width(width);
    if (padded == width) return;
    for (int32_t i = 0; i < at->queries; i++) {
        memset(at->rounded + (size_t)i * at->query_bytes + width * 2, 0, (size_t)(padded - width) * 2);
    }
}

// Adds a product over the pairs of dimensions that tiles `a` and `b` hold to the scores of one span, or of four.
#define SCORE_STEP(a, b, from)                                                                               \
    do {                                                                                                     \
        TILE_LOAD(a, queries, at->query_bytes);                                                              \
        TILE_LOAD(b, keys[0] + (from), MR_TILE_LINE);                                                        \
        TILE_MULTIPLY(0, a, b);                                                                              \
        if (spans < 4) break;                                                                                \
        TILE_LOAD(b, keys[1] + (from), MR_TILE_LINE);                                                        \
        TILE_MULTIPLY(1, a, b);                                                                              \
        TILE_LOAD(b, keys[2] + (from), MR_TILE_LINE);                                                        \
        TILE_MULTIPLY(2, a, b);                                                                              \
        TILE_LOAD(b, keys[3] + (from), MR_TILE_LINE);                                                        \
        TILE_MULTIPLY(3, a, b);                                                                              \
    } while (0)

// Raw scores of all queries over up to four spans from span `span`.
INLINE void score_spans(const attention *at, int spans, int32_t span) {
    const char *keys[4], *queries = at->rounded;
#pragma clang loop unroll(full)
    for (int s = 0; s < spans; s++) keys[s] = mr_tile_span(at->tile, at->first_span + span + s);
    TILE_ZERO(0);
    if (spans == 4) {
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
    int32_t pairs = mr_padded_width(at->tile->head_width) / 2, steps = pairs / MR_TILE_PAIRS;
    for (int32_t k = 0; k < steps; k++, queries += MR_TILE_LINE) SCORE_STEP(4, 5, (size_t)k * KEY_STEP);
    if (pairs % MR_TILE_PAIRS != 0) SCORE_STEP(6, 7, (size_t)steps * KEY_STEP);
    const size_t stride = (size_t)at->scores_stride * 4;
    float *scores = at->scores + span * MR_SPAN;
    TILE_STORE(0, scores, stride);
    if (spans < 4) return;
    TILE_STORE(1, scores + MR_SPAN, stride);
    TILE_STORE(2, scores + 2 * MR_SPAN, stride);
    TILE_STORE(3, scores + 3 * MR_SPAN, stride);
}

// Weights of the tile's spans that the query does not see.
static void clear_unseen(const attention *at, int32_t query) {
    int32_t first = first_seen(at, query), end = end_seen(at, query);
    char *weights = (char *)(at->scores + (size_t)query * (size_t)at->scores_stride);
    for (int32_t s = 0; s < at->span_count; s++) {
        if (s < first || s >= end) memset(weights + (size_t)s * MR_SPAN * 4, 0, MR_SPAN * 2);
    }
}

// Values of the `width` dimensions of a slab, those of positions outside from..<to cleared: a copy.
static const char *only_seen(const char *values, int32_t width, int32_t from, int32_t to, uint32_t *copy) {
    for (int32_t pair = 0; pair < HALF_PAIRS; pair++) {
        uint32_t first = 2 * pair >= from && 2 * pair < to ? 0x0000ffffu : 0;
        uint32_t second = 2 * pair + 1 >= from && 2 * pair + 1 < to ? 0xffff0000u : 0;
        const char *line = values + (size_t)pair * (size_t)width * 4;
        for (int32_t d = 0; d < width; d += LANES) {
            _mm512_storeu_si512(copy + pair * width + d, w_and(w_load(line + d * 4), w_set(first | second)));
        }
    }
    return (const char *)copy;
}

// Sums of weights x values of all queries in up to 64 dimensions from `column`, over all spans; values of positions
// outside from..<to (counted from the first span) do not matter. `sums` as the attention's.
INLINE void
sum_slab(const attention *at, int tiles, int32_t column, int32_t from, int32_t to, float *sums) {
    _Alignas(64) uint32_t copy[HALF_PAIRS * MR_SLAB];
    int32_t padded = mr_padded_width(at->tile->head_width), width = mr_slab_width(padded, column);
    const size_t line = (size_t)width * 4, stride = (size_t)at->scores_stride * 4;
    const size_t offset = mr_span_half_bytes(MR_CACHE_BFLOAT16, at->tile->head_width) +
                          mr_value_word(padded, HALF_PAIRS, 0, column) * 4;
    TILE_ZERO(0);
    if (tiles > 1) TILE_ZERO(1);
    if (tiles > 2) TILE_ZERO(2);
    if (tiles > 3) TILE_ZERO(3);
    for (int32_t s = 0; s < at->span_count; s++) {
        const char *values = mr_tile_span(at->tile, at->first_span + s) + offset;
        int32_t first = from - s * MR_SPAN, end = to - s * MR_SPAN;
        if (first > 0 || end < MR_SPAN) values = only_seen(values, width, first, end, copy);
        TILE_LOAD(6, at->scores + s * MR_SPAN, stride);
        TILE_LOAD(7, values, line);
        TILE_MULTIPLY(0, 6, 7);
        if (tiles > 1) {
            TILE_LOAD(7, values + MR_TILE_LINE, line);
            TILE_MULTIPLY(1, 6, 7);
        }
        if (tiles > 2) {
            TILE_LOAD(7, values + 2 * MR_TILE_LINE, line);
            TILE_MULTIPLY(2, 6, 7);
        }
        if (tiles > 3) {
            TILE_LOAD(7, values + 3 * MR_TILE_LINE, line);
            TILE_MULTIPLY(3, 6, 7);
        }
    }
    const size_t sum_line = (size_t)at->sums_stride * 4;
    TILE_STORE(0, sums + column, sum_line);
    if (tiles > 1) TILE_STORE(1, sums + column + 16, sum_line);
    if (tiles > 2) TILE_STORE(2, sums + column + 32, sum_line);
    if (tiles > 3) TILE_STORE(3, sums + column + 48, sum_line);
}

static void sum_all(const attention *at, int32_t from, int32_t to, float *sums) {
    int32_t column = 0, width = mr_padded_width(at->tile->head_width);
    for (; column + MR_SLAB <= width; column += MR_SLAB) sum_slab(at, 4, column, from, to, sums);
    switch ((width - column) / 16) {
    case 1: sum_slab(at, 1, column, from, to, sums); break;
    case 2: sum_slab(at, 2, column, from, to, sums); break;
    case 3: sum_slab(at, 3, column, from, to, sums); break;
    }
}

static bool is_finite(const float *sums, int32_t width) {
    vf strange = v_zero();
    for (int32_t d = 0; d < width; d += LANES) strange = v_fma(v_load(sums + d), v_zero(), strange);
    return v_sum(strange) == 0;
}

// A weight of zero does not undo a value that is not finite, and a query must not see what its neighbours in the tile
// do: whose sums are not finite, its sums are made once more, of the values that it sees itself.
static void mend_sums(const attention *at) {
    int32_t base = at->first_span * MR_SPAN, width = mr_padded_width(at->tile->head_width);
    float *again = (float *)(void *)at->rounded; // the queries, no longer needed
    for (int32_t i = 0; i < at->queries; i++) {
        const size_t row = (size_t)i * (size_t)at->sums_stride;
        if (is_finite(at->sums + row, width)) continue;
        sum_all(at, visible_from(at, i) - base, position_of(at, i) + 1 - base, again);
        memcpy(at->sums + row, again + row, (size_t)width * 4);
    }
}

static void attend_bf16(const mr_attention_tile *tile) {
    attention at = begin_attention(tile, PAIRS);
    USE_TILES(&mr_tiles_of_attention[at.queries - 1]);
    load_queries(&at, PAIRS);
    pad_queries(&at);
    int32_t span = 0;
    for (; span + 4 <= at.span_count; span += 4) score_spans(&at, 4, span);
    for (; span < at.span_count; span++) score_spans(&at, 1, span);
    for (int32_t i = 0; i < at.queries; i++) {
        weigh(&at, PAIRS, i);
        clear_unseen(&at, i);
    }
    // Nobody may have written what comes after the last row.
    sum_all(&at, 0, tile->position + tile->rows - at.first_span * MR_SPAN, at.sums);
    mend_sums(&at);
    write_outputs(&at);
}
#pragma clang attribute pop

void mr_attention_amx(mr_kernels *kernels) { kernels->attend_bf16 = attend_bf16; }
#endif
